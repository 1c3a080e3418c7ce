//! What the entitlement service needs of whoever decides: parsed questions in, the engine's answers out. The wire stays
//! on the other side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::lease_client::DecideError;
use crate::credit::cap::Counter;
use crate::credit::{CapKey, PoolId, Run, Subject};
use crate::engine::answer::{AuthorizeAnswer, Next, ProgressAnswer, RunAnswer};
use crate::engine::fault::Fault;
use crate::engine::handle::Handle;
use crate::playbook::charge::{Quantities, RunResult};
use crate::playbook::draw_order::Species;
use crate::playbook::{Plan, Playbook};
use crate::types::{AccountId, Credits, Name, Quantity, RequestId, ReservationId, Timestamp};

/// A handle as a caller gave it: well formed, not yet authenticated.
#[derive(Clone, Debug)]
pub struct Given {
    pub text: String,
    /// What the text claims.
    pub claim: Handle,
}

/// Who is to run what.
#[derive(Clone, Debug)]
pub struct AuthorizeQuestion {
    pub account: AccountId,
    pub action: Name,
    pub subject: Subject,
    pub quantities: Option<Quantities>,
    pub dimensions: BTreeMap<Name, Name>,
    pub run_id: Option<Name>,
    /// Boxed, as the next: few runs have one, and a question is moved from hand to hand.
    pub parent: Option<Box<Given>>,
    pub retry_of: Option<Box<Given>>,
    pub request_id: Option<RequestId>,
    /// Microseconds.
    pub ttl: Option<i64>,
    pub validate_only: bool,
}

#[derive(Clone, Debug)]
pub struct ProgressQuestion {
    pub handle: Given,
    pub quantities: Option<Quantities>,
    pub ahead: Option<Quantities>,
    /// Microseconds.
    pub ttl: Option<i64>,
}

/// A result, without the run that it is about.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub result: RunResult,
    pub quantities: Option<Quantities>,
    pub completion: Option<Quantity>,
    pub verified: bool,
    pub request_id: Option<RequestId>,
}

#[derive(Clone, Debug)]
pub struct CommitQuestion {
    pub handle: Given,
    pub outcome: Outcome,
}

/// Work that was done without a reservation.
#[derive(Clone, Debug)]
pub struct RecordQuestion {
    pub run: AuthorizeQuestion,
    pub outcome: Outcome,
}

/// Which run is meant.
#[derive(Clone, Debug)]
pub enum Lookup {
    Handle(Box<Given>),
    Request(AccountId, RequestId),
}

/// Which open runs are meant; at least one of the first two is given.
#[derive(Clone, Debug)]
pub struct ListQuestion {
    pub account: Option<AccountId>,
    pub run_id: Option<Name>,
    /// Only those after this place.
    pub after: Option<(Timestamp, ReservationId)>,
    pub most: usize,
}

/// An answer, and how it came about.
#[derive(Clone, Debug)]
pub struct Answered<A> {
    pub answer: A,
    /// When it was decided: ledger time.
    pub at: Timestamp,
    pub by_ledger: bool,
    /// The run's handle, where one was made or looked up.
    pub handle: Option<String>,
    /// The reservation that the call is about.
    pub id: ReservationId,
    pub about: About,
}

/// What of the account an answer tells besides.
#[derive(Clone, Debug)]
pub struct About {
    pub remaining: Credits,
    pub next: Next,
    pub enforced: bool,
    /// The version that prices the run.
    pub version: u32,
}

impl Default for About {
    fn default() -> Self {
        Self { remaining: Credits::ZERO, next: Next::Deny, enforced: true, version: 0 }
    }
}

/// A run, as far as it is known.
#[derive(Clone, Debug)]
pub struct RunView {
    pub account: AccountId,
    pub handle: String,
    pub answer: RunAnswer,
    /// `None` where only its figures are known.
    pub run: Option<Run>,
    pub request_id: Option<RequestId>,
    pub result: Option<RunResult>,
    /// Totals used so far, once reported.
    pub used: Option<Quantities>,
    pub authorized_at: Option<Timestamp>,
    pub version: u32,
    pub by_ledger: bool,
    pub parent: Option<String>,
    pub at: Timestamp,
}

/// What one sidecar knows of a balance.
#[derive(Clone, Debug)]
pub struct BalanceView {
    pub available: Credits,
    pub held: Credits,
    pub spent: Credits,
    pub lapsed: Credits,
    pub debt: Credits,
    pub overage: Credits,
    pub by: BTreeMap<Species, Credits>,
    pub period_ends: Timestamp,
    /// Each counter with what is left of it, here and at the ledger.
    pub caps: Vec<(CapKey, Counter, Credits)>,
    pub plan: Arc<Plan>,
    pub next: Next,
    pub at: Timestamp,
    /// When the ledger's part of the figures was heard.
    pub as_of: Timestamp,
}

/// Why a question is not answered.
#[derive(Debug, Error)]
pub enum Refused {
    #[error(transparent)]
    Fault(#[from] Fault),
    /// A handle that is not authentic, or that belongs to another account than the call.
    #[error("`{field}` {what}")]
    Handle { field: &'static str, what: &'static str },
    #[error("the plan has no pool `{0}`; its `pooling` says which there are")]
    PoolUnknown(PoolId),
    #[error("this sidecar does not act for the account `{0}`; call one that does")]
    NotServed(AccountId),
    #[error("the sidecar has as many calls in work as it may; try again")]
    Overloaded,
    #[error("too much waits for the ledger: nothing new is taken until it has acknowledged some of it")]
    JournalFull,
    #[error("the disk refuses writes: nothing was charged")]
    JournalFailed,
    #[error("{0}")]
    NotReady(&'static str),
    /// The ledger's own word.
    #[error("the ledger refuses")]
    Passed(#[source] Box<DecideError>),
}

/// Whoever decides about runs. `patience` is what the caller's deadline leaves for asking others; `None` = no deadline.
pub trait Entitlements: Send + Sync + 'static {
    fn authorize(
        &self,
        question: &AuthorizeQuestion,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<Answered<AuthorizeAnswer>, Refused>> + Send;

    fn progress(
        &self,
        question: ProgressQuestion,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<Answered<ProgressAnswer>, Refused>> + Send;

    fn commit(
        &self,
        question: CommitQuestion,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<Answered<RunAnswer>, Refused>> + Send;

    fn release(
        &self,
        handle: Given,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<Answered<RunAnswer>, Refused>> + Send;

    fn record(
        &self,
        question: RecordQuestion,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<Answered<RunAnswer>, Refused>> + Send;

    fn reservation(
        &self,
        lookup: Lookup,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<RunView, Refused>> + Send;

    fn reservations(
        &self,
        question: ListQuestion,
    ) -> impl Future<Output = Result<Vec<RunView>, Refused>> + Send;

    fn balance(
        &self,
        account: AccountId,
        pool: Option<PoolId>,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<BalanceView, Refused>> + Send;

    /// Hears of each change of the account at this sidecar; `None` where it is not in memory.
    fn changes(&self, account: &AccountId) -> Option<tokio::sync::watch::Receiver<()>>;

    /// The account's plan, and the playbook that it is of.
    fn plan(
        &self,
        account: AccountId,
        patience: Option<Duration>,
    ) -> impl Future<Output = Result<(Arc<Plan>, Arc<Playbook>), Refused>> + Send;

    /// Whether the ledger is in reach.
    fn online(&self) -> bool;

    /// Ledger time.
    fn now(&self) -> Timestamp;

    /// A number that no other call of this process gets, for naming decisions.
    fn next_number(&self) -> [u8; 16];
}
