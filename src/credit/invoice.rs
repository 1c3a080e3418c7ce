//! Billing lines: what an account owes besides what its allowance pays for, for a billing system to collect.

use minicbor::{Decode, Encode};

use crate::types::{Credits, Money, Name, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum LineKind {
    /// Billed in advance, or a share of it where a plan changed.
    #[n(0)]
    Fee,
    /// What a commitment falls short of.
    #[n(1)]
    Commitment,
    #[n(2)]
    Pack,
    /// Credits past the allowance, and debt that no later period can repay.
    #[n(3)]
    Overage,
    /// Money that goes back: its amount is what the customer gets. An export shows it below zero, so that a column sums.
    #[n(4)]
    Refund,
}

/// One line. A `fee` or an `overage` line below zero gives back what an earlier one billed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Line {
    #[n(0)]
    pub kind: LineKind,
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    pub credits: Credits,
    /// In the currency of the account's playbook, discounts taken off.
    #[n(3)]
    pub amount: Money,
    /// The stretch that it is for.
    #[n(4)]
    pub from: Timestamp,
    #[n(5)]
    pub to: Option<Timestamp>,
    /// The plan, add-on or pack.
    #[n(6)]
    pub what: Option<Name>,
}

impl LineKind {
    pub const ALL: [Self; 5] = [Self::Fee, Self::Commitment, Self::Pack, Self::Overage, Self::Refund];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Fee => "fee",
            Self::Commitment => "commitment",
            Self::Pack => "pack",
            Self::Overage => "overage",
            Self::Refund => "refund",
        }
    }

    /// Whether a commitment's discount is taken off it, and it counts towards what was promised.
    pub const fn counts(self) -> bool {
        matches!(self, Self::Fee | Self::Overage | Self::Pack)
    }
}
