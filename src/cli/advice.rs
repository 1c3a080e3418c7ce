//! What helps against an error that a server answered, by its reason.

use crate::grpc::call_error::CallError;

pub fn on(error: &CallError) -> Vec<String> {
    let mut help: Vec<String> = by_reason(&error.reason).into_iter().map(str::to_owned).collect();
    if let Some(retry) = error.retry {
        help.push(format!("try again in {retry:?}"));
    }
    if error.code == "UNIMPLEMENTED" {
        help.push(
            "is this the right server? Runs are asked at a sidecar, accounts and playbooks at a ledger"
                .to_owned(),
        );
    }
    help
}

fn by_reason(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "ACCOUNT_UNKNOWN" => {
            "`bursar account subscribe ACCOUNT --plan PLAN` opens an account; `bursar account list` shows them"
        }
        "ACTION_UNKNOWN" | "PLAN_UNKNOWN" => {
            "`bursar playbook get` prints the playbook in force, with its actions and plans"
        }
        "ALREADY_SUBSCRIBED" => "`bursar account get ACCOUNT` shows it",
        "GRANT_UNKNOWN" => "grants are numbered by the account: `bursar account grant` prints the number",
        "PLAYBOOK_INVALID" => "`bursar playbook check FILE` shows each finding in its line",
        "PLAYBOOK_UNKNOWN" => {
            "`bursar playbook list` shows the versions, `bursar playbook publish FILE` makes one"
        }
        "REQUEST_ID_REUSED" => "a request id belongs to one request; take a new one for another request",
        "RESERVATION_SETTLED" => "`bursar reservation get HANDLE` shows what it was charged",
        "RESERVATION_UNKNOWN" => "`bursar reservation list ACCOUNT` shows the open runs",
        "VERSION_NOT_HIGHER" => "raise `version` in the document; `bursar playbook list` shows the last one",
        "WRONG_RESULT_FOR_TRIGGER" => {
            "leave `--verified` out: only actions with `trigger: outcome` are verified"
        }
        "JOURNAL_FULL" => "too much waits for the ledger: see whether the sidecar reaches it",
        "JOURNAL_FAILED" => "the server's disk refuses writes; nothing was charged",
        _ => return None,
    })
}
