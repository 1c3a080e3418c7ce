//! The embedded store: the ledger's own journal, never trimmed and replayed at each start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use super::archive::{Archive, Index};
use super::news::News;
use super::record::{Entries, Identity, Known, LedgerRecord, Published, Unapplied};
use super::store::{Batch, Foundation, Head, Heard, LedgerStore, StoreError, Ticket, Turn};
use crate::engine::account::Entry;
use crate::lease::LeaseTotals;
use crate::storage::{
    Engine, Journal, JournalError, Limits, OpenError, RECORD_BYTES_MAX, StoredRecord, Urgency, open,
};
use crate::types::{AccountId, SidecarId, Timestamp};

/// The journal is all the ledger has: only the disk bounds it.
const UNBOUNDED: u64 = u64::MAX / 4;

/// Bytes that wait for the disk at most: a second's work of a busy ledger. At three quarters new work is refused.
const QUEUE_BYTES_MAX: u64 = 64 << 20;

/// A large journal is read whole at the start; one that is not read after so long counts as damaged.
const OPEN_WITHIN: Duration = Duration::from_secs(600);

/// What a damaged store is called that was set aside.
const SET_ASIDE: &str = "set-aside-";

/// Why the embedded store could not be opened.
#[derive(Debug, Error)]
pub enum EmbeddedError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(
        "the ledger's journal was damaged ({why}) and now lies in `{path}`; a ledger has no other copy of its accounts, so \
         it does not start without them: put a backup into `{dir}`, or move `{path}` elsewhere to begin with an empty ledger",
        path = path.display(), dir = dir.display()
    )]
    Damaged { why: String, path: PathBuf, dir: PathBuf },
    #[error("record {number} of the ledger's journal can't be read by this build: {why}")]
    Unreadable { number: u64, why: String },
    #[error("can't read `{path}`: {source}", path = path.display())]
    Io { path: PathBuf, source: std::io::Error },
}

/// A store in one directory, used by this process alone.
#[derive(Debug)]
pub struct Embedded {
    journal: Mutex<Option<Journal>>,
    /// Accounts are read often at the start and then never: each is handed out once.
    found: Mutex<Found>,
    archive: Mutex<Archive>,
}

#[derive(Debug, Default)]
struct Found {
    foundation: Foundation,
    accounts: BTreeMap<AccountId, Vec<Entry>>,
}

impl Embedded {
    /// Opens the store in `dir`, or makes one. Blocks: everything is read and checked.
    pub fn open(
        dir: &Path,
        engine: Engine,
        stopwatch: Option<fn() -> Duration>,
    ) -> Result<Self, EmbeddedError> {
        let limits = Limits {
            records_max: UNBOUNDED,
            bytes_max: UNBOUNDED,
            queue_bytes_max: QUEUE_BYTES_MAX,
            open_within: OPEN_WITHIN,
            stopwatch,
            ..Limits::default()
        };
        let on_disk = matches!(engine, Engine::Sled);
        let opened = open(dir, limits, engine)?;
        if let Some(aside) = &opened.set_aside {
            let (why, path) = (aside.why.to_string(), aside.path.clone());
            return Err(EmbeddedError::Damaged { why, path, dir: dir.to_owned() });
        }
        // The start after the one that found the damage must not quietly begin anew, either.
        if on_disk
            && opened.records.is_empty()
            && let Some(path) = set_aside(dir)?
        {
            let why = "see `why.txt` there".to_owned();
            return Err(EmbeddedError::Damaged { why, path, dir: dir.to_owned() });
        }
        let mut archive = Archive::new(opened.reader);
        let found = read(&opened.records, &mut archive)?;
        let journal = Mutex::new(Some(opened.journal));
        Ok(Self { journal, found: Mutex::new(found), archive: Mutex::new(archive) })
    }

    fn journal(&self) -> Result<Journal, StoreError> {
        self.journal.lock().clone().ok_or_else(|| of(JournalError::Closed))
    }

    /// Takes a record; never waits.
    fn append(&self, record: &LedgerRecord) -> Result<Ticket, StoreError> {
        append(&self.journal()?, record)
    }

    async fn appended(&self, record: &LedgerRecord) -> Result<(), StoreError> {
        let ticket = self.append(record)?;
        self.durable(ticket).await
    }
}

