//! A run, as the auditor knows it: what it holds or has spent at least and at most.

use std::collections::BTreeSet;

use super::auditor::{Asked, SLACK};
use super::turn::Wish;
use crate::credit::Decision;
use crate::engine::answer::{AuthorizeAnswer, RunAnswer};
use crate::types::{AccountId, Credits, Name, SidecarId, Timestamp};

/// A run, from what was asked and answered about it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub account: AccountId,
    /// Whose it is, as it was allowed.
    pub(super) user: Option<Name>,
    /// Whose it may be: an id may be asked for again, for another user.
    pub(super) users: BTreeSet<Name>,
    /// It was allowed as a child, and whether it may be a root: an id may be asked for again, without a parent.
    pub is_child: bool,
    pub(super) may_be_root: bool,
    /// Children were asked for, which take from its hold.
    pub(super) has_children: bool,
    /// The most that anything asked about it could hold or charge.
    pub(super) most: Credits,
    /// What it was allowed to hold.
    pub(super) held: Option<Credits>,
    /// It was allowed as degraded use.
    pub(super) degraded: bool,
    /// Until when it may hold anything.
    pub(super) until: Timestamp,
    /// Until when it certainly does, where nothing more is asked about it.
    pub(super) certain: Timestamp,
    /// Something was asked that may have ended or changed it.
    pub(super) touched: bool,
    pub(super) late: bool,
    /// Its use was recorded without a reservation, or by an event.
    pub direct: bool,
    /// Questions about it without an answer yet, or for good.
    pub open_questions: usize,
    pub lost_questions: usize,
    /// Charges that its settler answered, in order, and where.
    pub settled: Vec<(Credits, SidecarId)>,
    /// Charges that were answered as provisional: where it was held twice, one of them may be the first, which stands.
    pub provisional: Vec<Credits>,
    /// A commit was accepted: it must reach the ledger.
    pub accepted: Vec<SidecarId>,
    /// Sidecars that held it.
    pub at: BTreeSet<SidecarId>,
    /// Questions that would hold it: one that comes again after it was forgotten holds it anew.
    pub holding: usize,
    /// A lapse of it is charged.
    pub(super) lapses: bool,
}

impl Seen {
    pub(super) fn allowed(&mut self, asked: &Asked, answer: &AuthorizeAnswer) {
        self.at.insert(asked.sidecar);
        if let (Wish::Authorize(call), None) = (&asked.wish, self.held) {
            self.user.clone_from(&call.subject.user);
            self.is_child = call.parent.is_some();
        }
        if matches!(&asked.wish, Wish::Authorize(call) if call.action.as_str() == "ping") {
            self.settled.push((answer.charged, asked.sidecar));
            self.held = Some(answer.charged);
            self.degraded |= answer.decision == Decision::AllowedDegraded;
        } else {
            let again = self.held.is_some();
            self.held = Some(answer.held);
            self.degraded |= answer.decision == Decision::AllowedDegraded;
            if let Some(until) = answer.expires_at.filter(|_| !again) {
                (self.until, self.certain) = (until, until);
            }
        }
    }

    /// What it was charged was held for it, and is owed all the same.
    pub(super) fn owes(&self, asked: &Asked, answer: &RunAnswer) -> Option<String> {
        // What an unclean stop lost sight of is sealed for this: nobody else has it meanwhile.
        let plain = !self.late && self.holding == 1 && self.at.len() == 1;
        let plain = plain && !self.is_child && !self.has_children;
        let own = self.at.contains(&asked.sidecar) && matches!(asked.wish, Wish::Commit(..));
        let fits = self.held.is_some_and(|held| answer.charged <= held) && !self.degraded;
        if plain && own && fits && !answer.provisional && answer.debt.is_positive() {
            return Some(format!(
                "account {}: a run was charged {}, which it held, and {} of it are owed",
                asked.account, answer.charged, answer.debt
            ));
        }
        None
    }

    /// It certainly holds what it was allowed, or its charge within that is known.
    pub(super) fn least(&self, at: Timestamp) -> Credits {
        let Some(held) = self.held.filter(|_| !self.degraded) else { return Credits::ZERO };
        match self.settled.last() {
            Some((charged, _)) if !self.late => (*charged).min(held),
            _ if self.is_open(at) => held,
            _ => Credits::ZERO,
        }
    }

    /// Whether a charge for it may be right: answered, or asked for without an answer, or for a lapse.
    pub fn may_be_charged(&self) -> bool {
        let unanswered = self.lost_questions + self.open_questions > 0;
        !self.settled.is_empty() || !self.accepted.is_empty() || unanswered || self.touched || self.lapses
    }

    pub fn lapses(&self) -> bool {
        self.lapses
    }

    pub(super) fn is_open(&self, at: Timestamp) -> bool {
        self.held.is_some() && !self.direct && !self.touched && at.plus_micros(SLACK) < self.certain
    }

    pub(super) fn may_be_open(&self, at: Timestamp) -> bool {
        let answered = !self.settled.is_empty() && self.open_questions + self.lost_questions == 0;
        !self.direct && !answered && at < self.until.plus_micros(SLACK)
    }

    /// The most that it may hold or have spent.
    pub(super) fn most(&self, at: Timestamp) -> Credits {
        // Settled elsewhere in its settler's silence, it is held there until that one hears of it.
        let twice = if self.provisional.is_empty() { Credits::ZERO } else { self.held.unwrap_or_default() };
        let most = self.most.max(self.held.unwrap_or_default()) + twice;
        if let ([.., (charged, _)], 0, 0) = (&*self.settled, self.open_questions, self.lost_questions) {
            return if self.at.len() > 1 { most } else { *charged };
        }
        let lapsed = at >= self.until.plus_micros(SLACK);
        let free = lapsed && !self.touched && self.open_questions == 0 && !self.lapses;
        if free && !self.direct { Credits::ZERO } else { most }
    }
}
