//! What an answer says of what comes next: what is left, and whether the next run of the same size would be refused.

use super::answer::{AuthorizeAnswer, Next};
use super::frame::Frame;
use super::judge::Judged;
use super::quote::Quote;
use crate::credit::Decision;
use crate::credit::PoolId;
use crate::credit::draw;
use crate::credit::hold::Draw;
use crate::playbook::Mode;
use crate::playbook::draw_order::Species;
use crate::types::Credits;

/// As far as is known here, would the next run of the same size be refused or degraded?
pub fn is_final(frame: &Frame<'_>, quote: &Quote<'_>, judged: &Judged) -> bool {
    if judged.free {
        return true;
    }
    let amount = quote.amount;
    let credits = match quote.parent {
        Some(parent) => parent.held_total() < amount + amount,
        None => {
            let basic_paid: Credits = judged
                .drawn
                .draws
                .iter()
                .filter(|draw| draw.species == Species::Basic)
                .map(|draw| draw.amount)
                .sum();
            // What non-basic blocks pay of this run comes off before the next one asks.
            amount.is_positive() && lacks(frame, quote, amount + amount - basic_paid)
        }
    };
    credits || judged.tight
}

/// Whether blocks other than `basic`, with what the ledger had left, could not pay so much now.
fn lacks(frame: &Frame<'_>, quote: &Quote<'_>, amount: Credits) -> bool {
    let last_resort = frame.rest().map_or(Credits::ZERO, |rest| rest.last_resort);
    let amount = amount - frame.rest_balance(&quote.path) - last_resort - frame.packs;
    let limits = frame.limits(false, &quote.path, &quote.run.subject);
    draw::missing(&frame.book.pools, amount, limits).is_positive()
}

/// What the run's pools could still pay from blocks that count as balance.
pub fn remaining(frame: &Frame<'_>, path: &[PoolId]) -> Credits {
    frame.book.balance(path, frame.at) + frame.rest_balance(path)
}

pub fn balance_part(quote: &Quote<'_>, draws: &[Draw]) -> Credits {
    if quote.parent.is_some() {
        return Credits::ZERO;
    }
    draws.iter().filter(|draw| !draw.species.is_last_resort()).map(|draw| draw.amount).sum()
}

pub fn blank(frame: &Frame<'_>) -> AuthorizeAnswer {
    AuthorizeAnswer {
        decision: Decision::Denied,
        reason: None,
        cap: None,
        reservation: None,
        held: Credits::ZERO,
        charged: Credits::ZERO,
        paid_by: Vec::new(),
        is_final: false,
        next: Next::after(&frame.contract.plan.overage),
        remaining: Credits::ZERO,
        as_of: frame.at,
        expires_at: None,
        soft_caps_reached: Vec::new(),
        enforced: frame.contract.plan.mode == Mode::Enforce,
        would_be: None,
        retry_at: None,
        version: frame.contract.playbook.version,
        out_of_reach: None,
        past_lease: false,
    }
}
