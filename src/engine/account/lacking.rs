//! Whether credits or room that lie idle at sidecars might change what the account decides.

use std::collections::BTreeSet;

use super::decide::RunAsk;
use super::work::Work;
use crate::credit::{CapKey, Decision, Flow, Place, Reason, RunEvent};
use crate::engine::authorize::{Verdict, authorize};
use crate::engine::call::{Authorize, Commit};
use crate::engine::commit::{Outcome, commit, late};
use crate::engine::handle::Handle;
use crate::engine::progress::progress;
use crate::types::{Name, SidecarId};

/// What a decision does without what lies idle elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lack {
    Nothing,
    /// It draws on a last resort.
    Balance,
    /// It refuses, or leaves debt.
    Credits,
}

impl Work<'_> {
    /// Whether this call would be refused for what sidecars hold idle, whoever asks among them, draw on a last resort, or
    /// leave debt: they are recalled first.
    pub fn lacks(&self, ask: &RunAsk) -> bool {
        // First what is quickly said: most runs lack nothing.
        let holders = || self.idle_holders(SidecarId::default());
        match self.lack(ask) {
            Lack::Nothing => false,
            Lack::Balance => holders().iter().any(|holder| self.holds_idle_balance(*holder)),
            Lack::Credits => !holders().is_empty(),
        }
    }

    fn lack(&self, ask: &RunAsk) -> Lack {
        let Some(frame) = self.frame() else { return Lack::Nothing };
        match ask {
            RunAsk::Authorize(call) => self.lack_of_authorize(call, false),
            RunAsk::Record(call) if self.account.book.finals.contains_key(&call.authorize.id) => {
                self.lack_of_commit(&call.commit, None)
            }
            RunAsk::Record(call) => self.lack_of_authorize(&call.authorize, true),
            RunAsk::Progress(call, _) => match progress(&frame, call) {
                Ok(Outcome::Done(answer, event)) => {
                    let event = event.map_or(Lack::Nothing, |event| of_event(&event));
                    of_decision(answer.decision, answer.reason).max(event)
                }
                _ => Lack::Nothing,
            },
            RunAsk::Commit(call, handle) => self.lack_of_commit(call, handle.as_deref()),
            RunAsk::Release(..) | RunAsk::State(..) | RunAsk::Balance(..) => Lack::Nothing,
        }
    }

    fn lack_of_authorize(&self, call: &Authorize, force: bool) -> Lack {
        let Some(Ok(Verdict::Answer(answer, event))) =
            self.frame().map(|frame| authorize(&frame, call, force))
        else {
            return Lack::Nothing;
        };
        let (decision, reason) = answer.would_be.unwrap_or((answer.decision, answer.reason));
        let turn = event.as_ref().map_or(Lack::Nothing, |event| self.of_turn(call, event));
        let event = event.map_or(Lack::Nothing, |event| of_event(&event));
        let soft = answer.soft_caps_reached.iter().any(|cap| self.lends_room_of(cap));
        let soft = if soft { Lack::Credits } else { Lack::Nothing };
        of_decision(decision, reason).max(event).max(turn).max(soft)
    }

    /// Whether a sidecar holds room of this cap idle.
    fn lends_room_of(&self, cap: &Name) -> bool {
        let keys: BTreeSet<&CapKey> = self
            .account
            .leases
            .values()
            .flat_map(|lease| lease.rooms.keys())
            .filter(|key| key.cap == *cap)
            .collect();
        keys.into_iter().any(|key| self.room_idle_elsewhere(SidecarId::default(), key).is_positive())
    }

    /// A run that draws on a later pool of its path: an earlier one may have more, idle elsewhere.
    fn of_turn(&self, call: &Authorize, event: &RunEvent) -> Lack {
        let path = self.path(&call.subject);
        let first = |flow: &Flow| {
            let block = self.account.book.block(flow.block);
            block.is_some_and(|block| Some(&block.pool) == path.first())
        };
        let later = path.len() > 1 && event.flows.iter().any(|flow| flow.from == Place::Free && !first(flow));
        if later { Lack::Balance } else { Lack::Nothing }
    }

    fn lack_of_commit(&self, call: &Commit, handle: Option<&Handle>) -> Lack {
        let Some(frame) = self.frame() else { return Lack::Nothing };
        let done = match (commit(&frame, call), handle) {
            // What a seal holds for it is not known to be free yet: a recall too many changes nothing.
            (Ok(Outcome::Elsewhere), Some(handle)) => late(&frame, call, &self.known(handle)),
            (done, _) => done,
        };
        match done {
            Ok(Outcome::Done(_, Some(event))) => of_event(&event),
            _ => Lack::Nothing,
        }
    }
}

fn of_decision(decision: Decision, reason: Option<Reason>) -> Lack {
    let short = [Reason::CreditsExhausted, Reason::BasicOnly, Reason::CapReached];
    match decision {
        Decision::Denied if reason.is_some_and(|reason| short.contains(&reason)) => Lack::Credits,
        Decision::AllowedOverage | Decision::AllowedDegraded => Lack::Balance,
        Decision::Denied | Decision::Allowed => Lack::Nothing,
    }
}

fn of_event(event: &RunEvent) -> Lack {
    if event.debt.is_positive() {
        return Lack::Credits;
    }
    let last = event.flows.iter().any(|flow| flow.from == Place::Free && flow.species.is_last_resort());
    if last { Lack::Balance } else { Lack::Nothing }
}
