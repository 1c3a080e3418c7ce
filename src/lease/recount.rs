//! What a sidecar tells a ledger that was restored from a backup: all that it ever charged of an account, and all that its
//! lease holds. What this shows and no record explains was lost with the ledger's last hours.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use crate::credit::{CapKey, Place, RunEvent};
use crate::types::{BlockId, Credits, LeaseId};

/// Blocks of one account whose charges a sidecar counts at most: the newest. Months of allowances and packs.
const COUNTED_MAX: usize = 1024;

/// The ledger counts more of them, so that it has every one that the sidecar names.
const BOOKED_MAX: usize = 2 * COUNTED_MAX;

/// What the records of one sidecar charged to each block of an account, over all its life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Charged {
    #[n(0)]
    by: BTreeMap<BlockId, Credits>,
    /// The number of the last record that is told to the ledger; 0 = none.
    #[n(1)]
    pub through: u64,
}

/// One account's slice at a sidecar, counted anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Recount {
    /// What this sidecar's records charged, by block.
    #[n(0)]
    pub charged: Vec<(BlockId, Credits)>,
    /// The lease in hand and how many grants of it came; `None` where it is over and only runs are left of it.
    #[n(1)]
    pub lease: Option<(LeaseId, u32)>,
    /// What the slice has of each block, idle or held.
    #[n(2)]
    pub out: Vec<(BlockId, Credits)>,
    /// Room that the slice has, idle or held.
    #[n(3)]
    pub rooms: Vec<(CapKey, Credits)>,
    /// The last record of the account that is counted in here.
    #[n(4)]
    pub through: u64,
}

/// By how much a record charges more or (negative) less to each block, as its sidecar saw it. A block may come twice.
pub fn charges(event: &RunEvent) -> impl Iterator<Item = (BlockId, Credits)> {
    event.flows.iter().filter_map(|flow| match (flow.from == Place::Spent, flow.to == Place::Spent) {
        (false, true) => Some((flow.block, flow.amount)),
        (true, false) => Some((flow.block, -flow.amount)),
        _ => None,
    })
}

impl Charged {
    /// Counts a record, at the sidecar that writes it.
    pub fn count(&mut self, event: &RunEvent) {
        self.add(charges(event), COUNTED_MAX);
    }

    /// Counts what a record charged, at the ledger.
    pub fn book(&mut self, charges: impl IntoIterator<Item = (BlockId, Credits)>) {
        self.add(charges, BOOKED_MAX);
    }

    fn add(&mut self, charges: impl IntoIterator<Item = (BlockId, Credits)>, most: usize) {
        for (block, amount) in charges {
            *self.by.entry(block).or_default() += amount;
        }
        while self.by.len() > most {
            self.by.pop_first();
        }
    }

    pub fn of(&self, block: BlockId) -> Credits {
        self.by.get(&block).copied().unwrap_or_default()
    }

    pub fn all(&self) -> Vec<(BlockId, Credits)> {
        self.by.iter().map(|(block, amount)| (*block, *amount)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_blocks_are_forgotten_and_the_ledger_remembers_longer() {
        let (mut counted, mut booked) = (Charged::default(), Charged::default());
        let last = u64::try_from(COUNTED_MAX + 10).unwrap();
        for block in 1..=last {
            counted.add([(BlockId(block), Credits::whole(1))], COUNTED_MAX);
            booked.book([(BlockId(block), Credits::whole(1))]);
        }
        assert_eq!(counted.all().len(), COUNTED_MAX);
        assert!(counted.all().iter().all(|(block, amount)| booked.of(*block) == *amount));
    }
}
