//! What a sidecar must know of an account to decide: it comes with every lease and with every change.

use minicbor::{Decode, Encode};

use crate::playbook::overlay::Overlay;
use crate::types::{Credits, Name, ReservationId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccountTerms {
    #[n(0)]
    pub plan: Name,
    #[n(1)]
    pub version: u32,
    /// The subscription's start.
    #[n(2)]
    pub origin: Timestamp,
    /// An IANA name.
    #[n(3)]
    pub zone: String,
    #[n(4)]
    pub suspended: bool,
    #[n(5)]
    pub overage_limit: Option<Credits>,
    #[n(6)]
    pub period_ends: Timestamp,
    /// Authenticates the account's handles.
    #[n(7)]
    pub key: HandleKey,
    /// The account has debt: what comes back to it pays that first, so nothing stays idle at a sidecar.
    #[n(8)]
    pub owes: bool,
    /// What the account has beside its plan, or in its place. Earlier builds do not send it.
    #[cbor(n(9), default)]
    pub overlay: Overlay,
    /// Refunds of runs that a sidecar may still remember. Earlier builds do not send them.
    #[cbor(n(10), default)]
    pub refunds: Vec<Refund>,
}

/// The most refunds that come with an account's terms: the newest ones.
pub const REFUNDS_TOLD_MAX: usize = 64;

/// What of a run's charge was given back, in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refund {
    #[n(0)]
    pub run: ReservationId,
    #[n(1)]
    pub credits: Credits,
}

/// A key of the account's ring.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct HandleKey {
    #[n(0)]
    pub id: u32,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub secret: [u8; 32],
}

impl std::fmt::Debug for HandleKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HandleKey({}, …)", self.id)
    }
}
