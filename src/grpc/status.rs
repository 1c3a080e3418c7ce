//! The one table of error → status. A refusal is no error: it is an answer.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::convert::{Invalid, Violation};
use super::entitlement_api::Refused;
use super::lease_client::DecideError;
use super::proto::v1;
use crate::engine::fault::Fault;

/// Whose reasons these are.
const DOMAIN: &str = "bursar";

/// When to try again where a moment may help: the load passes, the ledger answers, the process has started.
const RETRY_SOON: Duration = Duration::from_millis(250);

/// When to try again where somebody must first free a disk.
const RETRY_LATER: Duration = Duration::from_secs(5);

/// Fields at fault that one error names: an error travels in headers, which are bounded.
const FIELDS_MAX: usize = 8;

/// One line of the table.
struct Line<'a> {
    code: Code,
    reason: &'a str,
    metadata: Vec<(&'static str, String)>,
    fields: Vec<(String, String)>,
    retry: Option<Duration>,
}

impl<'a> Line<'a> {
    fn new(code: Code, reason: &'a str) -> Self {
        Self { code, reason, metadata: Vec::new(), fields: Vec::new(), retry: None }
    }

    /// The request is wrong as it stands: sending it again changes nothing.
    fn invalid(reason: &'a str, field: impl Into<String>, what: impl Into<String>) -> Self {
        let fields = vec![(field.into(), what.into())];
        Self { fields, ..Self::new(Code::InvalidArgument, reason) }
    }

    /// Nothing happened; the same call may succeed later.
    fn unavailable(reason: &'a str, retry: Duration) -> Self {
        Self { retry: Some(retry), ..Self::new(Code::Unavailable, reason) }
    }

    fn status(self, message: impl Into<String>) -> Status {
        let metadata: HashMap<String, String> =
            self.metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        let mut details = ErrorDetails::with_error_info(self.reason, DOMAIN, metadata);
        if !self.fields.is_empty() {
            let violations: Vec<_> =
                self.fields.into_iter().map(|(field, what)| FieldViolation::new(field, what)).collect();
            details.set_bad_request(violations);
        }
        if let Some(retry) = self.retry {
            details.set_retry_info(Some(retry));
        }
        Status::with_error_details(self.code, message, details)
    }
}

/// Why the engine could not answer; the same at both servers.
pub fn of_fault(fault: &Fault) -> Status {
    let (reason, message) = (fault.reason(), fault.to_string());
    let line = match fault {
        // The caller's numbers do not fit the action.
        Fault::InvalidQuantity(charge) => Line::invalid(reason, charge.field(), message.clone()),
        Fault::InvalidTtl => Line::invalid(reason, "ttl", message.clone()),
        Fault::TooDeep => Line::invalid(reason, "parent", message.clone()),
        // The name is well formed, and nobody knows it: a playbook may bring it.
        Fault::ActionUnknown { action, nearest } => {
            let nearest = nearest.iter().map(|nearest| ("nearest", nearest.to_string()));
            let metadata = std::iter::once(("action", action.to_string())).chain(nearest).collect();
            Line { metadata, ..Line::new(Code::NotFound, reason) }
        }
        Fault::ReservationUnknown(_) | Fault::AccountUnknown => Line::new(Code::NotFound, reason),
        // The run is past that: what became of it is what the caller needs.
        Fault::ReservationSettled { state, charged } => {
            let metadata = vec![("state", state.word().to_owned()), ("charged", charged.to_string())];
            Line { metadata, ..Line::new(Code::FailedPrecondition, reason) }
        }
        Fault::WrongResultForTrigger(action) => {
            let metadata = vec![("action", action.to_string())];
            Line { metadata, ..Line::new(Code::FailedPrecondition, reason) }
        }
        // Another request has this id: a bug at the caller, which a retry would repeat.
        Fault::RequestIdReused { field } => {
            let metadata = vec![("field", (*field).to_owned())];
            Line { metadata, ..Line::new(Code::AlreadyExists, reason) }
        }
        // A bug here, contained to one account.
        Fault::Broken(_) => Line::new(Code::Internal, reason),
    };
    line.status(message)
}

/// Why a sidecar does not answer.
pub fn of_refused(refused: &Refused) -> Status {
    let message = refused.to_string();
    let line = match refused {
        Refused::Fault(fault) => return of_fault(fault),
        Refused::Passed(passed) => {
            return match &**passed {
                DecideError::Fault(status) => status.clone(),
                away => Line::unavailable("NOT_READY", RETRY_SOON).status(away.to_string()),
            };
        }
        Refused::Handle { field, what } => Line::invalid("INVALID_HANDLE", *field, *what),
        Refused::NotServed(_) => Line::invalid("INVALID_ACCOUNT", "account", message.clone()),
        Refused::PoolUnknown(_) => Line::new(Code::NotFound, "POOL_UNKNOWN"),
        Refused::Overloaded => Line::unavailable("OVERLOADED", RETRY_SOON),
        Refused::JournalFull => Line::unavailable("JOURNAL_FULL", RETRY_LATER),
        Refused::JournalFailed => Line::unavailable("JOURNAL_FAILED", RETRY_LATER),
        Refused::NotReady(_) => Line::unavailable("NOT_READY", RETRY_SOON),
    };
    line.status(message)
}

