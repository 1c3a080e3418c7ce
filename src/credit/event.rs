//! What happened to a run: one event says which credits and which room moved, so that reading it decides nothing again.

use minicbor::{Decode, Encode};

use super::block::Column;
use super::cap::CapKey;
use super::pool::PoolId;
use super::reservation::{Asked, Final, Reservation};
use crate::playbook::charge::Quantities;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, ReservationId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RunEvent {
    #[n(0)]
    pub id: ReservationId,
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    pub change: Change,
    #[n(3)]
    pub flows: Vec<Flow>,
    #[n(4)]
    pub caps: Vec<CapFlow>,
    /// By how much the run's debt changes.
    #[n(5)]
    pub debt: Credits,
    /// The pool that owes it: the last of the run's path.
    #[n(6)]
    pub debt_pool: PoolId,
    /// The run was on its way to the account itself: what it gives back goes there, not to its sidecar's lease.
    #[cbor(n(7), default)]
    pub handing: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Change {
    /// Authorised; what it holds comes by the flows.
    #[n(0)]
    Reserved(#[n(0)] Box<Reservation>),
    #[n(1)]
    Progressed {
        #[n(0)]
        reported: Option<Quantities>,
        #[n(1)]
        expires_at: Timestamp,
    },
    /// A success was reported; it waits for its outcome.
    #[n(2)]
    Awaiting {
        #[n(0)]
        asked: Box<Asked>,
        #[n(1)]
        reported: Quantities,
        #[n(2)]
        until: Timestamp,
    },
    /// Settled, released or lapsed; or the charge of an ended run was replaced by the true one.
    #[n(3)]
    Ended(#[n(0)] Box<Final>),
}

/// Credits of one block that change hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Flow {
    #[n(0)]
    pub block: BlockId,
    #[n(1)]
    pub species: Species,
    #[n(2)]
    pub amount: Credits,
    #[n(3)]
    pub from: Place,
    #[n(4)]
    pub to: Place,
}

/// Room of one counter that changes hands.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CapFlow {
    #[n(0)]
    pub key: CapKey,
    #[n(1)]
    pub amount: Credits,
    #[n(2)]
    pub from: Place,
    #[n(3)]
    pub to: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Place {
    /// Free: available in the block, room in the counter.
    #[n(0)]
    Free,
    /// Held by the run.
    #[n(1)]
    Held,
    /// Charged to the run.
    #[n(2)]
    Spent,
    /// Given back to a block that has ended.
    #[n(3)]
    Lapsed,
    /// Held by another run of the family: an ancestor.
    #[n(4)]
    Other(#[n(0)] ReservationId),
}

impl Place {
    pub fn column(self) -> Column {
        match self {
            Self::Free => Column::Available,
            Self::Held | Self::Other(_) => Column::Held,
            Self::Spent => Column::Spent,
            Self::Lapsed => Column::Lapsed,
        }
    }
}

impl RunEvent {
    pub fn new(id: ReservationId, at: Timestamp, change: Change) -> Self {
        Self {
            id,
            at,
            change,
            flows: Vec::new(),
            caps: Vec::new(),
            debt: Credits::ZERO,
            debt_pool: PoolId::Account,
            handing: false,
        }
    }
}
