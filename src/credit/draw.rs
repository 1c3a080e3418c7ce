//! Which blocks pay for an amount.
//!
//! Each whole pool of the run's path is used up, its blocks in draw order, before the next; the last resorts come after
//! the last pool. `basic` pays only for basic actions, and only where everything before it is used up.

use super::hold::Draw;
use super::path::ACCOUNT;
use super::pool::{Pool, PoolId};
use crate::playbook::draw_order::Species;
use crate::types::{Credits, Timestamp};

/// What limits a draw besides the blocks themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits<'a> {
    /// The pools, in the order in which they are used up.
    pub path: &'a [PoolId],
    pub at: Timestamp,
    /// Whether the action is basic.
    pub basic: bool,
    /// The overage that may still be drawn, where an administrator or a limit per user says so; `None` = what the blocks
    /// have.
    pub overage: Option<Credits>,
    pub emergency: Emergency,
}

/// Whether `emergency` blocks pay: only where the ledger can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emergency {
    Never,
    /// After all others.
    Last,
    /// They alone: the run goes past a cap that only the ledger could have opened, so the allowance bounds it.
    Alone,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    pub draws: Vec<Draw>,
    pub missing: Credits,
}

pub fn draw(pools: &[Pool], amount: Credits, limits: Limits<'_>) -> Drawn {
    let mut draws = Vec::new();
    let missing = walk(pools, amount, limits, |draw| draws.push(draw));
    Drawn { draws, missing }
}

/// What of an amount no block could pay.
pub fn missing(pools: &[Pool], amount: Credits, limits: Limits<'_>) -> Credits {
    walk(pools, amount, limits, |_| {})
}

/// Draws block by block, and no further than the amount needs.
fn walk(pools: &[Pool], amount: Credits, limits: Limits<'_>, mut each: impl FnMut(Draw)) -> Credits {
    let mut missing = amount;
    let mut overage = limits.overage;
    for last_resort in [false, true] {
        // The chain is one for all: its blocks are in the account's pool, whatever the path.
        let path = if last_resort { ACCOUNT } else { limits.path };
        for pool in path.iter().filter_map(|id| pools.iter().find(|pool| pool.id == *id)) {
            for block in pool.blocks.iter().filter(|block| block.species.is_last_resort() == last_resort) {
                if !missing.is_positive() {
                    return missing;
                }
                if !block.pays(limits.at) || !limits.allow(block.species) {
                    continue;
                }
                let mut part = if block.elastic { missing } else { block.available.min(missing) };
                if let (Species::Overage, Some(left)) = (block.species, overage.as_mut()) {
                    part = part.min(*left);
                    *left -= part;
                }
                if part.is_positive() {
                    each(Draw { block: block.id, species: block.species, amount: part });
                    missing -= part;
                }
            }
        }
    }
    missing
}

impl<'a> Limits<'a> {
    /// All blocks of a path, whatever the run: for use that is booked after the fact.
    pub fn late(path: &'a [PoolId], at: Timestamp) -> Self {
        Self { path, at, basic: true, overage: None, emergency: Emergency::Never }
    }

    fn allow(&self, species: Species) -> bool {
        match (species, self.emergency) {
            (Species::Emergency, mode) => mode != Emergency::Never,
            (_, Emergency::Alone) => false,
            (Species::Basic, _) => self.basic,
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::block::Block;
    use super::super::pool::Sorting;
    use super::*;
    use crate::types::BlockId;

    #[test]
    fn draws_what_expires_first_and_the_last_resorts_last() {
        let mut pool = Pool::new(PoolId::Account);
        for (id, species, credits, ends) in [
            (1, Species::Overage, 100, None),
            (2, Species::OnDemand, 10, None),
            (3, Species::Subscription, 10, Some(50)),
            (4, Species::Incentive, 10, Some(20)),
            (5, Species::Basic, 10, None),
        ] {
            let mut block = Block::new(BlockId(id), PoolId::Account, species, Timestamp::default());
            block.expires_at = ends.map(Timestamp::from_micros);
            pool.insert(block.with(Credits::whole(credits)), &Sorting::default());
        }
        let limits = |at| Limits {
            path: ACCOUNT,
            at: Timestamp::from_micros(at),
            basic: false,
            overage: Some(Credits::whole(5)),
            emergency: Emergency::Never,
        };
        let ids = |at, amount| {
            let drawn = draw(std::slice::from_ref(&pool), Credits::whole(amount), limits(at));
            (drawn.draws.iter().map(|d| d.block.0).collect::<Vec<_>>(), drawn.missing)
        };
        assert_eq!(ids(0, 35), (vec![4, 3, 2, 1], Credits::ZERO));
        assert_eq!(ids(20, 35), (vec![3, 2, 1], Credits::whole(10)));
        assert_eq!(ids(50, 12), (vec![2, 1], Credits::ZERO));
    }
}
