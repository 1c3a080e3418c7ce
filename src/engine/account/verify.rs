//! The invariants of the whole account.

use super::state::Account;
use crate::credit::conservation;

impl Account {
    /// Conservation in every block, holds accounted for, caps and debt in range.
    pub fn verify(&self) -> Result<(), String> {
        conservation::check(&self.book, &self.elsewhere())?;
        self.verify_idle()
    }

    /// Whether an account that was replayed from this one's journal is this one. What no journal has may differ: running
    /// totals, what was told of them, and how far time has come since the last entry.
    pub fn is_same_as(&self, replayed: &Self) -> bool {
        let mut then = Self {
            clock: self.clock,
            idle: self.idle.clone(),
            told_dry: self.told_dry.clone(),
            ..replayed.clone()
        };
        for (sidecar, lease) in &mut then.leases {
            if let Some(live) = self.leases.get(sidecar) {
                lease.totals.clone_from(&live.totals);
            }
        }
        *self == then
    }
}
