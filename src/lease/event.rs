//! What happens to a sidecar's slice of an account. These are the records of its journal; the ledger is told those that
//! change what the account has.

use minicbor::{Decode, Encode};

use super::exchange::Room;
use super::mark::Mark;
use super::terms::AccountTerms;
use crate::credit::{Block, CapKey, Change, Reservation, RunEvent};
use crate::types::{AccountId, BlockId, Credits, LeaseId, RequestId, ReservationId, Timestamp};

/// One record: what happened to the slice of one account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SidecarRecord {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub event: WalletEvent,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum WalletEvent {
    #[n(0)]
    Run(#[n(0)] RunEvent),
    #[n(1)]
    Terms(#[n(0)] Box<AccountTerms>),
    #[n(2)]
    Leased(#[n(0)] Box<Leased>),
    /// Idle credits and room that went back.
    #[n(3)]
    Returned(#[n(0)] Returned),
    /// Runs that the account itself is to hold from the acknowledgement on.
    #[n(4)]
    Promoted(#[n(0)] Vec<Reservation>),
    /// Promoted runs whose acknowledgement came.
    #[n(5)]
    HandedOver(#[n(0)] Vec<ReservationId>),
    /// A call for another settler, kept until the ledger has it.
    #[n(6)]
    PassedOn(#[n(0)] Box<Passed>),
    /// What an unclean stop may have lost sight of.
    #[n(7)]
    Sealed(#[n(0)] Returned),
    /// The lease is over: nothing of it may be used any more.
    #[n(8)]
    LeaseOver(#[n(0)] LeaseId),
    /// The whole slice, so that older records need not be read.
    #[n(9)]
    Snapshot(#[n(0)] Box<Snapshot>),
    /// A clean stop: the lease is over, and nothing of the account is used here any more but what is named.
    #[n(80)]
    Left(#[n(0)] Left),
    /// After an unclean stop, these runs are open here; no other run authorised before this instant will be heard of from
    /// here.
    #[n(81)]
    Resumed(#[n(0)] Vec<ReservationId>, #[n(1)] Timestamp),
    /// Since when the ledger has not answered; `None` once it does again. So that a restart does not grant another
    /// `offline.for`.
    #[n(82)]
    CutOff(#[n(0)] Option<Timestamp>),
}

/// What a sidecar leaves at a clean stop.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Left {
    /// The newest ask of this start: what it or an earlier one brought and has not arrived will not be taken in.
    #[n(0)]
    pub asked: u64,
    /// What stays here, for the next start: emergency credits.
    #[n(1)]
    pub keeps: Vec<(BlockId, Credits)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Leased {
    #[n(0)]
    pub lease: LeaseId,
    #[n(1)]
    pub number: u32,
    #[n(2)]
    pub slices: Vec<Block>,
    #[n(3)]
    pub rooms: Vec<Room>,
    /// When the holder stops using it.
    #[n(4)]
    pub until: Timestamp,
    #[n(5)]
    pub mark: Mark,
    #[n(6)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Returned {
    #[n(0)]
    pub slices: Vec<(BlockId, Credits)>,
    #[n(1)]
    pub rooms: Vec<(CapKey, Credits)>,
}

/// A call that was answered `ACCEPTED`.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Passed {
    /// The handle, as the caller gave it.
    #[n(0)]
    pub handle: String,
    #[n(1)]
    pub commit: PassedCall,
    #[n(2)]
    pub at: Timestamp,
}

/// What was asked of a run that another settles.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum PassedCall {
    #[n(0)]
    Commit {
        #[n(0)]
        result: crate::playbook::charge::RunResult,
        #[n(1)]
        quantities: Option<crate::playbook::charge::Quantities>,
        #[n(2)]
        completion: Option<crate::types::Quantity>,
        #[n(3)]
        verified: bool,
        #[n(4)]
        request_id: Option<RequestId>,
    },
    #[n(1)]
    Release,
}

/// A wallet as a value.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Snapshot {
    #[n(0)]
    pub terms: Option<AccountTerms>,
    #[n(1)]
    pub lease: Option<Leased>,
    #[n(2)]
    pub blocks: Vec<Block>,
    #[n(3)]
    pub counters: Vec<(CapKey, crate::credit::Counter)>,
    #[n(4)]
    pub runs: Vec<Reservation>,
    #[n(5)]
    pub finals: Vec<(ReservationId, crate::credit::Final)>,
    #[n(6)]
    pub largest: Credits,
    /// Ended runs and handed-over runs that are still remembered.
    #[n(7)]
    pub handed: Vec<(ReservationId, Timestamp)>,
    /// What the records so far charged; journals of earlier builds do not say it.
    #[cbor(n(10), default)]
    pub charged: super::recount::Charged,
    /// Since when the ledger has not answered.
    #[n(11)]
    pub cut_off: Option<Timestamp>,
    /// The last grant that arrived; where it is missing, that of the lease.
    #[n(12)]
    pub seen: Option<(LeaseId, u32)>,
}

impl WalletEvent {
    /// The roots of the families that this hands to the account itself.
    pub fn handed_roots(&self) -> Vec<ReservationId> {
        match self {
            Self::Promoted(runs) => runs.iter().map(|run| run.root).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether the ledger is told.
    pub fn is_reported(&self) -> bool {
        match self {
            Self::Run(event) => matches!(event.change, Change::Progressed { .. } | Change::Ended(_)),
            Self::Returned(_)
            | Self::Promoted(_)
            | Self::PassedOn(_)
            | Self::Sealed(_)
            | Self::LeaseOver(_)
            | Self::Left(_)
            | Self::Resumed(..) => true,
            Self::Terms(_) | Self::Leased(_) | Self::HandedOver(_) | Self::Snapshot(_) | Self::CutOff(_) => {
                false
            }
        }
    }
}

impl Returned {
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty() && self.rooms.is_empty()
    }
}
