//! The trail of rules that led to a decision, read off the answer in the order in which the rules were looked at.

use super::entitlement_api::AuthorizeQuestion;
use super::proto::v1::ExplanationStep;
use crate::credit::{Decision, Reason};
use crate::engine::answer::{AuthorizeAnswer, Next};
use crate::types::Name;

pub fn explain(question: &AuthorizeQuestion, answer: &AuthorizeAnswer) -> Vec<ExplanationStep> {
    let mut steps = Vec::new();
    let mut say = |rule: String, finding: String| steps.push(ExplanationStep { rule, finding });
    // In observe mode what would have refused stands beside the decision.
    let reason = answer.reason.or(answer.would_be.and_then(|(_, reason)| reason));
    let (action, version) = (&question.action, answer.version);
    say("plan".to_owned(), plan(reason, action, version));
    if matches!(reason, Some(Reason::AccountUnknown | Reason::AccountSuspended | Reason::ActionNotIncluded)) {
        return steps;
    }
    let price = answer.held + answer.charged;
    if answer.decision != Decision::Denied {
        say("price".to_owned(), format!("the run costs {price} credits by version {version}"));
    }
    if let Some(cap) = &answer.cap {
        say(format!("cap:{cap}"), "has no room for the run".to_owned());
    }
    for cap in &answer.soft_caps_reached {
        say(format!("cap:{cap}"), "is reached; it is soft and refuses nothing".to_owned());
    }
    for (species, credits) in &answer.paid_by {
        say("block".to_owned(), format!("`{species}` pays {credits}"));
    }
    match reason {
        Some(Reason::CreditsExhausted) => {
            let left = answer.remaining;
            say("pool:account".to_owned(), format!("has {left} credits left, which is not enough"));
        }
        Some(Reason::BasicOnly) => {
            say("overage".to_owned(), format!("only basic actions still run, and `{action}` is none"));
        }
        Some(Reason::RunBudgetExhausted) => {
            say("pool:parent".to_owned(), "the parent's reservation cannot pay the run".to_owned());
        }
        Some(Reason::LedgerUnreachable) => {
            say("offline".to_owned(), "the lease cannot pay, and the ledger does not answer".to_owned());
        }
        _ => {}
    }
    let follows = match answer.next {
        Next::Deny => "runs are denied",
        Next::Degrade => "only basic actions run",
        Next::Overage => "credits past the allowance pay",
        Next::Borrow => "part of the next allowance pays",
        Next::TopUp => "a pack is bought",
    };
    say("overage".to_owned(), format!("once these credits are used up, {follows}"));
    if !answer.enforced {
        say("plan".to_owned(), "only observes: nothing is refused".to_owned());
    }
    steps
}

fn plan(reason: Option<Reason>, action: &Name, version: u32) -> String {
    match reason {
        Some(Reason::AccountUnknown) => "nobody has subscribed the account".to_owned(),
        Some(Reason::AccountSuspended) => "the account is suspended".to_owned(),
        Some(Reason::ActionNotIncluded) => format!("does not include `{action}` (version {version})"),
        _ => format!("includes `{action}` (version {version})"),
    }
}
