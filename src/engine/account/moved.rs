//! What entries say of credits that are bought, roll over or are borrowed.

use minicbor::{Decode, Encode};

use crate::credit::Block;
use crate::types::{BlockId, Credits, Money, Name, ReservationId, SidecarId, Timestamp};

/// A pack that was bought.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Purchase {
    #[n(0)]
    pub pack: Name,
    #[n(1)]
    pub credits: Credits,
    #[n(2)]
    pub price: Money,
    #[n(3)]
    pub by: Buyer,
    /// The member who bought it.
    #[n(4)]
    pub user: Option<Name>,
    #[n(5)]
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Buyer {
    #[n(0)]
    Admin,
    #[n(1)]
    Member,
    /// The plan's top-up.
    #[n(2)]
    TopUp,
}

/// Credits of a block that ended with its period go on in another.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Rolled {
    #[n(0)]
    pub from: BlockId,
    /// The block that they go on in, as it is born: empty.
    #[n(1)]
    pub block: Box<Block>,
    /// What was available.
    #[n(2)]
    pub available: Credits,
    /// Shares of what runs hold.
    #[n(3)]
    pub runs: Vec<(ReservationId, Credits)>,
    /// What leases hold, idle or reserved.
    #[n(4)]
    pub leases: Vec<(SidecarId, Credits)>,
    /// What seals hold.
    #[n(5)]
    pub seals: Vec<(SidecarId, Credits)>,
}

/// By how much a next allowance was lowered for what was borrowed from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    pub amount: Credits,
    /// The allowance's block: what is given back of a borrowed hold comes back there.
    pub by: Option<BlockId>,
}
