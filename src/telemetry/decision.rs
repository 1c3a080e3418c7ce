//! Which decisions are noted, and how: a span where the caller's trace is sampled, and for every refusal, then built after
//! the decision; a log line for every refusal, at debug level. A decision that nobody asked to see costs two loads.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry::trace::{Span, SpanBuilder, SpanKind, TraceId, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::SdkTracer;
use tracing::Level;

use super::names;
use super::sampling::{SampleRatio, Sampler};
use super::trace::{Traced, Traces, remote};
use super::traceparent::TraceParent;
use crate::types::{AccountId, Credits, Name, ReservationId, Timestamp};

/// Where decisions are noted.
#[derive(Debug)]
pub struct Decisions(Traces);

/// Somebody wants to see this decision.
#[derive(Debug)]
pub struct Note<'a> {
    /// Under way since the call came.
    traced: Option<Traced>,
    /// For one that is kept whatever the sampling.
    tracer: Option<&'a SdkTracer>,
    parent: Option<TraceParent>,
    refused: bool,
}

/// A decision, for people who look for it later. Enum values are written as in the API, without their prefix.
#[derive(Debug)]
pub struct Decided<'a> {
    /// One of `names::span`.
    pub span: &'static str,
    /// When the call came in, by this machine's wall clock.
    pub started: Timestamp,
    /// When it was answered.
    pub ended: Timestamp,
    pub account: &'a AccountId,
    pub action: Option<&'a Name>,
    pub run_id: Option<&'a Name>,
    pub decision_id: &'a str,
    pub decision: &'static str,
    pub reason: Option<&'static str>,
    pub cap: Option<&'a Name>,
    pub reservation: Option<ReservationId>,
    pub held: Option<Credits>,
    pub charged: Option<Credits>,
    pub decided_by: &'static str,
    pub connectivity: &'static str,
    pub playbook_version: u32,
}

impl Decisions {
    /// Without a tracer, decisions are only logged.
    pub fn new(tracer: Option<SdkTracer>, ratio: SampleRatio) -> Self {
        Self(Traces::new(tracer, Sampler::new(ratio)))
    }

    /// When a call comes; `None` = nobody traces it, unless it is refused.
    pub fn begin(&self, span: &'static str, parent: Option<TraceParent>) -> Option<Traced> {
        self.0.begin(span, parent)
    }

    /// Asks once per decision, before anything is gathered for it; `None` = nobody wants to see it.
    pub fn heed(
        &self,
        traced: Option<Traced>,
        parent: Option<TraceParent>,
        refused: bool,
    ) -> Option<Note<'_>> {
        let tracer = self.0.tracer().filter(|_| refused && traced.is_none());
        let logged = refused && tracing::enabled!(target: names::DECISION_LOG, Level::DEBUG);
        let noted = traced.is_some() || tracer.is_some() || logged;
        noted.then_some(Note { traced, tracer, parent, refused })
    }
}

impl Note<'_> {
    pub fn write(self, decided: &Decided<'_>) {
        if self.refused {
            self.log(decided);
        }
        match (self.traced, self.tracer) {
            (Some(traced), _) => traced.end(attributes(decided)),
            (None, Some(tracer)) => span(tracer, self.parent, decided),
            (None, None) => {}
        }
    }

    fn log(&self, decided: &Decided<'_>) {
        let trace_id = self.parent.map(|p| TraceId::from_bytes(p.trace_id).to_string());
        tracing::debug!(
            target: names::DECISION_LOG,
            method = decided.span,
            account = %decided.account,
            action = decided.action.map(Name::as_str),
            run_id = decided.run_id.map(Name::as_str),
            decision_id = decided.decision_id,
            decision = decided.decision,
            reason = decided.reason,
            cap = decided.cap.map(Name::as_str),
            decided_by = decided.decided_by,
            connectivity = decided.connectivity,
            playbook_version = decided.playbook_version,
            trace_id,
            "refused"
        );
    }
}

fn span(tracer: &SdkTracer, parent: Option<TraceParent>, decided: &Decided<'_>) {
    let context = parent.map_or_else(Context::new, remote);
    let builder = SpanBuilder::from_name(decided.span)
        .with_kind(SpanKind::Server)
        .with_start_time(system_time(decided.started))
        .with_attributes(attributes(decided));
    tracer.build_with_context(builder, &context).end_with_timestamp(system_time(decided.ended));
}

