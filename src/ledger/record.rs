//! What the ledger's store keeps: one record per thing that happened, in the journals' encoding.

use minicbor::{Decode, Encode};

use crate::engine::account::Entry;
use crate::lease::Acting;
use crate::types::{AccountId, Epoch, RequestId, SidecarId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LedgerRecord {
    /// The first record: which ledger this is.
    #[n(0)]
    Identity(#[n(0)] Identity),
    #[n(1)]
    Published(#[n(0)] Published),
    /// All entries of one write to one account: whole or not at all.
    #[n(2)]
    Entries(#[n(0)] Entries),
    /// A sidecar's start became its current one, or more of its records became durable.
    #[n(3)]
    Attached(#[n(0)] Known),
    /// A sidecar's record that could not be applied: kept, so that nothing reported is ever lost.
    #[n(4)]
    Unapplied(#[n(0)] Unapplied),
}

/// Which ledger this is.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Identity {
    /// The accounts' keys are derived from it.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub secret: [u8; 32],
    /// Which life of the store this is; epochs of sidecars begin with it.
    #[n(1)]
    pub generation: u32,
    /// Until then the ledger learns what it lost: nothing new is leased. `None` in a ledger that was never restored.
    #[n(2)]
    pub learning_until: Option<Timestamp>,
}

/// A version of the playbook.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Published {
    #[n(0)]
    pub version: u32,
    #[n(1)]
    pub source: String,
    #[n(2)]
    pub at: Timestamp,
    /// The write that published it.
    #[n(3)]
    pub request: Option<RequestId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entries {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub entries: Vec<Entry>,
}

/// How a sidecar stands: its current start, and how far its records are durable.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Known {
    #[n(0)]
    pub sidecar: SidecarId,
    #[n(1)]
    pub epoch: Epoch,
    #[n(2)]
    pub at: Timestamp,
    /// Everything through this number of its journal is durable here; `None` where an earlier build wrote it.
    #[n(3)]
    pub acknowledged: Option<u64>,
    /// For whom it acts; `None`: as it was.
    #[n(4)]
    pub acting: Option<Acting>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Unapplied {
    #[n(0)]
    pub sidecar: SidecarId,
    #[n(1)]
    pub epoch: Epoch,
    /// Its number in the sidecar's journal.
    #[n(2)]
    pub number: u64,
    /// As it came.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub body: Vec<u8>,
    #[n(4)]
    pub why: String,
    #[n(5)]
    pub at: Timestamp,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Identity(generation {}, …)", self.generation)
    }
}
