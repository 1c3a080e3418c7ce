//! Runs that are open here and that the ledger may have settled.

use super::run::Step;
use super::state::{Here, Wallet};
use crate::types::{ReservationId, SidecarId};

/// The settler that no sidecar is.
const LEDGER: SidecarId = SidecarId([0; 16]);

/// Runs that the ledger was asked about are remembered for so long, in microseconds: what is open here then is not from
/// an ask that nobody answered. And so many of them: one a call under way, and those of an hour without a ledger.
const DOUBTFUL_MICROS: i64 = 3_600_000_000;
const DOUBTFUL_MAX: usize = 10_000;

impl Wallet {
    /// The ledger is asked. Where no answer comes, it may have decided all the same: then there are two holds of one run.
    pub(super) fn decide<A>(&mut self, id: ReservationId, here: Here<'_>) -> Step<A> {
        if self.doubtful.len() >= DOUBTFUL_MAX {
            self.doubtful.retain(|_, until| *until > here.at);
        }
        if self.doubtful.len() < DOUBTFUL_MAX {
            self.doubtful.insert(id, here.at.plus_micros(DOUBTFUL_MICROS));
        }
        Step::Decide
    }

    /// Whoever else may have settled a run that is open here: the ledger, where the run is on its way there, or may have
    /// been since it was asked whether it may begin.
    pub(super) fn other_settler(&self, id: ReservationId) -> Option<SidecarId> {
        let doubtful = self.doubtful.contains_key(&id);
        (doubtful || self.is_handing(id)).then_some(LEDGER)
    }
}
