//! What is told to a ledger that was restored from a backup.

use super::state::Wallet;
use crate::lease::{Recount, WalletEvent};
use crate::types::{BlockId, Credits, ReservationId};

impl Wallet {
    /// The slice, counted anew; `None` while families are on their way to the account itself: the ledger has them already,
    /// and the slice still holds them.
    pub fn recount(&self) -> Option<Recount> {
        if !self.handing.is_empty() {
            return None;
        }
        let blocks = self.book.pools.iter().flat_map(|pool| &pool.blocks);
        let out: Vec<(BlockId, Credits)> = blocks
            .map(|block| (block.id, block.available + block.held))
            .filter(|(_, amount)| amount.is_positive())
            .collect();
        let shared = self.book.counters.shared();
        let rooms = shared
            .map(|(key, counter)| (key.clone(), counter.leased()))
            .filter(|(_, amount)| amount.is_positive())
            .collect();
        Some(Recount {
            charged: self.charged.all(),
            lease: self.lease.as_ref().map(|lease| (lease.lease, lease.number)),
            out,
            rooms,
            through: self.charged.through,
        })
    }

    /// Whether a run is on its way to the account itself: the ledger may have settled it already.
    pub fn is_handing(&self, id: ReservationId) -> bool {
        // Each record of a run asks: mostly none is on its way.
        !self.handing_roots.is_empty()
            && self.book.runs.get(&id).is_some_and(|run| self.handing_roots.contains(&run.root))
    }

    /// The last record that counts in a recount.
    pub fn counted_through(&self) -> u64 {
        self.charged.through
    }

    pub(super) fn count(&mut self, event: &WalletEvent) {
        if let WalletEvent::Run(run) = event
            && event.is_reported()
        {
            self.charged.count(run);
        }
    }
}
