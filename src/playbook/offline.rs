//! What a sidecar that cannot reach the ledger may do, and for how long leases last.

use crate::types::Length;

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

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OfflineMode {
    #[default]
    Deny,
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
