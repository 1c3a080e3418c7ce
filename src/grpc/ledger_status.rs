//! What the ledger answers where it does not do what was asked: one table, each line argued for the caller.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::ledger_api::LedgerError;
use super::status;
use crate::engine::account::AdminRefusal;

/// Of every error's details.
pub(super) const DOMAIN: &str = "bursar";

/// The ledger was restored from a backup, and leases nothing new yet.
pub(super) const LEARNING: &str = "LEARNING";

/// After so long a call that was not taken may be tried again.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Findings of a playbook that an error carries at most: an error travels in headers, which are bounded. The check run
/// locally shows all.
const FINDINGS_MAX: usize = 20;

/// Bytes of a message at most, for the same reason.
const MESSAGE_MAX: usize = 2000;

pub(super) fn invalid(reason: &str, field: &str, what: String) -> Status {
    let mut details = ErrorDetails::new();
    details
        .set_error_info(reason, DOMAIN, [] as [(String, String); 0])
        .add_bad_request_violation(field, &what);
    Status::with_error_details(Code::InvalidArgument, what, details)
}

pub(super) fn of(error: &LedgerError) -> Status {
    match error {
        LedgerError::Fault(fault) => status::of_fault(fault),
        LedgerError::Refused(refusal) => refused(refusal),
        // The process that asks must end: a retry of the same call never helps.
        LedgerError::Fenced => plain(Code::FailedPrecondition, "EPOCH_NOT_CURRENT", error),
        LedgerError::NotAttached => plain(Code::FailedPrecondition, "NOT_ATTACHED", error),
        LedgerError::AccountNotAllowed(_) => plain(Code::PermissionDenied, "ACCOUNT_NOT_ALLOWED", error),
        LedgerError::NotItsJournal(_) => plain(Code::PermissionDenied, "SIDECAR_NOT_YOURS", error),
        LedgerError::Invalid { field, reason, what } => invalid(reason, field, what.clone()),
        LedgerError::PlaybookInvalid(report) => playbook_invalid(report, error),
        LedgerError::VersionNotHigher { .. } => plain(Code::FailedPrecondition, "VERSION_NOT_HIGHER", error),
        LedgerError::NoticeTooShort(_) => plain(Code::FailedPrecondition, "NOTICE_TOO_SHORT", error),
        LedgerError::PlaybookUnknown(_) => plain(Code::NotFound, "PLAYBOOK_UNKNOWN", error),
        LedgerError::TooManyPlaybooks { .. } => plain(Code::FailedPrecondition, "TOO_MANY_PLAYBOOKS", error),
        LedgerError::TooManyAccounts { .. } => plain(Code::FailedPrecondition, "TOO_MANY_ACCOUNTS", error),
        LedgerError::Overloaded => unavailable("OVERLOADED", &error.to_string()),
        LedgerError::Learning { .. } => unavailable(LEARNING, &error.to_string()),
        LedgerError::StoreAway(_) => unavailable("NOT_READY", &error.to_string()),
        LedgerError::StoreFailed(_) => unavailable("JOURNAL_FAILED", &error.to_string()),
    }
}

/// Not taken; nothing has happened, and a retry may help.
pub(super) fn unavailable(reason: &str, what: &str) -> Status {
    let mut details = ErrorDetails::with_retry_info(Some(RETRY_AFTER));
    details.set_error_info(reason, DOMAIN, [] as [(String, String); 0]);
    Status::with_error_details(Code::Unavailable, shortened(what), details)
}

fn refused(refusal: &AdminRefusal) -> Status {
    let reason = refusal.reason();
    match refusal {
        // What the call names does not exist: the caller has the wrong name, or comes too early.
        AdminRefusal::AccountUnknown
        | AdminRefusal::PlanUnknown(_)
        | AdminRefusal::NoPlaybook
        | AdminRefusal::PoolUnknown(_)
        | AdminRefusal::AddOnUnknown(_)
        | AdminRefusal::PackUnknown(_)
        | AdminRefusal::IncentiveUnknown(_)
        | AdminRefusal::GrantUnknown(_) => plain(Code::NotFound, reason, refusal),
        // It was done before, by another call.
        AdminRefusal::AlreadySubscribed | AdminRefusal::RequestIdReused => {
            plain(Code::AlreadyExists, reason, refusal)
        }
        AdminRefusal::InvalidZone(_) => invalid(reason, "time_zone", refusal.to_string()),
        AdminRefusal::CreditsTooFew(_) | AdminRefusal::CreditsTooFine { .. } => {
            invalid(reason, "credits", refusal.to_string())
        }
        AdminRefusal::InvalidSpecies(_) => invalid(reason, "species", refusal.to_string()),
        // The account's state is in the way; the same call may succeed once that changes.
        AdminRefusal::TooManyBlocks
        | AdminRefusal::TooManyCaps
        | AdminRefusal::SubscriptionOver
        | AdminRefusal::BuyerNotAllowed
        | AdminRefusal::IncentiveLimit(_)
        | AdminRefusal::ChargeNotReported
        | AdminRefusal::RefundWindowClosed
        | AdminRefusal::RefundExceedsCharge { .. }
        | AdminRefusal::RefundBelowMinimum { .. }
        | AdminRefusal::TransferNotAllowed
        | AdminRefusal::TransferLimit { .. }
        | AdminRefusal::CreditsExhausted => plain(Code::FailedPrecondition, reason, refusal),
        AdminRefusal::OverridesRefused(_) | AdminRefusal::OverridesTooLong => {
            invalid(reason, "overrides", refusal.to_string())
        }
        AdminRefusal::TooManySeats => invalid(reason, "seats", refusal.to_string()),
    }
}

fn playbook_invalid(report: &crate::playbook::Report, error: &LedgerError) -> Status {
    use crate::playbook::Severity;
    let refused = report.findings.iter().filter(|finding| finding.severity != Severity::Warning);
    let violations: Vec<FieldViolation> = refused
        .take(FINDINGS_MAX)
        .map(|finding| FieldViolation {
            field: format!("document:{}", finding.line),
            description: finding.to_string(),
            ..FieldViolation::default()
        })
        .collect();
    let mut details = ErrorDetails::with_bad_request(violations);
    details.set_error_info("PLAYBOOK_INVALID", DOMAIN, [] as [(String, String); 0]);
    let text = format!("{error}\n{}", report.in_file("document"));
    Status::with_error_details(Code::InvalidArgument, shortened(&text), details)
}

fn plain(code: Code, reason: &str, what: &dyn std::fmt::Display) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, [] as [(String, String); 0]);
    Status::with_error_details(code, shortened(&what.to_string()), details)
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MESSAGE_MAX);
    let mut short = text.get(..end).unwrap_or_default().trim_end().to_owned();
    if end < text.len() {
        short.push('…');
    }
    short
}