fn append(journal: &Journal, record: &LedgerRecord) -> Result<Ticket, StoreError> {
    let mut bytes = Vec::with_capacity(512);
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(record, &mut bytes);
    journal.append(&bytes, Urgency::Now).map(Ticket).map_err(of)
}

/// A turn at an account that only this process writes.
#[derive(Debug)]
pub struct EmbeddedTurn {
    account: AccountId,
    journal: Journal,
    archive: Index,
}

impl Turn for EmbeddedTurn {
    fn head(&self) -> Head {
        Head::Own
    }

    async fn entries(&mut self, _after: u64) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    async fn totals(&mut self) -> Result<Vec<(SidecarId, LeaseTotals)>, StoreError> {
        Ok(Vec::new())
    }

    /// Taken at once and in order; what is durable is a prefix of what was taken.
    async fn write(self, batch: Batch) -> Result<Ticket, StoreError> {
        let mut ticket = Ticket::default();
        for entries in batch.writes.iter() {
            let (account, last) = (self.account.clone(), entries.last().map(|entry| entry.number));
            let entries = entries.clone();
            ticket = append(&self.journal, &LedgerRecord::Entries(Entries { account, entries }))?;
            self.archive.note(&self.account, last, ticket.0);
        }
        Ok(ticket)
    }

    async fn pass(self) {}
}

impl LedgerStore for Embedded {
    const SHARED: bool = false;

    type Turn = EmbeddedTurn;

    async fn turn(&self, account: &AccountId, _opens: bool) -> Result<EmbeddedTurn, StoreError> {
        let (account, archive) = (account.clone(), self.archive.lock().index());
        Ok(EmbeddedTurn { account, journal: self.journal()?, archive })
    }

    async fn durable(&self, ticket: Ticket) -> Result<(), StoreError> {
        let wait = self.journal()?.wait(ticket.0);
        wait.await.map_err(of)
    }

    async fn failed(&self) -> StoreError {
        let wait = self.journal().map(|journal| journal.wait(u64::MAX));
        match wait {
            Ok(wait) => wait.await.err().map_or_else(|| of(JournalError::Closed), of),
            Err(closed) => closed,
        }
    }

    fn is_filling(&self) -> bool {
        self.journal().is_ok_and(|journal| journal.is_filling())
    }

    async fn foundation(&self) -> Result<Foundation, StoreError> {
        Ok(self.found.lock().foundation.clone())
    }

    async fn found(&self, identity: Identity) -> Result<Identity, StoreError> {
        self.appended(&LedgerRecord::Identity(identity)).await?;
        Ok(identity)
    }

    async fn renew(&self, _from: u32, identity: Identity) -> Result<Identity, StoreError> {
        self.found(identity).await
    }

    async fn publish(&self, published: &Published, _newest: u32) -> Result<bool, StoreError> {
        self.appended(&LedgerRecord::Published(published.clone())).await?;
        Ok(true)
    }

    async fn stand(&self, known: Known) -> Result<Option<Known>, StoreError> {
        self.appended(&LedgerRecord::Attached(known.clone())).await?;
        Ok(Some(known))
    }

    /// All are known from the start.
    async fn standing(&self, _sidecar: SidecarId) -> Result<Option<Known>, StoreError> {
        Ok(None)
    }

    async fn keep(&self, unapplied: Vec<Unapplied>) -> Result<(), StoreError> {
        for record in unapplied {
            self.append(&LedgerRecord::Unapplied(record))?;
        }
        Ok(())
    }

    async fn resident(&self) -> Result<Vec<(AccountId, Vec<Entry>)>, StoreError> {
        Ok(std::mem::take(&mut self.found.lock().accounts).into_iter().collect())
    }

    async fn knows(&self, _account: &AccountId) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn names(&self, _after: Option<&str>, _most: usize) -> Result<Vec<AccountId>, StoreError> {
        Ok(Vec::new())
    }

    async fn due(&self, _at: Timestamp, _most: usize) -> Result<Vec<AccountId>, StoreError> {
        Ok(Vec::new())
    }

    async fn leased_to(&self, _sidecar: SidecarId) -> Result<Vec<AccountId>, StoreError> {
        Ok(Vec::new())
    }

    /// There is nobody to tell.
    async fn announce(&self, _news: &[News]) -> Result<u64, StoreError> {
        Ok(0)
    }

