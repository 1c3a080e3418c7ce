//! How calls were answered, and how long that took. Counted on the hot path: a few additions, no lock but for the trace that
//! a sampled call leaves as an example.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::reading::{Reading, Sample, Value};
use super::table;
use super::times::Times;
use crate::credit::{Decision, Reason};
use crate::telemetry::TraceParent;
use crate::telemetry::names::span;

/// The rpcs that decide about runs, and the rest together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Authorize,
    BatchAuthorize,
    Progress,
    Commit,
    Release,
    Record,
}

/// Who decided, and whether the ledger was in reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Lease,
    Ledger,
    Offline,
}

/// As gRPC numbers its statuses.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

const METHODS: [Method; 6] = [
    Method::Authorize,
    Method::BatchAuthorize,
    Method::Progress,
    Method::Commit,
    Method::Release,
    Method::Record,
];

const MODES: [Mode; 3] = [Mode::Lease, Mode::Ledger, Mode::Offline];

const DECISIONS: [Decision; 4] =
    [Decision::Allowed, Decision::AllowedOverage, Decision::AllowedDegraded, Decision::Denied];

/// The reasons, behind "none".
const REASONS: usize = Reason::ALL.len() + 1;

type Count = AtomicU64;

#[derive(Debug)]
pub struct Calls {
    took: [Times; METHODS.len()],
    errors: [[Count; STATUSES.len()]; METHODS.len()],
    decisions: [[[Count; MODES.len()]; REASONS]; DECISIONS.len()],
}

impl Default for Calls {
    fn default() -> Self {
        Self {
            took: std::array::from_fn(|_| Times::default()),
            errors: [const { [const { Count::new(0) }; STATUSES.len()] }; METHODS.len()],
            decisions: [const { [const { [const { Count::new(0) }; MODES.len()] }; REASONS] };
                DECISIONS.len()],
        }
    }
}

impl Method {
    /// The full name of its rpc.
    pub const fn rpc(self) -> &'static str {
        match self {
            Self::Authorize => span::AUTHORIZE,
            Self::BatchAuthorize => span::BATCH_AUTHORIZE,
            Self::Progress => span::PROGRESS,
            Self::Commit => span::COMMIT,
            Self::Release => span::RELEASE,
            Self::Record => span::RECORD,
        }
    }
}

impl Mode {
    pub const fn of(by_ledger: bool, online: bool) -> Self {
        match (by_ledger, online) {
            (true, _) => Self::Ledger,
            (false, true) => Self::Lease,
            (false, false) => Self::Offline,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Ledger => "ledger",
            Self::Offline => "offline",
        }
    }
}

impl Calls {
    /// A call was answered. `status`: gRPC's number, 0 where it was no error.
    pub fn answered(&self, method: Method, took: Duration, parent: Option<TraceParent>, status: i32) {
        let trace_id = parent.filter(|parent| parent.sampled).map(|parent| parent.trace_id);
        if let Some(times) = self.took.get(method as usize) {
            times.count(took, trace_id);
        }
        let errors = self.errors.get(method as usize);
        let error = usize::try_from(status).ok().filter(|status| *status > 0);
        if let Some(count) = error.and_then(|status| errors?.get(status)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn decided(&self, decision: Decision, reason: Option<Reason>, mode: Mode) {
        let row = DECISIONS.iter().position(|known| *known == decision);
        let column = reason.and_then(|reason| Reason::ALL.iter().position(|known| *known == reason));
        let count = row.and_then(|row| {
            self.decisions.get(row)?.get(column.map_or(0, |place| place + 1))?.get(mode as usize)
        });
        if let Some(count) = count {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn read(&self) -> Vec<Reading> {
        let took = METHODS.iter().zip(&self.took).map(|(method, times)| Sample {
            labels: vec![("rpc_method", method.rpc().to_owned())],
            value: Value::Times(times.read()),
        });
        let errors = METHODS.iter().zip(&self.errors).flat_map(|(method, row)| {
            let labels = |status: &str| {
                vec![("rpc_method", method.rpc().to_owned()), ("rpc_status_code", status.to_owned())]
            };
            STATUSES.iter().zip(row).filter_map(move |(status, count)| counted(labels(status), count))
        });
        let reasons = || std::iter::once("").chain(Reason::ALL.iter().map(|reason| reason.word()));
        let decisions = DECISIONS.iter().zip(&self.decisions).flat_map(|(decision, rows)| {
            reasons().zip(rows).flat_map(move |(reason, row)| {
                let labels = move |mode: &Mode| {
                    vec![
                        ("decision", decision.word().to_owned()),
                        ("reason", reason.to_owned()),
                        ("mode", mode.word().to_owned()),
                    ]
                };
                MODES.iter().zip(row).filter_map(move |(mode, count)| counted(labels(mode), count))
            })
        });
        vec![
            Reading { metric: &table::CALL_SECONDS, samples: took.collect() },
            Reading { metric: &table::CALL_ERRORS, samples: errors.collect() },
            Reading { metric: &table::DECISIONS, samples: decisions.collect() },
        ]
    }
}

/// What never happened is left out.
fn counted(labels: Vec<(&'static str, String)>, count: &Count) -> Option<Sample> {
    let count = count.load(Ordering::Relaxed);
    #[expect(clippy::cast_precision_loss, reason = "2^53 calls take longer than a process lives")]
    let value = Value::Number(count as f64);
    (count > 0).then_some(Sample { labels, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_grpcs_numbers() {
        for (number, word) in STATUSES.iter().enumerate() {
            let code = tonic::Code::from(i32::try_from(number).unwrap());
            let camel: String = word
                .split('_')
                .map(|part| {
                    let mut letters = part.chars();
                    letters.next().into_iter().chain(letters.flat_map(char::to_lowercase)).collect::<String>()
                })
                .collect();
            assert_eq!(format!("{code:?}").to_lowercase(), camel.to_lowercase());
        }
    }

    #[test]
    fn every_decision_and_reason_is_counted_for_itself() {
        let calls = Calls::default();
        calls.decided(Decision::Allowed, None, Mode::Lease);
        calls.decided(Decision::Allowed, None, Mode::Lease);
        for reason in Reason::ALL {
            calls.decided(Decision::Denied, Some(reason), Mode::Offline);
        }
        let read = calls.read();
        let decisions = read.iter().find(|reading| reading.metric == &table::DECISIONS).unwrap();
        assert_eq!(decisions.samples.len(), 1 + Reason::ALL.len());
        let first = &decisions.samples[0];
        assert_eq!(first.value, Value::Number(2.0));
        assert_eq!(
            first.labels.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(),
            ["ALLOWED", "", "lease"]
        );
    }
}
