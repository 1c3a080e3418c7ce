//! What the blocks of a book come to, kept beside them: a decision passes over none of them. It follows from the blocks, and
//! is no part of what a book is.

use super::block::Block;
use super::pool::{Pool, PoolId};
use crate::types::{Credits, Timestamp};

#[derive(Clone, Debug, Default)]
pub struct Tally(Option<Known>);

#[derive(Clone, Debug)]
struct Known {
    /// From here on no block begins or ceases to pay…
    from: Timestamp,
    /// …before this instant.
    until: Timestamp,
    /// What each pool's blocks have available that count as balance and pay in that time.
    balances: Vec<Credits>,
    /// When the first block ends of which anything is available.
    ends: Option<Timestamp>,
}

/// What the pools of a path have available, of blocks that count as balance and pay at this instant.
pub fn balance(pools: &[Pool], path: &[PoolId], at: Timestamp) -> Credits {
    pools.iter().filter(|pool| path.contains(&pool.id)).map(|pool| balance_of(pool, at)).sum()
}

/// When the first block ends of which anything is available.
pub fn first_end(pools: &[Pool]) -> Option<Timestamp> {
    let blocks = pools.iter().flat_map(|pool| &pool.blocks);
    blocks.filter(|block| block.available.is_positive()).filter_map(|block| block.expires_at).min()
}

impl Tally {
    /// Takes the sums as they are at this instant, where they are not known for it.
    pub fn look(&mut self, pools: &[Pool], at: Timestamp) {
        if self.known(at).is_some() {
            return;
        }
        let (mut from, mut until) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        let blocks = pools.iter().flat_map(|pool| &pool.blocks);
        for change in blocks.flat_map(|block| [Some(block.effective_at), block.expires_at]).flatten() {
            if change <= at {
                from = from.max(change);
            } else {
                until = until.min(change);
            }
        }
        let balances = pools.iter().map(|pool| balance_of(pool, at)).collect();
        self.0 = Some(Known { from, until, balances, ends: first_end(pools) });
    }

    /// The sums follow no more.
    pub fn forget(&mut self) {
        self.0 = None;
    }

    /// What a block of the pool at this place has available has changed.
    pub fn moved(&mut self, place: usize, block: &Block, before: Credits) {
        let Some(known) = &mut self.0 else { return };
        let now = block.available;
        if now.is_positive() && !before.is_positive() {
            known.ends = [known.ends, block.expires_at].into_iter().flatten().min();
        } else if before.is_positive() && !now.is_positive() && known.ends == block.expires_at {
            return self.forget();
        }
        if counts(block, known.from) {
            match known.balances.get_mut(place) {
                Some(balance) => *balance += now - before,
                None => self.forget(),
            }
        }
    }

    /// `balance`, as it is known.
    pub fn balance(&self, pools: &[Pool], path: &[PoolId], at: Timestamp) -> Credits {
        let Some(known) = self.known(at) else { return balance(pools, path, at) };
        let of = pools.iter().zip(&known.balances).filter(|(pool, _)| path.contains(&pool.id));
        of.map(|(_, balance)| *balance).sum()
    }

    /// `first_end`, as it is known.
    pub fn first_end(&self, pools: &[Pool]) -> Option<Timestamp> {
        self.0.as_ref().map_or_else(|| first_end(pools), |known| known.ends)
    }

    /// Whether the sums are those of the blocks.
    pub fn check(&self, pools: &[Pool]) -> Result<(), String> {
        let Some(known) = &self.0 else { return Ok(()) };
        let balances: Vec<_> = pools.iter().map(|pool| balance_of(pool, known.from)).collect();
        if known.balances.iter().ne(balances.iter().take(known.balances.len())) {
            return Err(format!("balances are {balances:?}, kept are {:?}", known.balances));
        }
        if known.ends != first_end(pools) {
            return Err(format!("the first block ends {:?}, kept is {:?}", first_end(pools), known.ends));
        }
        Ok(())
    }

    fn known(&self, at: Timestamp) -> Option<&Known> {
        self.0.as_ref().filter(|known| known.from <= at && at < known.until)
    }
}

impl PartialEq for Tally {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

fn balance_of(pool: &Pool, at: Timestamp) -> Credits {
    pool.blocks.iter().filter(|block| counts(block, at)).map(|block| block.available).sum()
}

fn counts(block: &Block, at: Timestamp) -> bool {
    !block.species.is_last_resort() && block.pays(at)
}
