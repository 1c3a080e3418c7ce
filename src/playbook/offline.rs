//! What a sidecar that cannot reach the ledger may do, and for how long leases last.

use super::cap::CapWindow;
use crate::types::{Credits, Length};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offline {
    pub mode: OfflineMode,
    /// The longest time that the mode serves runs past the lease.
    pub lasts: Length,
    /// How long a run waits for the ledger's word.
    pub wait: Length,
    /// How long a lease lasts without being renewed.
    pub lease: Length,
    /// How long after its end a silent lease goes back to the account.
    pub reclaim_after: Length,
}

/// What becomes of a run that the lease in hand can't pay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfflineMode {
    #[default]
    Deny,
    /// Basic actions go on.
    Basic,
    /// Runs go on while the allowance lasts that was leased in advance.
    Emergency(Emergency),
    Allow,
}

/// Credits for use while the ledger can't be reached: per account and window, over all its sidecars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emergency {
    pub credits: Credits,
    pub every: CapWindow,
}

impl Default for Offline {
    fn default() -> Self {
        Self {
            mode: OfflineMode::Deny,
            lasts: Length::hours(1),
            wait: Length::seconds(1),
            lease: Length::seconds(60),
            reclaim_after: Length::minutes(15),
        }
    }
}
