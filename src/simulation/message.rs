//! What goes over the network.

use crate::engine::Fault;
use crate::engine::account::{RunAsk, RunReply};
use crate::lease::{AccountTerms, Ask, Grant, LeaseTotals, SidecarRecord};
use crate::types::{AccountId, Epoch, SidecarId, Timestamp};

/// Who asks the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub sidecar: SidecarId,
    pub epoch: Epoch,
}

/// A process of a node: what was meant for an earlier one finds nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    pub node: usize,
    pub life: u64,
}

/// A question to the ledger.
#[derive(Clone, Debug)]
pub struct Question {
    pub from: Address,
    /// Numbers the questions of a world: an answer names its own.
    pub rpc: u64,
    pub who: Sender,
    pub what: Asks,
}

#[derive(Clone, Debug)]
pub enum Asks {
    Attach,
    Watch,
    /// With how long the asker waits, in microseconds.
    Lease(AccountId, Box<Ask>, i64),
    Decide(AccountId, Box<RunAsk>, i64),
    Report(Box<Batch>),
}

#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Number, start that wrote it, record.
    pub records: Vec<(u64, u64, SidecarRecord)>,
    pub totals: Vec<(AccountId, LeaseTotals)>,
    /// The newest recall that was heard when it was made.
    pub recalls_seen: u64,
}

#[derive(Clone, Debug)]
pub enum Answers {
    Attached {
        epoch: Epoch,
        acknowledged: u64,
        at: Timestamp,
    },
    /// The watch's number.
    Watching(u64),
    /// `None`: nobody subscribed the account.
    Leased(Option<Box<Grant>>),
    Decided(Box<Result<RunReply, Fault>>),
    Reported(u64),
    Refused(#[expect(dead_code, reason = "told by traces")] Refusal),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Fenced,
    NotAttached,
    Overloaded,
}

/// What a watch tells.
#[derive(Clone, Debug)]
pub enum Told {
    Terms(AccountId, Box<AccountTerms>),
    Unknown(AccountId),
    Recall(AccountId, u64),
}

#[derive(Clone, Debug)]
pub enum Message {
    Question(Question),
    Answer { to: Address, rpc: u64, what: Answers },
    Told { to: Address, watch: u64, what: Told },
}
