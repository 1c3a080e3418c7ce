//! C14: what is raised, once, when its condition becomes true.

use rust_decimal::Decimal;

use crate::types::{Credits, Length, Name, Percent, Ratio};

#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    pub name: Name,
    pub when: Condition,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// The account's unreserved credits fall below this.
    BalanceBelow(Threshold),
    /// Spent and held of the cap reach this share of its limit, per scope and window.
    CapReaches { cap: Name, share: Percent },
    /// What is available in blocks that end within this length of time reaches `at_least`, or is anything at all.
    ExpiresWithin { lasts: Length, at_least: Credits },
    /// The period's overage reaches this: a share of `soft.up_to`, or credits.
    OverageReaches(Threshold),
    /// What this hour burned is above so many times the mean hour of the 24 before it.
    BurnAbove(Decimal),
}

impl Condition {
    /// Whether it is about this cap, and so much use of the limit reaches its share.
    pub fn cap_reaches(&self, named: &Name, limit: Credits, used: Credits) -> bool {
        let Self::CapReaches { cap, share } = self else { return false };
        let reached = || Ratio::of(used.decimal())?.at_least(share.of(limit)?);
        cap == named && reached() == Some(true)
    }
}

/// A share (of the period's allowance, or of `soft.up_to`), or credits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    Share(Percent),
    Credits(Credits),
}
