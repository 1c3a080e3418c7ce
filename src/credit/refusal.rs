//! The business "no", and the decision with which every question is answered.

use std::fmt;

use minicbor::{Decode, Encode};

use crate::types::{Credits, Name, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Decision {
    #[n(0)]
    Allowed,
    /// An `overage`, `borrowed` or `emergency` block pays part.
    #[n(1)]
    AllowedOverage,
    /// Degraded use carries it.
    #[n(2)]
    AllowedDegraded,
    #[n(3)]
    Denied,
}

/// Why a run is denied. The order is the order of precedence: the first that applies is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    #[n(0)]
    AccountUnknown,
    #[n(1)]
    AccountSuspended,
    #[n(2)]
    ActionNotIncluded,
    #[n(3)]
    CapReached,
    /// A child that its parent's reservation can't pay.
    #[n(4)]
    RunBudgetExhausted,
    #[n(5)]
    LedgerUnreachable,
    /// Only basic actions still run.
    #[n(6)]
    BasicOnly,
    #[n(7)]
    CreditsExhausted,
}

/// A refusal with what the caller may want to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    /// The cap that refused: the first in the plan's order.
    pub cap: Option<Name>,
    /// When the refusal may end: the cap's window or the next period.
    pub retry_at: Option<Timestamp>,
}

/// Credits that unreachable or sealed sidecars hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfReach {
    pub credits: Credits,
    pub until: Timestamp,
}

impl Refusal {
    pub fn because(reason: Reason) -> Self {
        Self { reason, cap: None, retry_at: None }
    }
}

impl Reason {
    pub const ALL: [Self; 8] = [
        Self::AccountUnknown,
        Self::AccountSuspended,
        Self::ActionNotIncluded,
        Self::CapReached,
        Self::RunBudgetExhausted,
        Self::LedgerUnreachable,
        Self::BasicOnly,
        Self::CreditsExhausted,
    ];

    /// The word in answers and scenarios.
    pub const fn word(self) -> &'static str {
        match self {
            Self::AccountUnknown => "ACCOUNT_UNKNOWN",
            Self::AccountSuspended => "ACCOUNT_SUSPENDED",
            Self::ActionNotIncluded => "ACTION_NOT_INCLUDED",
            Self::CapReached => "CAP_REACHED",
            Self::RunBudgetExhausted => "RUN_BUDGET_EXHAUSTED",
            Self::LedgerUnreachable => "LEDGER_UNREACHABLE",
            Self::BasicOnly => "BASIC_ONLY",
            Self::CreditsExhausted => "CREDITS_EXHAUSTED",
        }
    }
}

impl Decision {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Allowed => "ALLOWED",
            Self::AllowedOverage => "ALLOWED_OVERAGE",
            Self::AllowedDegraded => "ALLOWED_DEGRADED",
            Self::Denied => "DENIED",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
