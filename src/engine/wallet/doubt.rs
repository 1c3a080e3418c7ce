//! Runs that are open here and that the ledger may have settled.

use super::run::Step;
use super::state::Wallet;
use crate::credit::{Change, RunEvent};
use crate::types::{ReservationId, SidecarId};

/// The settler that no sidecar is.
const LEDGER: SidecarId = SidecarId([0; 16]);

/// Questions to the ledger that are remembered: more than an account has under way, each for a few seconds at most.
const ASKED_MAX: usize = 4096;

impl Wallet {
    /// The ledger is asked whether a run may begin.
    pub(super) fn decide<A>(&mut self, id: ReservationId) -> Step<A> {
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(id);
        Step::Decide
    }

    /// A run begins here because the ledger did not answer. It may have decided it all the same: then there are two holds.
    pub(super) fn begins_unanswered(&self, event: &mut RunEvent) {
        if let Change::Reserved(run) = &mut event.change {
            run.doubtful = self.asked.contains(&run.id);
        }
    }

    /// Whoever else may have settled a run that is open here: the ledger, where the run is on its way there, or may have
    /// begun there too.
    pub(super) fn other_settler(&self, id: ReservationId) -> Option<SidecarId> {
        let doubtful = self.book.runs.get(&id).is_some_and(|run| run.doubtful);
        (doubtful || self.is_handing(id)).then_some(LEDGER)
    }
}
