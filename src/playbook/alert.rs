//! C14: what is raised, once, when its condition becomes true.

use crate::types::{Credits, Name, Percent};

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
}

/// A share of the period's allowance, or credits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Threshold {
    OfAllowance(Percent),
    Credits(Credits),
}
