//! What ends the whole at once: no further run would be answered otherwise.

use super::calls::Ended;
use crate::cli::failure::Failure;
use crate::grpc::call_error::CallError;
use crate::grpc::proto::v1;

/// Why not to go on.
#[derive(Debug)]
pub enum Verdict {
    /// The sidecar went away.
    Lost(CallError),
    /// The calls are not right, or the endpoint is no sidecar.
    Wrong(Failure),
}

/// Why not to go on, where this run shows it.
pub fn on(ended: &Ended) -> Option<Verdict> {
    let commit = ended.commit.as_ref().and_then(|commit| commit.as_ref().err());
    match (&ended.authorize, commit) {
        (Err(error), _) if is_wrong(error) => Some(Verdict::Wrong(Failure::from(error.clone()))),
        (Err(error), _) | (_, Some(error)) if is_lost(error) => Some(Verdict::Lost(error.broken())),
        (Ok(answered), _) if answered.answer.reason() == v1::Reason::AccountUnknown => {
            Some(Verdict::Wrong(unknown(&ended.account)))
        }
        _ => None,
    }
}

fn unknown(account: &str) -> Failure {
    Failure::new(format!("ACCOUNT_UNKNOWN: there is no account `{account}`"))
        .help(format!("`bursar account subscribe {account} --plan PLAN` opens it"))
}

/// Whether no sidecar said so: each error of its own has a reason.
fn is_lost(error: &CallError) -> bool {
    error.reason.is_empty() && error.code != "DEADLINE_EXCEEDED"
}

/// Whether the same call will never be answered.
fn is_wrong(error: &CallError) -> bool {
    ["INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED"].contains(&error.code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::calls::tests::{answer, ended, error};

    fn said(authorize: Result<v1::AuthorizeResponse, CallError>) -> String {
        match on(&ended(1, authorize, None)) {
            None => "go on".to_owned(),
            Some(Verdict::Lost(error)) => format!("lost: {error}"),
            Some(Verdict::Wrong(failure)) => failure.to_string(),
        }
    }

    #[test]
    fn refusals_and_overload_are_answers() {
        assert_eq!(said(Ok(answer(v1::Decision::Allowed, v1::Reason::Unspecified))), "go on");
        assert_eq!(said(Ok(answer(v1::Decision::Denied, v1::Reason::CapReached))), "go on");
        assert_eq!(said(Err(error("UNAVAILABLE", "OVERLOADED"))), "go on");
        assert_eq!(said(Err(error("DEADLINE_EXCEEDED", ""))), "go on");
    }

    #[test]
    fn what_every_run_would_meet_ends_it() {
        assert_eq!(said(Err(error("UNAVAILABLE", ""))), "lost: UNREACHABLE: the connection broke: so it is");
        assert!(said(Err(error("UNIMPLEMENTED", ""))).contains("help: is this the right server?"));
        let wrong = said(Err(error("NOT_FOUND", "ACTION_UNKNOWN")));
        assert!(wrong.starts_with("error: ACTION_UNKNOWN: ") && wrong.contains("help: "), "{wrong}");
        let unknown = said(Ok(answer(v1::Decision::Denied, v1::Reason::AccountUnknown)));
        assert!(unknown.contains("no account `acme-1`") && unknown.contains("subscribe acme-1"), "{unknown}");
        let commit = Some(Err(error("UNKNOWN", "")));
        let allowed = answer(v1::Decision::Allowed, v1::Reason::Unspecified);
        assert!(matches!(on(&ended(1, Ok(allowed), commit)), Some(Verdict::Lost(_))));
    }
}
