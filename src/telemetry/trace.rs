//! The span that work is done under, and spans below it: calls to the ledger, turns at the database. Work that nobody
//! traces costs one look.

use std::fmt;

use opentelemetry::trace::{
    Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use super::names;
use super::sampling::Sampler;
use super::traceparent::TraceParent;

tokio::task_local! {
    static CURRENT: Trace;
}

/// A span that is under way, for those below it.
#[derive(Clone, Debug)]
pub struct Trace {
    tracer: SdkTracer,
    span: SpanContext,
}

impl Trace {
    /// What the work at hand is done under.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }

    pub fn of(tracer: &SdkTracer, span: &SdkSpan) -> Self {
        Self { tracer: tracer.clone(), span: span.span_context().clone() }
    }

    /// Does work under this span.
    pub async fn over<T>(self, work: impl Future<Output = T>) -> T {
        CURRENT.scope(self, work).await
    }

    pub fn trace_id(&self) -> String {
        self.span.trace_id().to_string()
    }

    /// As a header says it.
    pub fn header(&self) -> String {
        let (trace, span) = (self.span.trace_id(), self.span.span_id());
        format!("00-{trace}-{span}-{:02x}", self.span.trace_flags().to_u8())
    }
}

/// Does work under a span of its own, below the one at hand; without one, just does it.
fn below<T, E: fmt::Display>(
    name: &'static str,
    kind: SpanKind,
    attributes: impl FnOnce() -> Vec<KeyValue>,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    // Boxed, so that whoever waits has room for it once.
    let work = Box::pin(work);
    async move {
        let Some(Trace { tracer, span }) = Trace::current() else { return work.await };
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes());
        let above = Context::new().with_remote_span_context(span);
        let mut span = tracer.build_with_context(builder, &above);
        let done = Trace::of(&tracer, &span).over(work).await;
        if let Err(error) = &done {
            span.set_status(Status::error(error.to_string()));
        }
        span.end();
        done
    }
}

/// A call to the ledger.
pub fn calling<T, E: fmt::Display>(
    method: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let attributes =
        move || vec![KeyValue::new(names::RPC_SYSTEM, "grpc"), KeyValue::new(names::RPC_METHOD, method)];
    below(method, SpanKind::Client, attributes, work)
}

/// A question to the database. `operation`: what it does there, such as `SELECT`.
pub fn asking<T, E: fmt::Display>(
    name: &'static str,
    operation: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> impl Future<Output = Result<T, E>> {
    let attributes = move || {
        vec![KeyValue::new(names::DB_SYSTEM, "postgresql"), KeyValue::new(names::DB_OPERATION, operation)]
    };
    below(name, SpanKind::Client, attributes, work)
}

/// Begins a server's spans.
#[derive(Debug)]
pub struct Traces {
    tracer: Option<SdkTracer>,
    sampler: Sampler,
}

/// A call that is traced. Boxed: the calls that are not carry a pointer's room.
pub struct Traced(Box<(SdkTracer, SdkSpan)>);

impl Traces {
    pub fn new(tracer: Option<SdkTracer>, sampler: Sampler) -> Self {
        Self { tracer, sampler }
    }

    pub fn tracer(&self) -> Option<&SdkTracer> {
        self.tracer.as_ref()
    }

    /// `None`: nobody traces this call.
    pub fn begin(&self, name: &str, parent: Option<TraceParent>) -> Option<Traced> {
        let tracer = self.tracer.as_ref()?;
        if !parent.map_or_else(|| self.sampler.pick(), |parent| parent.sampled) {
            return None;
        }
        let builder = SpanBuilder::from_name(name.to_owned()).with_kind(SpanKind::Server);
        let span = tracer.build_with_context(builder, &parent.map_or_else(Context::new, remote));
        Some(Traced(Box::new((tracer.clone(), span))))
    }
}

impl fmt::Debug for Traced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traced").finish_non_exhaustive()
    }
}

impl Traced {
    pub fn trace(&self) -> Trace {
        Trace::of(&self.0.0, &self.0.1)
    }

    /// Ends with what is to be said of the call.
    pub fn end(mut self, attributes: Vec<KeyValue>) {
        self.0.1.set_attributes(attributes);
        self.0.1.end();
    }

    /// Ends a call of which only its name and its status are known. An empty code: it was answered.
    pub fn end_call(self, method: &str, code: &str) {
        let mut attributes = vec![
            KeyValue::new(names::RPC_SYSTEM, "grpc"),
            KeyValue::new(names::RPC_METHOD, method.to_owned()),
            KeyValue::new(names::RPC_STATUS, if code.is_empty() { "0".to_owned() } else { code.to_owned() }),
        ];
        if !matches!(code, "" | "0") {
            attributes.push(KeyValue::new(names::ERROR_TYPE, code.to_owned()));
        }
        self.end(attributes);
    }
}

/// The caller's span, as the one above.
pub(super) fn remote(parent: TraceParent) -> Context {
    let flags = if parent.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    Context::new().with_remote_span_context(SpanContext::new(
        TraceId::from_bytes(parent.trace_id),
        SpanId::from_bytes(parent.span_id),
        flags,
        true,
        TraceState::default(),
    ))
}
