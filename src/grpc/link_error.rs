//! Why the ledger did not answer, as a sidecar sees it.

use prost::bytes::Bytes;
use thiserror::Error;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::ledger_status::LEARNING;

/// Why the ledger did not answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LinkError {
    /// It can't be reached, did not answer in time, or takes nothing at the moment: a retry may help.
    #[error("the ledger does not answer: {0}")]
    Unreachable(String),
    /// It answers, but was restored from a backup and leases nothing new yet.
    #[error("the ledger is learning: {0}")]
    Learning(String),
    /// A later start of this sidecar has attached.
    #[error("a newer process of this sidecar is at work")]
    Fenced,
    /// The same call again gets the same answer.
    #[error("the ledger refuses: {0}")]
    Refused(String),
}

/// Why the ledger did not decide.
#[derive(Debug, Error)]
pub enum DecideError {
    #[error("the ledger does not answer: {0}")]
    Unreachable(String),
    /// It was restored from a backup and decides nothing yet that takes credits.
    #[error("the ledger is learning: {0}")]
    Learning(String),
    #[error("a newer process of this sidecar is at work")]
    Fenced,
    /// The answer to the caller, as it is.
    #[error("{}", .0.message())]
    Fault(Status),
}

/// The reason that the ledger gave; empty where the status is not of its making.
fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details
        .error_info()
        .filter(|info| info.domain == "bursar")
        .map(|info| info.reason.clone())
        .unwrap_or_default()
}

pub(super) fn link_error(status: &Status) -> LinkError {
    let reason = reason(status);
    // Without a reason it is of the transport's making, whose own words say less than what caused them.
    let words = match (reason.as_str(), status.code()) {
        ("" | LEARNING, _) | (_, Code::Unavailable) => said(status),
        _ => status.message().to_owned(),
    };
    error_of(&reason, status.code(), words)
}

pub(super) fn error_of(reason: &str, code: Code, words: String) -> LinkError {
    match (reason, code) {
        ("EPOCH_NOT_CURRENT", _) => LinkError::Fenced,
        (LEARNING, _) => LinkError::Learning(words),
        ("", _) | (_, Code::Unavailable) => LinkError::Unreachable(words),
        (reason, _) => LinkError::Refused(format!("{reason}: {words}")),
    }
}

pub(super) fn decide_error(status: Status) -> DecideError {
    match (reason(&status).as_str(), status.code()) {
        ("EPOCH_NOT_CURRENT", _) => DecideError::Fenced,
        (LEARNING, _) => DecideError::Learning(said(&status)),
        // Whom the ledger does not know it decides nothing for: that is no fault of the run's.
        ("" | "NOT_ATTACHED" | "ROLE_MISSING" | "SIDECAR_NOT_YOURS", _)
        | (_, Code::Unavailable | Code::Unauthenticated) => DecideError::Unreachable(said(&status)),
        // Without the headers of the connection that it came over.
        _ => DecideError::Fault(Status::with_details(
            status.code(),
            status.message(),
            Bytes::copy_from_slice(status.details()),
        )),
    }
}

/// A status in one line, with its innermost cause: the outer ones say only that there was an error.
pub(super) fn said(status: &Status) -> String {
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(status);
    let mut innermost = None;
    while let Some(error) = cause {
        innermost = Some(error.to_string());
        cause = error.source();
    }
    match innermost {
        Some(cause) => format!("{}: {cause}", status.message()),
        None => format!("{}: {}", status.code(), status.message()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Fault;
    use crate::grpc::ledger_api::LedgerError;
    use crate::grpc::{ledger_status, status};

    #[test]
    fn a_status_that_the_ledger_did_not_make_is_silence() {
        for status in
            [Status::unknown("transport error"), Status::deadline_exceeded("late"), Status::unimplemented("")]
        {
            assert!(matches!(link_error(&status), LinkError::Unreachable(_)), "{status:?}");
            assert!(matches!(decide_error(status), DecideError::Unreachable(_)));
        }
    }

    #[test]
    fn errors_of_the_ledger_keep_their_meaning() {
        let of = |error: LedgerError| link_error(&ledger_status::of(&error));
        assert_eq!(of(LedgerError::Fenced), LinkError::Fenced);
        assert!(matches!(of(LedgerError::Overloaded), LinkError::Unreachable(_)));
        assert!(matches!(of(LedgerError::NotAttached), LinkError::Refused(_)));
        let fault = status::of_fault(&Fault::InvalidTtl);
        match decide_error(fault) {
            DecideError::Fault(status) => {
                assert_eq!(
                    (status.code(), reason(&status)),
                    (Code::InvalidArgument, "INVALID_TTL".to_owned())
                );
            }
            other => panic!("{other:?}"),
        }
    }
}
