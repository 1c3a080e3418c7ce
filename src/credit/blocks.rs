//! The blocks of a book: added, found, moved, put away.

use super::block::{Block, Move};
use super::book::Book;
use super::pool::{PoolId, Sorting};
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Timestamp};

impl Book {
    pub fn insert(&mut self, block: Block) {
        let sorting = self.sorting.clone();
        self.pool_mut(&block.pool.clone()).insert(block, &sorting);
        self.tally.forget();
    }

    pub fn sort_by(&mut self, sorting: Sorting) {
        if self.sorting != sorting {
            for pool in &mut self.pools {
                pool.sort(&sorting);
            }
            self.sorting = sorting;
        }
    }

    pub fn block(&self, id: BlockId) -> Option<&Block> {
        self.pools.iter().find_map(|pool| pool.block(id)).or_else(|| self.archive.get(&id))
    }

    /// Takes the sums of the blocks as they are at this instant: until a block begins or ends, none is passed over for them.
    pub fn look(&mut self, at: Timestamp) {
        self.tally.look(&self.pools, at);
    }

    /// What the pools of a path have available, of blocks that count as balance and pay at this instant.
    pub fn balance(&self, path: &[PoolId], at: Timestamp) -> Credits {
        self.tally.balance(&self.pools, path, at)
    }

    /// When the first block ends of which anything is available.
    pub fn first_end(&self) -> Option<Timestamp> {
        self.tally.first_end(&self.pools)
    }

    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.pools.iter().flat_map(|pool| &pool.blocks).chain(self.archive.values())
    }

    /// Puts blocks away that have ended and hold nothing.
    pub fn archive(&mut self, at: Timestamp) {
        let done = |block: &Block| {
            block.has_ended(at) && block.held.is_zero() && block.available.is_zero()
                || !block.elastic
                    && block.held.is_zero()
                    && block.available.is_zero()
                    && block.granted == block.withdrawn
        };
        for pool in &mut self.pools {
            for block in pool.blocks.extract_if(.., |block| done(block)) {
                self.archive.insert(block.id, block);
            }
        }
    }

    /// Blocks of these species end, at the latest now.
    pub fn end_blocks(&mut self, at: Timestamp, of: impl Fn(Species) -> bool) {
        for pool in &mut self.pools {
            for block in pool.blocks.iter_mut().filter(|block| of(block.species) && !block.has_ended(at)) {
                block.expires_at = Some(at);
            }
            pool.sort(&self.sorting);
        }
        self.tally.forget();
    }

    /// A block ends at another time than before.
    pub fn ends_at(&mut self, id: BlockId, end: Option<Timestamp>) {
        if let Some(block) = self.archive.get_mut(&id) {
            block.expires_at = end;
            return;
        }
        for pool in &mut self.pools {
            if let Some(block) = pool.block_mut(id) {
                block.expires_at = end;
                pool.sort(&self.sorting);
            }
        }
        self.tally.forget();
    }

    /// Applies one move of one block. One that was put away, and has something again, is back in its pool.
    pub fn shift(&mut self, step: &Move) {
        for (place, pool) in self.pools.iter_mut().enumerate() {
            if let Some(block) = pool.block_mut(step.block) {
                let before = block.available;
                block.shift(step.from, step.to, step.amount);
                return self.tally.moved(place, block, before);
            }
        }
        let Some(block) = self.archive.get_mut(&step.block) else { return };
        block.shift(step.from, step.to, step.amount);
        let has = block.available.is_positive() || block.held.is_positive();
        if has && let Some(block) = self.archive.remove(&step.block) {
            self.insert(block);
        }
    }
}
