//! The mark: the most that reservations not yet on disk may add up to. After an unclean stop only so much is sealed.

use minicbor::{Decode, Encode};

use super::event::Returned;
use crate::credit::cap::Kind;
use crate::credit::draw::{self, Limits};
use crate::credit::{Book, PoolId};
use crate::playbook::Plan;
use crate::playbook::cap as policy;
use crate::types::{Credits, Timestamp};

/// One part in so many of a lease: 5%.
const PART_OF_LEASE: i64 = 20;

/// Where a plan counts runs, so many may be unflushed at once; an authorise beyond waits for its own flush.
const RUNS: u32 = 64;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Mark {
    #[n(0)]
    pub credits: Credits,
    /// `None` where no cap of the plan counts runs.
    #[n(1)]
    pub runs: Option<u32>,
}

impl Mark {
    /// For a lease with `leased` credits, of a wallet whose largest recent run was `largest`.
    pub fn of(leased: Credits, largest: Credits, plan: &Plan) -> Self {
        let part = leased.decimal() / rust_decimal::Decimal::from(PART_OF_LEASE);
        let counts = plan.caps.iter().any(|cap| Kind::of(&cap.measure) != Kind::Credits);
        Self {
            // Whole credits: what is sealed is seen in balances.
            credits: Credits::computed(part.trunc()).max(largest),
            runs: counts.then_some(RUNS),
        }
    }

    /// Whether one more reservation of `amount` may go unflushed beside those that are.
    pub fn covers(&self, unflushed: Credits, runs: usize, amount: Credits) -> bool {
        unflushed + amount <= self.credits && self.runs.is_none_or(|most| runs < most as usize)
    }

    /// What to seal of a slice: from the head of the draw order, and as much room of every counter as those
    /// reservations can have held.
    pub fn seal(&self, book: &Book, plan: &Plan, at: Timestamp) -> Returned {
        // Whose runs they were is not known: any pool may have paid.
        let pools: Vec<PoolId> = book.pools.iter().map(|pool| pool.id.clone()).collect();
        let drawn = draw::draw(&book.pools, self.credits, Limits::late(&pools, at));
        let elastic = |id| book.block(id).is_some_and(|block| block.elastic);
        let rooms = book.counters.shared().filter_map(|(key, counter)| {
            let kind = Kind::of(&policy::named(plan, key.cap.as_str())?.measure);
            let most = match kind {
                Kind::Credits => self.credits,
                Kind::Runs | Kind::Concurrent => Credits::whole(self.runs.unwrap_or(0).into()),
            };
            let amount = counter.room().min(most);
            amount.is_positive().then(|| (key.clone(), amount))
        });
        Returned {
            slices: drawn
                .draws
                .iter()
                .filter(|draw| !elastic(draw.block))
                .map(|draw| (draw.block, draw.amount))
                .collect(),
            rooms: rooms.collect(),
        }
    }
}
