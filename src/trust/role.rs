//! What operators may be. Which calls a role may make stands with the calls (`grpc/permits.rs`).

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Keeps accounts running: suspends, sets limits, moves credits between pools.
    Operator,
    /// Spends the buyer's money: subscriptions, seats, packs.
    Buyer,
    /// Everything.
    Administrator,
    /// Looks, and reads the journals.
    Auditor,
}

impl Role {
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Operator, Self::Buyer, Self::Administrator, Self::Auditor];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Buyer => "buyer",
            Self::Administrator => "administrator",
            Self::Auditor => "auditor",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|role| role.word() == text).ok_or_else(|| {
            format!(
                "`{text}` is no role; roles are `viewer`, `operator`, `buyer`, `administrator` and `auditor`"
            )
        })
    }
}