/// What is wrong with a message: the first fault gives the reason, each has its field.
pub fn of_invalid(invalid: Invalid) -> Status {
    let Invalid(violations) = invalid;
    let reason = violations.first().map_or("INVALID_REQUEST", |first| first.reason);
    let says = |v: &Violation| format!("`{}` {}", v.field, v.what);
    let message = violations.iter().take(FIELDS_MAX).map(says).collect::<Vec<_>>().join("; ");
    let fields = violations.into_iter().take(FIELDS_MAX).map(|v| (v.field, v.what)).collect();
    Line { fields, ..Line::new(Code::InvalidArgument, reason) }.status(message)
}

impl DecideError {
    /// Whether the ledger says that it knows no such run.
    pub fn is_reservation_unknown(&self) -> bool {
        let Self::Fault(status) = self else { return false };
        let details = status.get_error_details();
        details.error_info().is_some_and(|info| info.domain == DOMAIN && info.reason == "RESERVATION_UNKNOWN")
    }
}

/// The same facts as a message, where one answer carries several faults.
pub fn as_fault(status: &Status) -> v1::Fault {
    let details = status.get_error_details();
    let (reason, metadata) =
        details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    v1::Fault {
        code: status.code().into(),
        reason,
        message: status.message().to_owned(),
        metadata: metadata.into_iter().collect(),
        field_violations: violations
            .into_iter()
            .map(|v| v1::FieldViolation { field: v.field, description: v.description })
            .collect(),
        retry_in: details.retry_info().and_then(|info| info.retry_delay).map(|delay| prost_types::Duration {
            seconds: i64::try_from(delay.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(delay.subsec_nanos()).unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credit::State;
    use crate::playbook::charge::ChargeFault;
    use crate::types::{Credits, Name, ReservationId};

    fn check(status: &Status, code: Code, reason: &str) -> ErrorDetails {
        let details = status.get_error_details();
        let info = details.error_info().unwrap();
        assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, DOMAIN));
        assert!(!status.message().is_empty());
        let wrong = code == Code::InvalidArgument;
        assert_eq!(details.has_bad_request_violations(), wrong, "{reason}");
        assert_eq!(details.retry_info().is_some(), code == Code::Unavailable, "{reason}");
        assert_ne!(code, Code::ResourceExhausted, "runtimes read it as out of credits");
        details
    }

    #[test]
    fn every_fault_has_its_line() {
        let draft = Name::parse("draft").unwrap();
        let settled = Fault::ReservationSettled { state: State::Settled, charged: Credits::whole(4) };
        for (fault, code) in [
            (Fault::InvalidQuantity(ChargeFault::SingleWanted), Code::InvalidArgument),
            (Fault::ActionUnknown { action: draft.clone(), nearest: None }, Code::NotFound),
            (Fault::InvalidTtl, Code::InvalidArgument),
            (Fault::TooDeep, Code::InvalidArgument),
            (Fault::ReservationUnknown(ReservationId::default()), Code::NotFound),
            (settled.clone(), Code::FailedPrecondition),
            (Fault::WrongResultForTrigger(draft), Code::FailedPrecondition),
            (Fault::RequestIdReused { field: "action" }, Code::AlreadyExists),
            (Fault::AccountUnknown, Code::NotFound),
            (Fault::Broken("x".to_owned()), Code::Internal),
        ] {
            check(&of_fault(&fault), code, fault.reason());
        }
        let details = of_fault(&settled).get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!((metadata["state"].as_str(), metadata["charged"].as_str()), ("SETTLED", "4"));
    }

    #[test]
    fn what_stops_a_sidecar_says_when_to_come_back() {
        for (refused, reason) in [
            (Refused::Overloaded, "OVERLOADED"),
            (Refused::JournalFull, "JOURNAL_FULL"),
            (Refused::JournalFailed, "JOURNAL_FAILED"),
            (Refused::NotReady("the sidecar starts"), "NOT_READY"),
            (Refused::Passed(Box::new(DecideError::Fenced)), "NOT_READY"),
        ] {
            check(&of_refused(&refused), Code::Unavailable, reason);
        }
        let handle = Refused::Handle { field: "parent", what: "is not this account's" };
        check(&of_refused(&handle), Code::InvalidArgument, "INVALID_HANDLE");
    }

    #[test]
    fn a_batch_carries_the_same_facts() {
        let violation =
            Violation { reason: "INVALID_QUANTITY", field: "quantity".to_owned(), what: "is bad".to_owned() };
        let fault = as_fault(&of_invalid(Invalid(vec![violation])));
        assert_eq!((fault.code, fault.reason.as_str()), (3, "INVALID_QUANTITY"));
        assert_eq!(fault.field_violations[0].field, "quantity");
        let fault = as_fault(&of_refused(&Refused::Overloaded));
        assert_eq!(fault.retry_in.unwrap().nanos, 250_000_000);
    }
}
