//! What entries say of leases, and of what sidecars report.

use minicbor::{Decode, Encode};

use crate::credit::hold::{self, Draw};
use crate::credit::{CapKey, Final, Move, PoolId};
use crate::lease::WalletEvent;
use crate::types::{BlockId, Credits, Epoch, LeaseId, ReservationId, SidecarId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Unexplained {
    #[n(0)]
    pub sidecar: SidecarId,
    /// What the sidecar charged beyond what is known here, by the blocks that it named.
    #[n(1)]
    pub charged: Vec<(BlockId, Credits)>,
    /// What paid for it here.
    #[n(2)]
    pub moves: Vec<Move>,
    /// Of this, what the sidecar's lease held.
    #[n(3)]
    pub lease: Vec<(BlockId, Credits)>,
    /// What no block could pay.
    #[n(4)]
    pub debt: Credits,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Recounted {
    #[n(0)]
    pub sidecar: SidecarId,
    /// The lease and how many grants it had; `None` where only runs are left of it.
    #[n(1)]
    pub lease: Option<(LeaseId, u32)>,
    /// All that the slice holds from here on.
    #[n(2)]
    pub out: Vec<(BlockId, Credits)>,
    #[n(3)]
    pub rooms: Vec<(CapKey, Credits)>,
    #[n(4)]
    pub moves: Vec<Move>,
    /// By how much each counter holds more or (negative) less.
    #[n(5)]
    pub counters: Vec<(CapKey, Credits)>,
    /// The ledger's own end of it.
    #[n(6)]
    pub ends_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LeaseEntry {
    #[n(0)]
    pub sidecar: SidecarId,
    #[n(1)]
    pub lease: LeaseId,
    /// The number of the grant within the lease.
    #[n(2)]
    pub number: u32,
    #[n(3)]
    pub slices: Vec<(BlockId, Credits)>,
    #[n(4)]
    pub rooms: Vec<(CapKey, Credits)>,
    /// The ledger's own end of it, margin included.
    #[n(5)]
    pub ends_at: Timestamp,
    /// The number of the ask that it answers; `None` where the sidecar's build does not number them.
    #[n(6)]
    pub asked: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Absorbed {
    #[n(0)]
    pub sidecar: SidecarId,
    #[n(1)]
    pub epoch: Epoch,
    /// The record's number in the sidecar's journal.
    #[n(2)]
    pub number: u64,
    #[n(3)]
    pub event: WalletEvent,
    #[n(4)]
    pub effects: Effects,
}

/// What a record changed here, computed once, when it was absorbed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Effects {
    #[n(0)]
    pub moves: Vec<Move>,
    /// By how much the lease holds more or (negative) less of each block.
    #[n(1)]
    pub lease: Vec<(BlockId, Credits)>,
    /// By how much the lease holds more or less room.
    #[n(2)]
    pub room: Vec<(CapKey, Credits)>,
    /// By how much each counter holds and has spent more or less: (key, held, spent).
    #[n(3)]
    pub counters: Vec<(CapKey, Credits, Credits)>,
    #[n(4)]
    pub debt: Credits,
    /// How the run ended, as the account remembers it.
    #[n(5)]
    pub ended: Option<(ReservationId, Box<Final>)>,
    /// What the account booked so far for a run that only its sidecar knows: the blocks that paid in fact.
    #[n(6)]
    pub booked: Option<(ReservationId, Booked)>,
    /// Second runs under the id of one that the account knows: what was booked for them is given back.
    #[n(7)]
    pub superseded: Vec<ReservationId>,
    /// What the sidecar charged beyond what the event shows: other blocks paid here than it named.
    #[cbor(n(8), default)]
    pub charged: Vec<(BlockId, Credits)>,
    /// The pool that owes `debt`; `None` = the account's.
    #[n(9)]
    pub debt_pool: Option<PoolId>,
}

/// Use that was reported of a run that only its sidecar knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Booked {
    #[n(0)]
    pub spent: Vec<Draw>,
    #[n(1)]
    pub debt: Credits,
}

impl Booked {
    pub fn total(&self) -> Credits {
        hold::total(&self.spent) + self.debt
    }

    pub fn add(&mut self, more: &Self) {
        self.debt += more.debt;
        more.spent.iter().for_each(|draw| hold::add(&mut self.spent, *draw));
    }

    /// Whether the same blocks paid as much, in whatever order.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let mut rest = other.spent.clone();
        let missing = self.spent.iter().any(|draw| !hold::remove(&mut rest, draw).is_zero());
        !missing && hold::total(&rest).is_zero() && self.debt == other.debt
    }
}
