//! The store interface: what the ledger asks of whatever keeps its journals.

use std::future::Future;
use std::sync::Arc;

use thiserror::Error;

use super::record::{Identity, Known, LedgerRecord, Published, Unapplied};
use crate::engine::account::Entry;
use crate::types::AccountId;

/// Names an append; higher = later.
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
    /// Nothing after the last durable record is safe: the process must end and open its store again.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// Keeps accounts as their entries, and what is common to them.
///
/// An append is taken at once and in order, so that it can be made under an account's lock; that it is durable is awaited
/// outside of it. What is durable is a prefix of what was taken. A database implements the first with a queue before one
/// writer and, per account, refuses an entry whose number does not follow the last.
pub trait LedgerStore: Send + Sync + 'static {
    /// Takes a record; never waits. Entries of an account come with numbers that follow its last one.
    fn append(&self, record: &LedgerRecord) -> Result<Ticket, StoreError>;

    /// Resolves once everything through this ticket is safe against a power cut.
    fn durable(&self, ticket: Ticket) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Resolves when the store takes nothing more.
    fn failed(&self) -> impl Future<Output = StoreError> + Send;

    /// Whether so much waits to be written that new work must be refused, so that what is under way finds room.
    fn is_filling(&self) -> bool;

    fn foundation(&self) -> impl Future<Output = Result<Foundation, StoreError>> + Send;

    /// Every account, in order.
    fn accounts(&self) -> impl Future<Output = Result<Vec<AccountId>, StoreError>> + Send;

    /// The entries of one account, in order. Asked once per account, at the start.
    fn read(&self, account: &AccountId) -> impl Future<Output = Result<Vec<Entry>, StoreError>> + Send;

    /// Writes what was taken and frees the store. Nothing is taken afterwards.
    fn close(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}
