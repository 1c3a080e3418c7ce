//! The account's journal: append-only, numbered without gaps, each entry linked to the one before by a hash.

use minicbor::{Decode, Encode};

pub use super::entry_absorbed::{Absorbed, Booked, Effects, LeaseEntry, Recounted, Unexplained};
use super::entry_contract::{
    Pending, PlanMoved, PoolsMerged, PurchaseRefunded, Refunded, TransferId, TransferReceived, TransferSent,
};
pub use super::moved::{Buyer, Covered, Purchase, Rolled};
use crate::credit::invoice::Line;
use crate::credit::{Block, CapKey, Move, PoolId, RunEvent};
use crate::lease::terms::HandleKey;
use crate::playbook::overlay::Overlay;
use crate::types::{BlockId, Credits, Epoch, LeaseId, Money, Name, RequestId, SidecarId, Timestamp};

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
    /// A pack's block and its price.
    #[n(40)]
    Purchased(#[n(0)] BlockId, #[n(1)] Money),
    /// An award's block and its credits, cut to what was left.
    #[n(41)]
    Awarded(#[n(0)] BlockId, #[n(1)] Credits),
    /// Credits taken back, and the money that goes back for them.
    #[n(60)]
    Refunded {
        #[n(0)]
        credits: Credits,
        #[n(1)]
        amount: Money,
    },
    /// To another account, by the number of the entry with which it left.
    #[n(61)]
    Transferred(#[n(0)] u64),
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
    /// Credits went from pool to pool: out of some blocks, and on in new ones.
    #[n(40)]
    Allocated {
        #[n(0)]
        moves: Vec<Move>,
        #[n(1)]
        blocks: Vec<Block>,
    },
    #[n(41)]
    Purchased {
        #[n(0)]
        block: Box<Block>,
        #[n(1)]
        purchase: Purchase,
    },
    #[n(42)]
    Awarded {
        #[n(0)]
        block: Box<Block>,
        #[n(1)]
        incentive: Name,
        #[n(2)]
        user: Name,
    },
    /// A user was first seen in the period, and takes a seat's share.
    #[n(43)]
    SeatTaken {
        #[n(0)]
        user: Name,
        #[n(1)]
        moves: Vec<Move>,
        #[n(2)]
        blocks: Vec<Block>,
    },
    /// More seats: their shares of what is left of the period are set aside.
    #[n(46)]
    SeatsAdded {
        #[n(0)]
        moves: Vec<Move>,
        #[n(1)]
        blocks: Vec<Block>,
        /// Of one seat.
        #[n(2)]
        share: Credits,
    },
    #[n(44)]
    Rolled(#[n(0)] Box<Rolled>),
    /// A next allowance is lowered for what was borrowed from it, or (negative) what was borrowed came back to it.
    #[n(45)]
    Covered {
        /// The borrowed block.
        #[n(0)]
        block: BlockId,
        /// The allowance's.
        #[n(1)]
        by: BlockId,
        #[n(2)]
        amount: Credits,
    },
    /// Use that a sidecar told a restored ledger of, and that no record explains.
    #[n(30)]
    Unexplained(#[n(0)] Box<Unexplained>),
    /// What a sidecar's slice holds, as it told a restored ledger.
    #[n(31)]
    Recounted(#[n(0)] Box<Recounted>),
    /// What the account has beside its plan, or in its place, from here on.
    #[n(60)]
    Overlaid(#[n(0)] Box<Overlay>),
    /// The account has another plan, or another version of it, from here on.
    #[n(61)]
    PlanMoved(#[n(0)] Box<PlanMoved>),
    #[n(62)]
    Billed(#[n(0)] Box<Line>),
    /// What is to happen at the period's or the term's end.
    #[n(63)]
    Pended(#[n(0)] Pending),
    /// The subscription is over.
    #[n(64)]
    Ended,
    /// `lapse`: what the term before left unused is over.
    #[n(65)]
    TermStarted {
        #[n(0)]
        start: Timestamp,
        #[n(1)]
        end: Timestamp,
        #[n(2)]
        lapse: bool,
    },
    #[n(66)]
    CommitmentStarted {
        #[n(0)]
        start: Timestamp,
        #[n(1)]
        end: Timestamp,
    },
    /// A charge, or a part of it, was given back.
    #[n(67)]
    Refunded(#[n(0)] Box<Refunded>),
    /// Credits left the account, or a pool of it, for another.
    #[n(68)]
    TransferSent(#[n(0)] Box<TransferSent>),
    #[n(69)]
    TransferReceived(#[n(0)] Box<TransferReceived>),
    /// The other account has answered: it has the credits, or they came back.
    #[n(70)]
    TransferAnswered {
        #[n(0)]
        id: TransferId,
        /// Where they came back, the moves that say how.
        #[n(1)]
        back: Vec<Move>,
    },
    /// Debt that no later allowance repays is billed, and owed no more.
    #[n(71)]
    DebtBilled {
        #[n(0)]
        pool: PoolId,
        #[n(1)]
        line: Box<Line>,
    },
    /// The allowance after a change of plan: what it is less.
    #[n(72)]
    Reduced(#[n(0)] Vec<Move>),
    #[n(74)]
    PoolsMerged(#[n(0)] Box<PoolsMerged>),
    /// Unused credits of a purchase were given back.
    #[n(73)]
    PurchaseRefunded(#[n(0)] Box<PurchaseRefunded>),
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
    /// What the allowance sets aside for seats; with the share of each.
    #[n(40)]
    Seats(#[n(0)] Credits),
    /// A change of plan: what its allowance is more.
    #[n(60)]
    Changed,
    /// A refund, of a charge or of a purchase.
    #[n(61)]
    Refund,
}

/// An alert's condition, per scope and window where it is a cap's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Alarm {
    #[n(0)]
    pub alert: Name,
    #[n(1)]
    pub counter: Option<CapKey>,
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
