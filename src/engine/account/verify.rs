//! The invariants of the whole account.

use std::collections::BTreeMap;

use super::state::Account;
use crate::credit::conservation;

impl Account {
    /// Conservation in every block, holds accounted for, caps and debt in range.
    pub fn verify(&self) -> Result<(), String> {
        conservation::check(&self.book, &self.elsewhere())?;
        self.verify_idle()
    }

    /// Whether an account that was replayed from this one's journal is this one. What no journal has, the running
    /// totals, may differ.
    pub fn is_same_as(&self, replayed: &Self) -> bool {
        let (at, none) = (self.clock, BTreeMap::new());
        let mut leases = replayed.leases.clone();
        for (sidecar, lease) in &mut leases {
            if let Some(live) = self.leases.get(sidecar) {
                lease.totals = live.totals.clone();
            }
        }
        let mut then = replayed.clone();
        then.leases.clone_from(&leases);
        self.balance(at, &none) == then.balance(at, &none)
            && self.book.runs == replayed.book.runs
            && self.book.counters == replayed.book.counters
            && self.leases == leases
    }
}
