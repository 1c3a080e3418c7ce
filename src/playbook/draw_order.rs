//! C10: which block burns first.

use std::fmt;

use minicbor::{Decode, Encode};

/// Where the credits of a block come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum Species {
    #[n(0)]
    Subscription,
    #[n(1)]
    Rollover,
    #[n(2)]
    Incentive,
    #[n(3)]
    OnDemand,
    #[n(4)]
    Refund,
    #[n(5)]
    Borrowed,
    #[n(6)]
    Overage,
    #[n(7)]
    Basic,
    #[n(8)]
    Emergency,
}

impl Species {
    pub const ALL: [Self; 9] = [
        Self::Subscription,
        Self::Rollover,
        Self::Incentive,
        Self::OnDemand,
        Self::Refund,
        Self::Borrowed,
        Self::Overage,
        Self::Basic,
        Self::Emergency,
    ];

    /// The word in playbooks, scenarios and answers.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Subscription => "subscription",
            Self::Rollover => "rollover",
            Self::Incentive => "incentive",
            Self::OnDemand => "on_demand",
            Self::Refund => "refund",
            Self::Borrowed => "borrowed",
            Self::Overage => "overage",
            Self::Basic => "basic",
            Self::Emergency => "emergency",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|species| species.word() == word)
    }

    /// Whether it comes after all others, whatever the plan's draw order says, and is no part of the balance.
    pub const fn is_last_resort(self) -> bool {
        matches!(self, Self::Borrowed | Self::Overage | Self::Basic | Self::Emergency)
    }
}

impl Species {
    /// Whether it is over when its subscription is: what was bought, awarded or refunded is not.
    pub const fn ends_with_subscription(self) -> bool {
        matches!(self, Self::Subscription | Self::Rollover | Self::Borrowed | Self::Overage | Self::Basic)
    }
}

impl fmt::Display for Species {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The plan's order among blocks of one priority, last resorts excepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DrawOrder {
    /// First expiring first; a block without expiry last.
    #[default]
    Fefo,
    /// Oldest first.
    Fifo,
    /// Newest first.
    Lifo,
    /// Species in this order, FEFO inside each; species not listed come after.
    Species(Vec<Species>),
}
