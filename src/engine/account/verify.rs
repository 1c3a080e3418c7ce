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
            && self.book.pools == replayed.book.pools
            && self.book.overage_by == replayed.book.overage_by
            && (&self.seated, &self.seat_shares, self.topped_up)
                == (&replayed.seated, &replayed.seat_shares, replayed.topped_up)
            && (&self.purchases, &self.awards, &self.awarded)
                == (&replayed.purchases, &replayed.awards, &replayed.awarded)
            && (&self.lines, &self.fees, self.term, self.committed)
                == (&replayed.lines, &replayed.fees, replayed.term, replayed.committed)
            && (&self.pending, &self.debt_billed, self.allotted, &self.allotments, &self.burn)
                == (
                    &replayed.pending,
                    &replayed.debt_billed,
                    replayed.allotted,
                    &replayed.allotments,
                    &replayed.burn,
                )
            && (&self.given, &self.sent, &self.received, &self.refunds)
                == (&replayed.given, &replayed.sent, &replayed.received, &replayed.refunds)
            && (&self.heirs, &self.covered, &self.arrivals)
                == (&replayed.heirs, &replayed.covered, &replayed.arrivals)
    }
}
