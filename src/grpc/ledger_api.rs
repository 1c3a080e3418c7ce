//! What the ledger's servers need of a ledger, in domain values. The ledger stands above this room and implements it; no
//! wire type passes.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::mpsc;

pub use super::ledger_view::{
    AccountView, Administered, Alert, AuditEntry, BalanceView, BlockChange, CapView, DiffTo, InvoiceLine,
    Usage, UsageAsk, UsageBy, Version,
};
use crate::credit::PoolId;
use crate::engine::Fault;
use crate::engine::account::{AdminRefusal, Command, RunAsk, RunReply};
use crate::engine::contract::PublishRefusal;
use crate::lease::{AccountTerms, Acting, Ask, Grant, LeaseTotals, Recount};
use crate::playbook::diff::Diff;
use crate::playbook::{Finding, Report, Severity};
use crate::types::{AccountId, Epoch, Name, RequestId, ReservationId, SidecarId, Timestamp};

/// Which process speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    pub sidecar: SidecarId,
    pub epoch: Epoch,
}

/// A sidecar that has started, or lost its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    pub sidecar: SidecarId,
    /// The number of this start in its journal.
    pub start: u64,
    /// The generation of the ledger that it is done with; 0 = it has known none.
    pub generation: u32,
    /// The highest record that it saw acknowledged in that generation; 0 = none.
    pub acknowledged: u64,
    pub acting: Acting,
}

/// A sidecar that may work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    pub epoch: Epoch,
    pub generation: u32,
    /// The ledger's clock.
    pub now: Timestamp,
    /// Sources of all versions, in order.
    pub playbooks: Vec<String>,
    /// The highest of the sidecar's records that the ledger has made durable; 0 = none.
    pub acknowledged: u64,
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased {
    Granted(Box<Grant>),
    /// Nobody has subscribed the account.
    Unknown,
}

/// A record on its way to the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reported {
    pub number: u64,
    pub epoch: Epoch,
    /// A `lease::SidecarRecord` in the journal's own encoding.
    pub body: Vec<u8>,
}

/// What a sidecar is told as soon as it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// A version's source.
    Playbook(String),
    /// Terms of an account; what is held idle of it goes back.
    Terms(AccountId, Box<AccountTerms>),
    Unknown(AccountId),
    /// Idle slices are wanted elsewhere. It is answered by a report: of what was idle or, where nothing was, of the
    /// account's totals alone. The number is the recall's.
    Recall(AccountId, u64),
    /// Another sidecar was called about these runs: the ledger is to settle them. Answered like a recall, by its number.
    Promote(AccountId, Vec<ReservationId>, u64),
}

/// A run that a call names, and who settles it as far as its handle says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRun {
    pub id: ReservationId,
    pub settler: SidecarId,
}

/// A report as it came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub records: Vec<Reported>,
    pub totals: Vec<(AccountId, LeaseTotals)>,
    /// Slices counted anew for a ledger that was restored from a backup.
    pub recounts: Vec<(AccountId, Recount)>,
    /// The highest record that the sidecar saw acknowledged in its epoch's generation; 0 = none.
    pub acknowledged: u64,
    /// The highest recall that the sidecar had seen when it made the report.
    pub recalls_seen: u64,
}

/// `Told`, with what the wire adds to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Playbook { version: u32, source: String },
    Terms(AccountId, Box<AccountTerms>),
    Unknown(AccountId),
    Recall { number: u64, account: AccountId },
    Promote { number: u64, account: AccountId, runs: Vec<ReservationId> },
}

/// Why the ledger did not do it.
#[derive(Debug, Error)]
pub enum LedgerError {
    #[error("{0}")]
    Fault(#[from] Fault),
    #[error("{0}")]
    Refused(#[from] AdminRefusal),
    #[error("a later start of this sidecar has attached; this process is no longer the current one")]
    Fenced,
    #[error("this sidecar is not attached; attach first")]
    NotAttached,
    /// A retry helps once it has learned.
    #[error(
        "the ledger was restored from a backup and leases nothing new before {until}, when every lease has ended"
    )]
    Learning { until: Timestamp },
    #[error("this journal belongs to `{0}`, which acts for accounts that this certificate does not")]
    NotItsJournal(String),
    #[error("this sidecar does not act for the account `{0}`; its option `accounts` says for which it does")]
    AccountNotAllowed(AccountId),
    /// What came in is not right: its field, the reason's word, and what would be right.
    #[error("{what}")]
    Invalid { field: &'static str, reason: &'static str, what: String },
    #[error("{}", refused(.0))]
    PlaybookInvalid(Box<Report>),
    #[error("version {given} is not higher than {newest}, the newest; give it a higher `version`")]
    VersionNotHigher { given: u32, newest: u32 },
    #[error("{0}")]
    NoticeTooShort(PublishRefusal),
    #[error("no version {0} of a playbook is published")]
    PlaybookUnknown(u32),
    #[error("the published playbooks may have {most} bytes together; this one would pass that")]
    TooManyPlaybooks { most: usize },
    #[error("a ledger has at most {most} accounts")]
    TooManyAccounts { most: usize },
    /// A retry helps.
    #[error("the ledger has too much to write; try again shortly")]
    Overloaded,
    #[error("the ledger's store takes nothing more: {0}")]
    StoreFailed(String),
    /// A retry helps once the store is back. Whether the call was done is not known until then.
    #[error("the ledger's database is out of reach; try again shortly: {0}")]
    StoreAway(String),
}

