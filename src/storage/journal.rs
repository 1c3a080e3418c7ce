//! The handle that the shell holds: append without waiting for the disk, wait where an answer must be safe.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use super::committer::Committer;
use super::frame::RECORD_BYTES_MAX;
use super::generation::SetAside;
use super::memory::MemoryDisk;
use super::progress::{Progress, Relay, Wait};
use super::queue::{Queue, Stop};
use super::reader::Reader;
use super::recovery::{self, Found};
use super::store::{Finding, Limits, StoredRecord};

/// How soon a record must be on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Somebody waits: the commit starts as soon as the one under way is over.
    Now,
    /// Nobody does: it may wait up to 50 ms for company.
    Soon,
}

/// Where records go.
#[derive(Clone, Debug)]
pub enum Engine {
    /// sled, made durable.
    Sled,
    /// A disk in memory, for tests; the directory is not touched.
    Memory(MemoryDisk),
}

/// Why a record was not taken, or will never be durable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// A retry helps once records are acknowledged and trimmed.
    #[error("the journal is full: the ledger must acknowledge records first")]
    Full,
    /// Nothing after the last durable record is safe, though some of it may still be found. Drop the journal and open
    /// it again.
    #[error("the journal has failed: {0}")]
    Failed(Arc<str>),
    #[error("the journal is closed")]
    Closed,
    /// Nothing was taken; a retry does not help.
    #[error("a record of {bytes} bytes is longer than {RECORD_BYTES_MAX}")]
    TooLong { bytes: usize },
}

/// Why the journal could not be opened. Damage is not among these: a damaged store is set aside.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("the journal `{dir}` is in use by another process: stop that one, or use another directory", dir = dir.display())]
    Locked { dir: PathBuf },
    #[error("the disk of the journal `{path}` is full: free some space", path = path.display())]
    Full { path: PathBuf },
    #[error("can't {what} `{path}`: {source}", path = path.display())]
    Io { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the disk does not give back what was just written to `{path}`: {why}", path = path.display())]
    Fresh { path: PathBuf, why: Finding },
    #[error(
        "this build's flush does not reach `fdatasync`, so a power cut would lose acknowledged records: \
         link bursar so that its `sync_file_range` replaces the C library's"
    )]
    NotDurable,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("start", &self.start)
            .field("clean", &self.clean)
            .finish_non_exhaustive()
    }
}

/// A journal that was opened, and what was found in it.
pub struct Opened {
    pub journal: Journal,
    /// Drawn when the journal was created: a lost or damaged disk has another one.
    pub id: [u8; 16],
    /// The number of this start, higher at each one, and durable by now.
    pub start: u64,
    /// Whether the process before stopped cleanly; so did it if there was none.
    pub clean: bool,
    /// All records not yet trimmed, in order.
    pub records: Vec<StoredRecord>,
    /// A damaged store that this new one replaces.
    pub set_aside: Option<SetAside>,
    /// Reads back what is durable, for as long as the journal is open.
    pub reader: Box<dyn Reader>,
}

/// Figures of a journal.
#[derive(Clone, Copy, Debug)]
pub struct JournalStats {
    /// Records in the store, not yet trimmed.
    pub live_records: u64,
    /// Their bytes, frames included.
    pub live_bytes: u64,
    /// Records taken and not yet durable.
    pub queued_records: u64,
    /// The highest number given.
    pub last: u64,
    /// The highest number that is safe against a power cut.
    pub durable: u64,
    /// Bytes that the engine's files take, refreshed now and then.
    pub disk_bytes: u64,
    /// Commits since the start.
    pub batches: u64,
    /// How long the newest commit took, where the limits bring a stopwatch.
    pub commit_took: Option<Duration>,
    pub records_max: u64,
    pub bytes_max: u64,
}

/// A cheap handle to the journal. When the last one is dropped without [`Journal::close`], what is queued is still written,
/// and the next start finds an unclean stop.
pub struct Journal {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    thread: Arc<Thread>,
}

impl Clone for Journal {
    fn clone(&self) -> Self {
        Self {
            queue: Arc::clone(&self.queue),
            progress: Arc::clone(&self.progress),
            thread: Arc::clone(&self.thread),
        }
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("durable", &self.durable()).finish_non_exhaustive()
    }
}

