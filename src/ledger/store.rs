//! The store interface: what the ledger asks of whatever keeps its journals.

use std::future::Future;
use std::sync::Arc;

use thiserror::Error;

use super::news::News;
use super::record::{Identity, Known, Published, Unapplied};
use crate::credit::Block;
use crate::engine::account::Entry;
use crate::lease::LeaseTotals;
use crate::types::{AccountId, Credits, SidecarId, Timestamp};

/// Names a write; higher = later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a ledger is without its accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Foundation {
    /// `None` in a store where no ledger lived yet.
    pub identity: Option<Identity>,
    /// In the order in which they were published.
    pub playbooks: Vec<Published>,
    pub sidecars: Vec<Known>,
    pub unapplied: Vec<Unapplied>,
}

/// Why the store did not take it, or will never have it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StoreError {
    /// Nothing was taken; a retry helps.
    #[error("the store has too much to write")]
    Full,
    /// Nothing was taken; a retry does not help.
    #[error("a record of {bytes} bytes is longer than {most}")]
    TooLong { bytes: usize, most: usize },
    /// Nothing was taken: the second wall stood where the rules did not.
    #[error("the store refuses it: {0}")]
    Refused(Arc<str>),
    /// Out of reach for now; whether it was done is not known. A retry finds out.
    #[error("the store is out of reach: {0}")]
    Away(Arc<str>),
    /// Nothing after the last durable record is safe: the process must end and open its store again.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// A place in an account's journal: the number and the link of an entry; zeros before the first.
pub type Position = (u64, [u8; 32]);

/// How far an account is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// As this process left it: nobody else writes here.
    Own,
    /// As whichever process left it. `heard` counts how often running totals of leases were written.
    At { position: Position, heard: u64 },
    /// There is no such account.
    Absent,
}

/// What a turn writes: whole or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    pub before: Position,
    pub after: Position,
    /// The entries of each command, in order.
    pub writes: Arc<Vec<Vec<Entry>>>,
    /// When time next does something to the account.
    pub timer: Option<Timestamp>,
    pub figures: Figures,
}

/// The account in figures, for the store's own checks, and what is not part of the journal. Only what changed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    pub debt: Credits,
    pub blocks: Vec<Block>,
    /// Leases with their running totals; `None` where one is over.
    pub leases: Vec<(SidecarId, Option<LeaseTotals>)>,
}

/// A turn at one account: nobody else, in whatever process, writes it until this is written, passed on or dropped.
pub trait Turn: Send + 'static {
    fn head(&self) -> Head;

    /// The entries that come after this number, in order.
    fn entries(&mut self, after: u64) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Running totals of all leases, as last heard.
    fn totals(&mut self) -> impl Future<Output = Result<Vec<(SidecarId, LeaseTotals)>, StoreError>> + Send;

    /// Ends the turn. Durable once the ticket is.
    fn write(self, batch: Batch) -> impl Future<Output = Result<Ticket, StoreError>> + Send;

    /// Ends the turn with nothing to write.
    fn pass(self) -> impl Future<Output = ()> + Send;
}

/// Keeps accounts as their entries, and what is common to them.
pub trait LedgerStore: Send + Sync + 'static {
    /// Whether other processes work on the same store: then nothing in memory is true by itself.
    const SHARED: bool;

    type Turn: Turn;

    /// Takes a turn at an account. `opens`: one that does not exist may begin with it.
    fn turn(
        &self,
        account: &AccountId,
        opens: bool,
    ) -> impl Future<Output = Result<Self::Turn, StoreError>> + Send;

    /// Resolves once everything through this ticket is safe against a power cut.
    fn durable(&self, ticket: Ticket) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Resolves when the store takes nothing more.
    fn failed(&self) -> impl Future<Output = StoreError> + Send;

    /// Whether so much waits to be written that new work must be refused, so that what is under way finds room.
    fn is_filling(&self) -> bool;

    fn foundation(&self) -> impl Future<Output = Result<Foundation, StoreError>> + Send;

    /// Makes a new ledger's identity durable. Answers the one that stands: another process may have been first.
    fn found(&self, identity: Identity) -> impl Future<Output = Result<Identity, StoreError>> + Send;

    /// Makes a new generation of the ledger durable, after `from`. Answers the identity that stands: another process may
    /// have been first.
    fn renew(
        &self,
        from: u32,
        identity: Identity,
    ) -> impl Future<Output = Result<Identity, StoreError>> + Send;

    /// Makes a version durable. `newest`: the highest one that the caller knows; false where there is a higher.
    fn publish(
        &self,
        published: &Published,
        newest: u32,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Makes durable how a sidecar stands, after everything that was written before. Answers how it stands now; `None`
    /// where a later start of it is the current one.
    fn stand(&self, known: Known) -> impl Future<Output = Result<Option<Known>, StoreError>> + Send;

    /// How a sidecar stands that this process does not know, or not as it says it does.
    fn standing(&self, sidecar: SidecarId) -> impl Future<Output = Result<Option<Known>, StoreError>> + Send;

    /// Keeps records that could not be applied. Durable once how their sidecar stands is.
    fn keep(&self, unapplied: Vec<Unapplied>) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Accounts with their entries that are to be read at the start. A shared store has none: each is read by its first turn.
    fn resident(&self) -> impl Future<Output = Result<Vec<(AccountId, Vec<Entry>)>, StoreError>> + Send;

    /// Whether there is an account that is not in memory.
    fn knows(&self, account: &AccountId) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// At most `most` accounts after this name, in order; of a shared store only.
    fn names(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<AccountId>, StoreError>> + Send;

    /// At most `most` accounts whose time has come; of a shared store only.
    fn due(
        &self,
        at: Timestamp,
        most: usize,
    ) -> impl Future<Output = Result<Vec<AccountId>, StoreError>> + Send;

    /// Accounts of which a sidecar has a lease; of a shared store only.
    fn leased_to(
        &self,
        sidecar: SidecarId,
    ) -> impl Future<Output = Result<Vec<AccountId>, StoreError>> + Send;

    /// Tells all processes of a shared store. Answers the number of the first; they follow without gaps.
    fn announce(&self, news: &[News]) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// What was told after this number, in order, and the store's clock; `None` = only the last number that was given.
    fn news(&self, after: Option<u64>) -> impl Future<Output = Result<Heard, StoreError>> + Send;

    /// Durable entries of an account's journal after this number, in order; at most about `most`, and none only where
    /// there are no more.
    fn history(
        &self,
        account: &AccountId,
        after: u64,
        most: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Writes what was taken and frees the store. Nothing is taken afterwards.
    fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// News from a shared store.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heard {
    /// The highest number that was given.
    pub last: u64,
    pub news: Vec<(u64, News)>,
    /// The store's clock.
    pub at: Timestamp,
}
