//! What a run holds: draws on blocks, in the order in which they were drawn.

use minicbor::{Decode, Encode};

use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits};

/// Credits of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Draw {
    #[n(0)]
    pub block: BlockId,
    #[n(1)]
    pub species: Species,
    #[n(2)]
    pub amount: Credits,
}

pub fn total(draws: &[Draw]) -> Credits {
    draws.iter().map(|draw| draw.amount).sum()
}

/// The first `amount` of the draws, in their order, and what is missing where they hold less.
pub fn first(draws: &[Draw], amount: Credits) -> (Vec<Draw>, Credits) {
    split(draws.iter(), amount)
}

/// The last `amount` of the draws, the last one first: what a lowered charge unwinds.
pub fn last(draws: &[Draw], amount: Credits) -> (Vec<Draw>, Credits) {
    split(draws.iter().rev(), amount)
}

fn split<'a>(draws: impl Iterator<Item = &'a Draw>, amount: Credits) -> (Vec<Draw>, Credits) {
    let mut left = amount;
    let mut taken = Vec::new();
    for draw in draws {
        if !left.is_positive() {
            break;
        }
        let part = draw.amount.min(left);
        if part.is_positive() {
            taken.push(Draw { amount: part, ..*draw });
            left -= part;
        }
    }
    (taken, left)
}

/// Adds a draw: to the last entry of the same block, or at the end.
pub fn add(draws: &mut Vec<Draw>, draw: Draw) {
    match draws.iter_mut().rev().find(|held| held.block == draw.block) {
        Some(held) => held.amount += draw.amount,
        None => draws.push(draw),
    }
}

/// Takes a draw out, from the first entries of its block on; says what could not be taken.
pub fn remove(draws: &mut Vec<Draw>, draw: &Draw) -> Credits {
    let mut left = draw.amount;
    for held in draws.iter_mut().filter(|held| held.block == draw.block) {
        let part = held.amount.min(left);
        held.amount -= part;
        left -= part;
    }
    draws.retain(|held| held.amount.is_positive());
    left
}

/// A share of what is held of one block goes on in another, right behind what stays.
pub fn split_off(draws: &mut Vec<Draw>, block: BlockId, heir: Draw) {
    let mut left = heir.amount;
    let mut end = draws.len();
    for (index, held) in draws.iter_mut().enumerate().rev().filter(|(_, held)| held.block == block) {
        let part = held.amount.min(left);
        held.amount -= part;
        left -= part;
        end = end.min(index + 1);
    }
    let amount = heir.amount - left;
    if amount.is_positive() {
        draws.insert(end, Draw { amount, ..heir });
    }
    draws.retain(|held| held.amount.is_positive());
}

/// Sums by species, in the order of the species.
pub fn by_species<'a>(draws: impl Iterator<Item = &'a Draw>) -> Vec<(Species, Credits)> {
    let mut sums: Vec<(Species, Credits)> = Vec::new();
    for draw in draws {
        match sums.iter_mut().find(|(species, _)| *species == draw.species) {
            Some((_, sum)) => *sum += draw.amount,
            None => sums.push((draw.species, draw.amount)),
        }
    }
    sums.sort_by_key(|(species, _)| *species);
    sums
}
