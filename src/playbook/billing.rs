//! C3, C4: the term, the fee and the commitment of a plan: billing lines, not invoices.

use crate::types::calendar::Every;
use crate::types::{Length, Money, Percent, Ratio};

/// How long a subscription runs before it renews or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    pub lasts: Length,
    /// Otherwise the subscription ends with its first term.
    pub renews: bool,
    pub unused: Unused,
}

/// What becomes of unused credits at the term's end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unused {
    #[default]
    Lapse,
    /// By the rollover rule, as at any period's end.
    Roll,
}

/// Billed in advance, at the start of each stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee {
    pub amount: Money,
    pub every: Every,
}

/// What the customer promised to spend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commitment {
    pub spend: Money,
    pub over: Every,
    /// On fee, overage and pack lines.
    pub discount: Percent,
}

/// An amount less a discount; a discount above 100% leaves nothing.
pub fn discounted(amount: Money, discount: Percent) -> Option<Money> {
    let off = discount.ratio()?.times(amount.decimal())?.money()?;
    let left = amount - off;
    Some(if amount.is_positive() { left.or_zero() } else { left })
}

/// A share of an amount of money, `part` of `whole` in time.
pub fn share_of(amount: Money, part: i64, whole: i64) -> Option<Money> {
    Ratio::of(amount.decimal())?.share(part, whole)?.money()
}