fn attributes(decided: &Decided<'_>) -> Vec<KeyValue> {
    let text = |key, value: Option<&str>| value.map(|value| KeyValue::new(key, value.to_owned()));
    let credits = |key, value: Option<Credits>| value.map(|value| KeyValue::new(key, value.to_string()));
    let mut attributes = vec![
        KeyValue::new(names::RPC_SYSTEM, "grpc"),
        KeyValue::new(names::RPC_METHOD, decided.span),
        KeyValue::new(names::ACCOUNT, decided.account.as_str().to_owned()),
        KeyValue::new(names::DECISION_ID, decided.decision_id.to_owned()),
        KeyValue::new(names::DECISION, decided.decision),
        KeyValue::new(names::DECIDED_BY, decided.decided_by),
        KeyValue::new(names::CONNECTIVITY, decided.connectivity),
        KeyValue::new(names::PLAYBOOK_VERSION, i64::from(decided.playbook_version)),
    ];
    attributes.extend(
        [
            decided.reason.map(|reason| KeyValue::new(names::REASON, reason)),
            decided.reservation.map(|id| KeyValue::new(names::RESERVATION, id.to_string())),
            text(names::ACTION, decided.action.map(Name::as_str)),
            text(names::RUN_ID, decided.run_id.map(Name::as_str)),
            text(names::CAP, decided.cap.map(Name::as_str)),
            credits(names::HELD, decided.held),
            credits(names::CHARGED, decided.charged),
        ]
        .into_iter()
        .flatten(),
    );
    attributes
}

fn system_time(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanId, TracerProvider};
    use opentelemetry_sdk::trace::{
        InMemorySpanExporter, Sampler as SdkSampler, SdkTracerProvider, SpanData,
    };

    use super::*;

    fn parent(sampled: bool) -> TraceParent {
        TraceParent { trace_id: [7; 16], span_id: [9; 8], sampled }
    }

    /// The spans that one decision leaves.
    fn spans(parent: Option<TraceParent>, refused: bool, ratio: SampleRatio) -> Vec<SpanData> {
        let exporter = InMemorySpanExporter::default();
        let provider = SdkTracerProvider::builder()
            .with_sampler(SdkSampler::AlwaysOn)
            .with_simple_exporter(exporter.clone())
            .build();
        let decisions = Decisions::new(Some(provider.tracer("test")), ratio);
        let traced = decisions.begin(names::span::AUTHORIZE, parent);
        if let Some(note) = decisions.heed(traced, parent, refused) {
            note.write(&decided(refused));
        }
        provider.force_flush().unwrap();
        exporter.get_finished_spans().unwrap()
    }

    fn decided(refused: bool) -> Decided<'static> {
        use std::sync::LazyLock;
        static ACCOUNT: LazyLock<AccountId> = LazyLock::new(|| AccountId::parse("acme").unwrap());
        Decided {
            span: names::span::AUTHORIZE,
            started: Timestamp::from_micros(1_000_000),
            ended: Timestamp::from_micros(1_000_040),
            account: &ACCOUNT,
            action: None,
            run_id: None,
            decision_id: "d1",
            decision: if refused { "DENIED" } else { "ALLOWED" },
            reason: refused.then_some("CREDITS_EXHAUSTED"),
            cap: None,
            reservation: None,
            held: Some(Credits::whole(3)),
            charged: None,
            decided_by: "SIDECAR",
            connectivity: "ONLINE",
            playbook_version: 2,
        }
    }

    #[test]
    fn a_span_where_sampled_and_for_every_refusal() {
        for (parent, refused, ratio, want) in [
            (Some(parent(true)), false, SampleRatio::NONE, 1),
            (Some(parent(true)), true, SampleRatio::NONE, 1),
            (Some(parent(false)), false, SampleRatio::ALL, 0),
            (Some(parent(false)), true, SampleRatio::NONE, 1),
            (None, false, SampleRatio::NONE, 0),
            (None, false, SampleRatio::ALL, 1),
            (None, true, SampleRatio::NONE, 1),
        ] {
            assert_eq!(spans(parent, refused, ratio).len(), want, "{parent:?} {refused} {ratio:?}");
        }
    }

    #[test]
    fn a_span_says_what_was_decided_and_hangs_in_its_callers_trace() {
        let span = spans(Some(parent(true)), true, SampleRatio::NONE).remove(0);
        assert_eq!(span.name, "bursar.v1.EntitlementService/Authorize");
        assert_eq!(span.span_context.trace_id(), TraceId::from_bytes([7; 16]));
        assert_eq!(span.parent_span_id, SpanId::from_bytes([9; 8]));
        let value =
            |key: &str| span.attributes.iter().find(|a| a.key.as_str() == key).map(|a| a.value.to_string());
        assert_eq!(value("bursar.reason").as_deref(), Some("CREDITS_EXHAUSTED"));
        assert_eq!(value("bursar.held").as_deref(), Some("3"));
        assert_eq!(value("bursar.cap"), None);
    }

    #[test]
    fn a_refusal_in_a_trace_that_is_not_sampled_says_when_it_was() {
        let span = spans(Some(parent(false)), true, SampleRatio::NONE).remove(0);
        assert_eq!(span.end_time.duration_since(span.start_time).unwrap(), Duration::from_micros(40));
    }

    #[test]
    fn nobody_listens_nothing_is_gathered() {
        let quiet = Decisions::new(None, SampleRatio::ALL);
        assert!(quiet.begin(names::span::AUTHORIZE, Some(parent(true))).is_none());
        assert!(quiet.heed(None, Some(parent(true)), false).is_none());
        assert!(quiet.heed(None, None, true).is_none(), "no exporter, no debug log");
    }
}
