//! What is answered for an account of which nothing is known here.

use super::run::{Link, Step, done};
use super::state::{Here, Wallet};
use crate::credit::{Decision, Reason};
use crate::engine::answer::{AuthorizeAnswer, Next};
use crate::types::Credits;

impl Wallet {
    pub(super) fn unknown_account(&self, link: Link, here: Here<'_>) -> Step<AuthorizeAnswer> {
        match link {
            Link::Untried => Step::Lease(Box::default()),
            Link::Asked => done(refusal(here, Reason::AccountUnknown)),
            Link::Unreachable => done(refusal(here, Reason::LedgerUnreachable)),
        }
    }
}

/// A refusal for an account of which nothing is known here.
pub fn refusal(here: Here<'_>, reason: Reason) -> AuthorizeAnswer {
    AuthorizeAnswer {
        decision: Decision::Denied,
        reason: Some(reason),
        cap: None,
        reservation: None,
        held: Credits::ZERO,
        charged: Credits::ZERO,
        paid_by: Vec::new(),
        is_final: false,
        next: Next::Deny,
        remaining: Credits::ZERO,
        as_of: here.at,
        expires_at: None,
        soft_caps_reached: Vec::new(),
        enforced: true,
        would_be: None,
        retry_at: None,
        version: here.playbooks.latest().map_or(0, |playbook| playbook.version),
        out_of_reach: None,
        past_lease: false,
    }
}
