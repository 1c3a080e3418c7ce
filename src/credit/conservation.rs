//! What always holds in a book; checked after every step of a scenario and throughout simulation.

use std::collections::BTreeMap;

use super::block::Block;
use super::book::Book;
use crate::types::{BlockId, Credits};

/// The block equation, and no column below zero. Answers the first violation in words.
pub fn check_block(block: &Block) -> Result<(), String> {
    let sum = block.available + block.held + block.spent + block.lapsed + block.withdrawn;
    if sum != block.granted {
        return Err(format!("block {:?}: columns add up to {sum}, granted are {}", block.id, block.granted));
    }
    for (column, amount) in [
        ("granted", block.granted),
        ("available", block.available),
        ("held", block.held),
        ("spent", block.spent),
        ("lapsed", block.lapsed),
        ("withdrawn", block.withdrawn),
    ] {
        if amount.is_negative() {
            return Err(format!("block {:?}: {column} is {amount}", block.id));
        }
    }
    Ok(())
}

/// Checks a book; `elsewhere` are holds on its blocks besides those of its open runs (leases and seals at the ledger).
pub fn check(book: &Book, elsewhere: &BTreeMap<BlockId, Credits>) -> Result<(), String> {
    let mut held = elsewhere.clone();
    for run in book.runs.values() {
        for draw in &run.held {
            *held.entry(draw.block).or_default() += draw.amount;
        }
    }
    for block in book.blocks() {
        check_block(block)?;
        let expected = held.remove(&block.id).unwrap_or_default();
        if expected != block.held {
            return Err(format!(
                "block {:?}: {} is held, runs and leases hold {expected}",
                block.id, block.held
            ));
        }
    }
    if let Some((block, amount)) = held.into_iter().find(|(_, amount)| amount.is_positive()) {
        return Err(format!("block {block:?} is unknown, and {amount} of it is held"));
    }
    for pool in &book.pools {
        if pool.debt.is_negative() || pool.observed_debt > pool.debt {
            return Err(format!("pool {}: debt is {}, observed {}", pool.id, pool.debt, pool.observed_debt));
        }
    }
    book.tally.check(&book.pools)?;
    for (key, counter) in book.counters.iter() {
        if counter.held.is_negative() || counter.spent.is_negative() {
            return Err(format!("cap {key:?}: held {}, spent {}", counter.held, counter.spent));
        }
    }
    Ok(())
}
