//! The account's journal: append-only, numbered without gaps, each entry linked to the one before by a hash.

use minicbor::{Decode, Encode};

use crate::credit::hold::{self, Draw};
use crate::credit::{Block, CapKey, Final, Move, PoolId, RunEvent};
use crate::lease::WalletEvent;
use crate::lease::terms::HandleKey;
use crate::types::{BlockId, Credits, Epoch, LeaseId, Name, RequestId, ReservationId, SidecarId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// From 1, without gaps.
    #[n(0)]
    pub number: u64,
    #[n(1)]
    pub at: Timestamp,
    #[n(2)]
    pub what: What,
    /// The write that caused it, on the last entry of the write.
    #[n(3)]
    pub request: Option<Answered>,
    /// BLAKE3 over the link before and this entry.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub link: [u8; 32],
}

/// A write that was answered: the same id with the same request gets the same reply.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Answered {
    #[n(0)]
    pub id: RequestId,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub fingerprint: [u8; 16],
    #[n(2)]
    pub reply: Reply,
}

/// What a write answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Reply {
    #[n(0)]
    Done,
    #[n(1)]
    Granted(#[n(0)] BlockId),
    /// Credits that a void withdrew.
    #[n(2)]
    Withdrawn(#[n(0)] Credits),
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum What {
    #[n(0)]
    Subscribed {
        #[n(0)]
        plan: Name,
        #[n(1)]
        version: u32,
        #[n(2)]
        zone: String,
        #[n(3)]
        key: HandleKey,
    },
    #[n(1)]
    Suspended,
    #[n(2)]
    Resumed,
    #[n(3)]
    OverageLimited(#[n(0)] Credits),
    #[n(4)]
    PeriodStarted {
        #[n(0)]
        start: Timestamp,
        #[n(1)]
        end: Timestamp,
        /// The version that holds from here on.
        #[n(2)]
        version: u32,
    },
    /// A new block, with what it was granted.
    #[n(5)]
    Granted {
        #[n(0)]
        block: Box<Block>,
        #[n(1)]
        source: Source,
    },
    /// Credits of blocks that ended.
    #[n(6)]
    Lapsed(#[n(0)] Vec<Move>),
    #[n(7)]
    Voided(#[n(0)] Vec<Move>),
    #[n(8)]
    Repaid {
        #[n(0)]
        pool: PoolId,
        #[n(1)]
        paid: Credits,
        #[n(2)]
        moves: Vec<Move>,
    },
    #[n(9)]
    Leased(#[n(0)] Box<LeaseEntry>),
    /// A grant that its sidecar never saw.
    #[n(10)]
    GrantLost {
        #[n(0)]
        sidecar: SidecarId,
    },
    /// What an ended, silent lease held went back.
    #[n(11)]
    Reclaimed {
        #[n(0)]
        sidecar: SidecarId,
        #[n(1)]
        lease: LeaseId,
    },
    /// A sidecar's record, and what it changed.
    #[n(12)]
    Absorbed(#[n(0)] Box<Absorbed>),
    /// A run that the account itself settles.
    #[n(13)]
    Run(#[n(0)] Box<RunEvent>),
    #[n(14)]
    Started {
        #[n(0)]
        sidecar: SidecarId,
        #[n(1)]
        epoch: Epoch,
    },
    /// What was sealed after an unclean stop is free again: all of a seal that ended, or what a late commit needs.
    #[n(15)]
    Unsealed {
        #[n(0)]
        sidecar: SidecarId,
        #[n(1)]
        slices: Vec<(BlockId, Credits)>,
        #[n(2)]
        rooms: Vec<(CapKey, Credits)>,
    },
    #[n(16)]
    Raised(#[n(0)] Alarm),
    #[n(17)]
    Cleared(#[n(0)] Alarm),
    /// A lowered charge cancels debt that was repaid: it goes back to blocks that paid.
    #[n(18)]
    Unpaid(#[n(0)] Vec<Move>),
    /// Emergency credits that were spent (or, negative, given back) became debt.
    #[n(19)]
    Reconciled {
        #[n(0)]
        block: BlockId,
        #[n(1)]
        amount: Credits,
    },
    /// Use that a sidecar told a restored ledger of, and that no record explains.
    #[n(30)]
    Unexplained(#[n(0)] Box<Unexplained>),
    /// What a sidecar's slice holds, as it told a restored ledger.
    #[n(31)]
    Recounted(#[n(0)] Box<Recounted>),
}

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

/// Where a granted block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Source {
    /// The plan's allowance, by its place in the list.
    #[n(0)]
    Allowance(#[n(0)] u32),
    /// A link of the plan's overage chain.
    #[n(1)]
    Chain(#[n(0)] u32),
    /// An administrator.
    #[n(2)]
    Administrator,
    /// A window of the plan's emergency allowance.
    #[n(3)]
    Emergency,
}

/// An alert's condition, per scope and window where it is a cap's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Alarm {
    #[n(0)]
    pub alert: Name,
    #[n(1)]
    pub counter: Option<CapKey>,
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

    /// Whether the same blocks paid as much, in whatever order.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let mut rest = other.spent.clone();
        let missing = self.spent.iter().any(|draw| !hold::remove(&mut rest, draw).is_zero());
        !missing && hold::total(&rest).is_zero() && self.debt == other.debt
    }
}

impl Entry {
    /// The link of an entry that follows `before`.
    pub fn linked(
        before: &[u8; 32],
        number: u64,
        at: Timestamp,
        what: &What,
        request: Option<&Answered>,
    ) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher.update(before);
        let mut bytes = Vec::new();
        crate::types::cbor::write((number, at, what, request), &mut bytes);
        hasher.update(&bytes);
        *hasher.finalize().as_bytes()
    }

    pub fn follows(&self, before: &[u8; 32]) -> bool {
        Self::linked(before, self.number, self.at, &self.what, self.request.as_ref()) == self.link
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Links are counted over what an entry is in bytes: what earlier builds wrote must be the same when it is read.
    #[test]
    fn a_lease_of_an_earlier_build_is_read_and_keeps_its_link() {
        let lease = |asked| LeaseEntry {
            sidecar: SidecarId([1; 16]),
            lease: LeaseId(1),
            number: 1,
            slices: Vec::new(),
            rooms: Vec::new(),
            ends_at: Timestamp::default(),
            asked,
        };
        let (earlier, now) =
            (minicbor::to_vec(lease(None)).unwrap(), minicbor::to_vec(lease(Some(7))).unwrap());
        // Six fields, as before asks were remembered.
        assert_eq!((earlier[0], now[0]), (0x86, 0x87));
        assert_eq!(minicbor::decode::<LeaseEntry>(&earlier).unwrap(), lease(None));
        assert_eq!(minicbor::decode::<LeaseEntry>(&now).unwrap(), lease(Some(7)));
    }
}
