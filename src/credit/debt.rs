//! Debt: what was consumed but no block could pay. The next credits granted to its pool, or coming back to it, pay it
//! first; incentives do not, and what observe mode booked is never repaid.

use super::block::{Column, Move};
use super::book::Book;
use crate::playbook::draw_order::Species;
use crate::types::{Credits, Timestamp};

/// What a pool's available credits repay of its debt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repayment {
    pub moves: Vec<Move>,
    pub paid: Credits,
}

/// Repays from every block of the pool that pays now, in draw order.
pub fn repay(book: &Book, pool: &super::pool::PoolId, at: Timestamp) -> Repayment {
    let mut out = Repayment::default();
    let Some(pool) = book.pool(pool) else { return out };
    let mut owed = pool.debt - pool.observed_debt;
    for block in &pool.blocks {
        // An incentive that rolled over is an incentive still.
        let awarded = block.rolls_as() == Species::Incentive;
        let pays = block.pays(at) && !awarded && !block.species.is_last_resort();
        let part = block.available.min(owed);
        if pays && part.is_positive() {
            out.moves.push(Move {
                block: block.id,
                from: Column::Available,
                to: Column::Spent,
                amount: part,
            });
            out.paid += part;
            owed -= part;
        }
    }
    out
}
