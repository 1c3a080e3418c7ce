//! What one account's recalls brought: who answered, whose idle slices are still to be asked for, and whom a recall served.

use super::slot::State;
use crate::types::{SidecarId, Timestamp};

impl State {
    /// A sidecar has answered recalls through this number. Whether that answers one that another process may wait for.
    pub fn answer(&mut self, sidecar: SidecarId, recall: u64) -> bool {
        self.silent.remove(&sidecar);
        let newest = self.answered.entry(sidecar).or_default();
        let before = std::mem::replace(newest, recall.max(*newest));
        self.recalled.is_some_and(|asked| before < asked && asked <= recall)
    }

    /// An ask comes that may need a recall; answers its number.
    pub fn arrives(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// Whether a recall brought what was idle after this ask had come, while it waited for its turn: then it needs none of
    /// its own, as long as no more was lent than this. Without that, each of many refusals would wait for a recall.
    pub fn gathered_for(&self, arrived: u64) -> Option<u64> {
        let (through, lent) = self.gathered;
        (arrived <= through).then_some(lent)
    }

    /// Whether a sidecar holds anything of the account.
    pub fn holds(&self, sidecar: SidecarId) -> bool {
        self.account.leases.get(&sidecar).is_some_and(|lease| self.account.lends(lease))
    }

    /// Sidecars with a live lease of something.
    pub fn holders(&self, at: Timestamp) -> Vec<SidecarId> {
        let leases = self.account.leases.iter().filter(|(_, lease)| lease.ends_at > at);
        leases.map(|(sidecar, _)| *sidecar).filter(|sidecar| self.holds(*sidecar)).collect()
    }
}