impl Journal {
    /// Queues a record, at most [`super::RECORD_BYTES_MAX`] long, and gives it its number: 1 more than the last; the order
    /// of calls is the order of records. Never waits for the disk. `Full` is answered at the bounds of the [`Limits`].
    pub fn append(&self, payload: &[u8], urgency: Urgency) -> Result<u64, JournalError> {
        self.queue.push(payload, urgency)
    }

    /// The highest number that is safe against a power cut.
    pub fn durable(&self) -> u64 {
        self.progress.durable()
    }

    /// Resolves once the record of this number is durable, or the journal has ended before. A record appended with
    /// [`Urgency::Soon`] is not hurried by it.
    pub fn wait(&self, number: u64) -> Wait {
        Wait::new(Arc::clone(&self.progress), number)
    }

    /// Wakes those who wait from wherever it is polled, together; while nobody polls one, the journal's thread wakes them.
    pub fn relay(&self) -> Relay {
        Relay::new(Arc::clone(&self.progress))
    }

    /// Gives up the records through this number: acknowledged, and no longer needed.
    pub fn trim(&self, through: u64) {
        self.queue.trim(through);
    }

    /// Whether a bound is three quarters reached: the time to refuse new work, so that what is under way finds room.
    pub fn is_filling(&self) -> bool {
        self.queue.is_filling()
    }

    /// Why the journal takes nothing more, if so.
    pub fn ended(&self) -> Option<JournalError> {
        self.progress.ended()
    }

    pub fn stats(&self) -> JournalStats {
        let look = self.queue.look();
        let limits = self.queue.limits();
        JournalStats {
            live_records: look.stored.live_records,
            live_bytes: look.stored.live_bytes,
            queued_records: look.queued_records,
            last: look.last,
            durable: self.durable(),
            disk_bytes: look.stored.disk_bytes,
            batches: look.batches,
            commit_took: look.commit_took,
            records_max: limits.records_max,
            bytes_max: limits.bytes_max,
        }
    }

    /// Writes what is queued, marks the stop as clean and frees the store. Blocks until that is done; other handles
    /// answer [`JournalError::Closed`] from now on.
    pub fn close(self) -> Result<(), JournalError> {
        self.thread.stop(Stop::Clean)
    }
}

/// The committer's thread, joined when the last handle goes.
struct Thread {
    queue: Arc<Queue>,
    handle: Mutex<Option<JoinHandle<Result<(), JournalError>>>>,
}

impl Thread {
    fn stop(&self, stop: Stop) -> Result<(), JournalError> {
        self.queue.stop(stop);
        match self.handle.lock().take() {
            Some(handle) => handle.join().unwrap_or(Err(JournalError::Closed)),
            None => Ok(()),
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Its failure was told to everybody who waited.
        let _ = self.stop(Stop::Dropped);
    }
}

/// Opens the journal in `dir`, or makes one. Blocks: the engine is opened and every live record read and checked.
pub fn open(dir: &Path, limits: Limits, engine: Engine) -> Result<Opened, OpenError> {
    let Found { mut store, clean, set_aside } = match engine {
        Engine::Sled => recovery::open(dir, &limits)?,
        Engine::Memory(disk) => disk.open()?,
    };
    let mut records = Vec::new();
    let head = store.replay(&mut |record| records.push(record)).map_err(OpenError::store("read", dir))?;
    let reader = store.reader();
    let queue = Arc::new(Queue::new(head.number, head.trimmed, store.stats(), limits));
    let progress = Arc::new(Progress::new(head.number));
    let committer = Committer::new(Arc::clone(&queue), Arc::clone(&progress), store, &head);
    let handle = thread::Builder::new()
        .name("journal".to_owned())
        .spawn(move || committer.run())
        .map_err(OpenError::io("start the committer of", dir))?;
    let thread = Arc::new(Thread { queue: Arc::clone(&queue), handle: Mutex::new(Some(handle)) });
    let journal = Journal { queue, progress, thread };
    Ok(Opened { journal, id: head.id, start: head.start, clean, records, set_aside, reader })
}
