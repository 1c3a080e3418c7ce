//! Why a call was not answered: what a status and its details say, without the wire's types.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// The reason where no server answered at all; servers never send it.
pub const UNREACHABLE: &str = "UNREACHABLE";

/// What tonic answers by itself where a call's time is over.
const TIMED_OUT: &str = "Timeout expired";

/// An error of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallError {
    /// The gRPC status, such as `INVALID_ARGUMENT`.
    pub code: &'static str,
    /// Of `google.rpc.ErrorInfo`, such as `INVALID_QUANTITY`; empty where the server sent none.
    pub reason: String,
    /// For people.
    pub message: String,
    /// Of `google.rpc.ErrorInfo`.
    pub metadata: BTreeMap<String, String>,
    /// Of `google.rpc.BadRequest`: (field, what is wrong and what would be right).
    pub violations: Vec<(String, String)>,
    /// Of `google.rpc.RetryInfo`.
    pub retry: Option<Duration>,
}

impl CallError {
    /// Nobody answered there.
    pub(super) fn unreachable(place: &dyn fmt::Display, cause: &dyn Error) -> Self {
        Self {
            code: name(Code::Unavailable),
            reason: UNREACHABLE.to_owned(),
            message: format!("cannot reach `{place}`: {}", root(cause)),
            metadata: BTreeMap::new(),
            violations: Vec::new(),
            retry: None,
        }
    }

    /// The same, of a connection that was there and broke.
    pub fn broken(&self) -> Self {
        let message = format!("the connection broke: {}", self.message);
        Self { code: name(Code::Unavailable), reason: UNREACHABLE.to_owned(), message, ..self.clone() }
    }

    pub(super) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let (reason, metadata) =
            details.error_info().map(|info| (info.reason.clone(), info.metadata.clone())).unwrap_or_default();
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        let timed_out = status.code() == Code::Cancelled && status.message() == TIMED_OUT;
        Self {
            code: name(if timed_out { Code::DeadlineExceeded } else { status.code() }),
            reason,
            message: if timed_out { "no answer in time".to_owned() } else { status.message().to_owned() },
            metadata: metadata.into_iter().collect(),
            violations: violations.into_iter().map(|one| (one.field, one.description)).collect(),
            retry: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// Whether the same call may be answered later.
    pub fn is_unavailable(&self) -> bool {
        [Code::Unavailable, Code::DeadlineExceeded].map(name).contains(&self.code)
    }

    /// Whether the call may have been carried out although its answer did not come.
    pub fn may_have_happened(&self) -> bool {
        self.is_unavailable() && self.reason.is_empty()
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.reason.is_empty() { self.code } else { &self.reason };
        write!(f, "{kind}: {}", self.message)
    }
}

impl Error for CallError {}

/// The innermost cause: the wrapped ones say only that there was an error.
fn root(error: &dyn Error) -> &dyn Error {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    innermost
}

/// As the protocol's own documents write it.
const fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    #[test]
    fn reads_every_detail() {
        let mut details = ErrorDetails::new();
        details
            .set_error_info("INVALID_QUANTITY", "bursar", [("meter".to_owned(), "tokens".to_owned())])
            .add_bad_request_violation("quantity", "`x` is not a number")
            .set_retry_info(Some(Duration::from_secs(2)));
        let status = Status::with_error_details(Code::InvalidArgument, "it is not right", details);
        let error = CallError::of(&status);
        assert_eq!(error.to_string(), "INVALID_QUANTITY: it is not right");
        assert_eq!(error.code, "INVALID_ARGUMENT");
        assert_eq!(error.metadata["meter"], "tokens");
        assert_eq!(error.violations, [("quantity".to_owned(), "`x` is not a number".to_owned())]);
        assert_eq!(error.retry, Some(Duration::from_secs(2)));
        assert!(!error.is_unavailable());
    }

    #[test]
    fn a_call_whose_time_is_over_may_have_happened() {
        let late = CallError::of(&Status::cancelled(TIMED_OUT));
        assert_eq!((late.code, late.may_have_happened()), ("DEADLINE_EXCEEDED", true));
        let nobody = CallError::unreachable(&"unix:x", &std::io::Error::other("no such file"));
        assert_eq!((nobody.is_unavailable(), nobody.may_have_happened()), (true, false));
        assert_eq!(nobody.to_string(), "UNREACHABLE: cannot reach `unix:x`: no such file");
        let broken = CallError::of(&Status::unknown("transport error")).broken();
        assert_eq!((broken.code, broken.reason.as_str()), ("UNAVAILABLE", UNREACHABLE));
    }
}