    async fn news(&self, _after: Option<u64>) -> Result<Heard, StoreError> {
        Ok(Heard::default())
    }

    async fn history(&self, account: &AccountId, after: u64, most: usize) -> Result<Vec<Entry>, StoreError> {
        let durable = self.journal()?.durable();
        let Some(reading) = self.archive.lock().reading(account, after, durable) else {
            return Ok(Vec::new());
        };
        let read = tokio::task::spawn_blocking(move || reading.entries(most)).await;
        read.map_err(|error| StoreError::Refused(error.to_string().into()))?
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.archive.lock().close();
        let Some(journal) = self.journal.lock().take() else { return Ok(()) };
        let closed = tokio::task::spawn_blocking(|| journal.close()).await;
        closed.map_err(|error| StoreError::Failed(error.to_string().into()))?.map_err(of)
    }
}

fn of(error: JournalError) -> StoreError {
    match error {
        JournalError::Full => StoreError::Full,
        JournalError::TooLong { bytes } => StoreError::TooLong { bytes, most: RECORD_BYTES_MAX },
        JournalError::Failed(why) => StoreError::Failed(why),
        JournalError::Closed => StoreError::Failed("the journal is closed".into()),
    }
}

fn read(records: &[StoredRecord], archive: &mut Archive) -> Result<Found, EmbeddedError> {
    let mut found = Found::default();
    for stored in records {
        let record = minicbor::decode(&stored.payload)
            .map_err(|error| EmbeddedError::Unreadable { number: stored.number, why: error.to_string() })?;
        match record {
            LedgerRecord::Identity(identity) => found.foundation.identity = Some(identity),
            LedgerRecord::Published(published) => found.foundation.playbooks.push(published),
            LedgerRecord::Attached(known) => found.foundation.sidecars.push(known),
            LedgerRecord::Unapplied(unapplied) => found.foundation.unapplied.push(unapplied),
            LedgerRecord::Entries(Entries { account, entries }) => {
                archive.index().note(&account, entries.last().map(|entry| entry.number), stored.number);
                found.accounts.entry(account).or_default().extend(entries);
            }
        }
    }
    Ok(found)
}

fn set_aside(dir: &Path) -> Result<Option<PathBuf>, EmbeddedError> {
    let failed = |source| EmbeddedError::Io { path: dir.to_owned(), source };
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_string_lossy().starts_with(SET_ASIDE) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::MemoryDisk;

    #[tokio::test]
    async fn what_was_durable_is_found_again() {
        let disk = MemoryDisk::default();
        let identity = Identity { secret: [7; 32], generation: 1, learning_until: None };
        for _ in 0..2 {
            let store = Embedded::open(Path::new("x"), Engine::Memory(disk.clone()), None).unwrap();
            let foundation = store.foundation().await.unwrap();
            if let Some(found) = foundation.identity {
                assert_eq!(found, identity);
            } else {
                let ticket = store.append(&LedgerRecord::Identity(identity)).unwrap();
                store.durable(ticket).await.unwrap();
            }
            store.close().await.unwrap();
            assert!(matches!(store.append(&LedgerRecord::Identity(identity)), Err(StoreError::Failed(_))));
        }
    }

    #[test]
    fn an_empty_store_beside_a_damaged_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("set-aside-000001")).unwrap();
        let refused = Embedded::open(dir.path(), Engine::Sled, None);
        assert!(matches!(refused, Err(EmbeddedError::Damaged { .. })), "{refused:?}");
    }

    #[tokio::test]
    async fn a_record_that_is_too_long_is_refused_and_the_store_goes_on() {
        let store = Embedded::open(Path::new("x"), Engine::Memory(MemoryDisk::default()), None).unwrap();
        let source = "x".repeat(RECORD_BYTES_MAX);
        let published =
            crate::ledger::record::Published { version: 1, source, at: Default::default(), request: None };
        let refused = store.append(&LedgerRecord::Published(published));
        assert!(matches!(refused, Err(StoreError::TooLong { .. })));
        let ticket = store
            .append(&LedgerRecord::Identity(Identity {
                secret: [0; 32],
                generation: 1,
                learning_until: None,
            }))
            .unwrap();
        store.durable(ticket).await.unwrap();
    }
}
