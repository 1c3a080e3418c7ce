//! Parts of entries about an account's contract, refunds and transfers.

use minicbor::{Decode, Encode};

use crate::credit::invoice::Line;
use crate::credit::{Block, CapKey, Move, PoolId};
use crate::types::{AccountId, BlockId, Credits, Name, ReservationId, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PlanMoved {
    #[n(0)]
    pub plan: Name,
    #[n(1)]
    pub version: u32,
    /// The subscription starts anew with it: everything that it grants and bills begins here.
    #[n(2)]
    pub anew: bool,
    /// The period's allowance as the change leaves it.
    #[n(3)]
    pub allotted: Option<Allotted>,
}

/// What a period's allowance became by changes of plan, until the next period.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Allotted {
    /// Of the last change.
    #[n(0)]
    pub since: Timestamp,
    /// Earned until then: each plan's allowance by the share of the period for which it held, to nine places.
    #[n(1)]
    pub earned: Credits,
    /// All that is granted for the period.
    #[n(2)]
    pub granted: Credits,
    /// What the old plan granted lives on as the new one's: blocks that end sooner last until then.
    #[n(3)]
    pub until: Option<Timestamp>,
}

/// What is to happen at the period's or the term's end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Pending {
    /// The plan from the period's end on.
    #[n(0)]
    pub plan: Option<Name>,
    /// Seats from the period's end on.
    #[n(1)]
    pub seats: Option<u32>,
    /// When the subscription is over.
    #[n(2)]
    pub ends: Option<Timestamp>,
}

/// A charge was given back: blocks that live have their credits again, what those had that ended was granted anew or
/// lapsed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Refunded {
    #[n(0)]
    pub run: ReservationId,
    #[n(1)]
    pub credits: Credits,
    #[n(2)]
    pub moves: Vec<Move>,
    /// By how much the debt of its pool falls.
    #[n(3)]
    pub debt: Credits,
    #[n(4)]
    pub debt_pool: PoolId,
    /// Use that its caps count no more.
    #[n(5)]
    pub counters: Vec<(CapKey, Credits)>,
    /// Of the moves, what goes back to blocks that had repaid the debt.
    #[n(6)]
    pub unpaid: Vec<(BlockId, Credits)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PurchaseRefunded {
    #[n(0)]
    pub block: BlockId,
    #[n(1)]
    pub moves: Vec<Move>,
    /// The money that goes back, where it is money.
    #[n(2)]
    pub line: Option<Line>,
}

/// Pools that a plan does not have any more.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PoolsMerged {
    #[n(0)]
    pub moves: Vec<Move>,
    /// What they had, in the account's pool.
    #[n(1)]
    pub blocks: Vec<Block>,
    /// What they owed, and what of it was booked in observe mode.
    #[n(2)]
    pub debts: Vec<(PoolId, Credits, Credits)>,
}

/// Names a transfer between two accounts: the giver and the number of the entry with which it left.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct TransferId {
    #[n(0)]
    pub from: AccountId,
    #[n(1)]
    pub number: u64,
}

/// A transfer that another account has yet to answer.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sent {
    #[n(0)]
    pub to: AccountId,
    #[n(1)]
    pub pool: PoolId,
    /// What the other account gets, each as a block without an id of its own.
    #[n(2)]
    pub blocks: Vec<Block>,
    /// What left, to be undone where it comes back.
    #[n(3)]
    pub moves: Vec<Move>,
    #[n(4)]
    pub at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferSent {
    /// Out of the giver's blocks.
    #[n(0)]
    pub moves: Vec<Move>,
    /// New blocks in another pool of the same account.
    #[n(1)]
    pub blocks: Vec<Block>,
    /// The other account, where it is one.
    #[n(2)]
    pub sent: Option<(TransferId, Sent)>,
    #[n(3)]
    pub credits: Credits,
    /// The start of the window of the plan's limit in which it counts.
    #[n(4)]
    pub window: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct TransferReceived {
    #[n(0)]
    pub id: TransferId,
    /// Empty where this account cannot have it: that stands, whatever it might take later.
    #[n(1)]
    pub blocks: Vec<Block>,
}