/// An account's journal, read from its beginning.
pub trait Auditing: Send + 'static {
    /// The next entries, in order; none: that was all.
    fn next(&mut self) -> impl Future<Output = Result<Vec<AuditEntry>, LedgerError>> + Send;
}

/// A ledger, as its servers see it. Writes are answered once they are durable.
pub trait LedgerApi: Clone + Send + Sync + 'static {
    type Audit: Auditing;

    /// The ledger's clock.
    fn now(&self) -> Timestamp;

    /// Which life of its store this is, and until when it learns what sidecars hold, where it does.
    fn generation(&self) -> (u32, Option<Timestamp>);

    fn attach(&self, hello: Hello) -> impl Future<Output = Result<Attached, LedgerError>> + Send;

    /// What a process said of itself when it attached.
    fn acting(&self, who: Sender) -> impl Future<Output = Result<Arc<Acting>, LedgerError>> + Send;

    /// `wait`: how long the answer may take; recalls use part of it.
    fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> impl Future<Output = Result<Leased, LedgerError>> + Send;

    /// `named`: runs that the call names besides its own.
    fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        named: &[NamedRun],
        wait: Duration,
    ) -> impl Future<Output = Result<RunReply, LedgerError>> + Send;

    /// Answers the highest record that is durable.
    fn report(&self, who: Sender, batch: Batch) -> impl Future<Output = Result<u64, LedgerError>> + Send;

    /// `playbook`: the newest version that the sidecar has. The channel closes when another watch of the same sidecar
    /// begins, and where the sidecar reads too slowly.
    fn watch(
        &self,
        who: Sender,
        playbook: u32,
    ) -> impl Future<Output = Result<mpsc::Receiver<Change>, LedgerError>> + Send;

    fn administer(
        &self,
        account: &AccountId,
        command: &Command,
        request: &RequestId,
    ) -> impl Future<Output = Result<Administered, LedgerError>> + Send;

    fn account(&self, account: &AccountId) -> impl Future<Output = Result<AccountView, LedgerError>> + Send;

    /// At most `most` accounts after this name, in order.
    fn accounts(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> impl Future<Output = Result<Vec<AccountView>, LedgerError>> + Send;

    /// `pool`: of it alone.
    fn balance(
        &self,
        account: &AccountId,
        pool: Option<&PoolId>,
    ) -> impl Future<Output = Result<BalanceView, LedgerError>> + Send;

    /// What runs were charged, by group; `None` = runs without one.
    fn usage(
        &self,
        account: &AccountId,
        ask: &UsageAsk,
    ) -> impl Future<Output = Result<BTreeMap<Option<Name>, Usage>, LedgerError>> + Send;

    /// The run that a handle of the account names, and until when it may live; `None`: it is no such handle.
    fn handle(&self, account: &AccountId, handle: &str) -> Option<(ReservationId, Timestamp)>;

    fn invoice_lines(
        &self,
        account: &AccountId,
    ) -> impl Future<Output = Result<Vec<InvoiceLine>, LedgerError>> + Send;

    fn alerts(&self, account: &AccountId) -> impl Future<Output = Result<Vec<Alert>, LedgerError>> + Send;

    fn audit(&self, account: &AccountId) -> impl Future<Output = Result<Self::Audit, LedgerError>> + Send;

    /// `request`: `None` checks and publishes nothing. Answers what the check warns of, too.
    fn publish(
        &self,
        source: &str,
        request: Option<&RequestId>,
    ) -> impl Future<Output = Result<(Version, Vec<Finding>), LedgerError>> + Send;

    /// What a version changes, and the earliest that it may be in force. `before`: 0 = the one in force.
    fn diff(&self, before: u32, after: &DiffTo) -> Result<(Diff, Timestamp), LedgerError>;

    /// A version with its source; 0 = the one in force.
    fn playbook(&self, version: u32) -> Result<(Version, String), LedgerError>;

    /// Newest first.
    fn playbooks(&self) -> Vec<Version>;
}

/// How many errors a report has, and the first of them. Warnings refuse nothing.
fn refused(report: &Report) -> String {
    let errors = report.of(Severity::Error).count();
    let many = if errors == 1 { "" } else { "s" };
    let first = report.of(Severity::Error).next();
    let first =
        first.map_or_else(String::new, |one| format!("; the first is on line {}: {}", one.line, one.problem));
    format!("the playbook is refused, {errors} error{many}{first}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_playbook_counts_its_errors_and_names_the_first() {
        let report = crate::playbook::check("bursar: 1\nplaybook: p\nversion: 0\n");
        let errors = report.of(Severity::Error).count();
        assert!(
            errors > 1
                && refused(&report).starts_with(&format!("the playbook is refused, {errors} errors; "))
        );
        let one = Report { findings: report.findings.into_iter().take(1).collect(), ..Report::default() };
        assert!(refused(&one).starts_with("the playbook is refused, 1 error; the first is on line "));
    }
}
