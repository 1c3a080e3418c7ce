//! What an engine must do, and the words it does it in.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::frame::{self, Link};
use super::reader::Reader;

/// An append-only store of numbered records, owned by the one committer thread.
///
/// No engine's type or error shows through; the conformance suite holds every engine to the same behaviour.
pub trait LocalStore: Send {
    /// Makes the whole batch durable against a power cut, or none of it. After an error the store takes nothing more:
    /// a failed sync must never be retried on the same handle, as the kernel may have dropped the pages.
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError>;
    /// Gives up the records through this number. Idempotent; the space may come back later.
    fn trim(&mut self, through: u64) -> Result<(), StoreError>;
    /// Hands over, once, the records found at opening, in order, and returns where the chain ends.
    fn replay(&mut self, each: &mut dyn FnMut(StoredRecord)) -> Result<Head, StoreError>;
    /// Reads beside whoever writes, for as long as the store is open.
    fn reader(&self) -> Box<dyn Reader>;
    fn stats(&self) -> StoreStats;
    /// Marks the stop as clean and frees the store for the next process.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}

/// A record as it came back from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    pub number: u64,
    /// The start of the process that wrote it.
    pub start: u64,
    /// Of the frame that it came in.
    pub link: Link,
    pub payload: Vec<u8>,
}

/// Where the chain ends, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Drawn when the journal was created.
    pub id: [u8; 16],
    /// The number of the newest start.
    pub start: u64,
    /// The newest durable record; 0 before the first.
    pub number: u64,
    /// Its link; the id before the first.
    pub link: Link,
    /// Records through this one were given up.
    pub trimmed: u64,
    /// Whether the newest start ended with a clean stop.
    pub clean: bool,
}

impl Head {
    /// The head of a journal without records.
    pub(super) fn new(id: [u8; 16]) -> Self {
        Self { id, start: 0, number: 0, link: Link(id), trimmed: 0, clean: true }
    }
}

/// The records of one commit: a frame, and the end of the chain after it.
#[derive(Debug)]
pub struct Batch {
    start: u64,
    first: u64,
    last: u64,
    link: Link,
    bytes: Vec<u8>,
}

impl Batch {
    /// An empty batch that goes on after `head`.
    pub(super) fn after(head: &Head) -> Self {
        Self {
            start: head.start,
            first: head.number + 1,
            last: head.number,
            link: head.link,
            bytes: vec![0; frame::HEADER_LEN],
        }
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        self.last += 1;
        frame::push(payload, &mut self.bytes);
    }

    /// Finishes the batch: nothing is pushed any more before it is cleared.
    pub(super) fn seal(&mut self) {
        let count = (self.last + 1).saturating_sub(self.first);
        self.link = frame::seal(self.start, self.first, count, self.link, &mut self.bytes);
    }

    /// Empties the batch; the chain goes on where it was.
    pub(super) fn clear(&mut self) {
        self.first = self.last + 1;
        self.bytes.clear();
        self.bytes.resize(frame::HEADER_LEN, 0);
    }

    pub fn is_empty(&self) -> bool {
        self.last < self.first
    }

    pub fn first(&self) -> u64 {
        self.first
    }

    pub fn last(&self) -> u64 {
        self.last
    }

    /// The link of the frame, once it is sealed.
    pub fn link(&self) -> Link {
        self.link
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// Records not yet trimmed.
    pub live_records: u64,
    /// Their bytes, frames included. A batch counts until its last record is trimmed.
    pub live_bytes: u64,
    /// What the engine's files take, refreshed now and then.
    pub disk_bytes: u64,
}

/// Bounds of a journal. The defaults suit a sidecar; an embedded ledger, which never trims, sets its own.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Live records at most.
    pub records_max: u64,
    /// Live bytes at most.
    pub bytes_max: u64,
    /// Bytes waiting for the committer at most.
    pub queue_bytes_max: u64,
    /// The engine's files are rewritten at opening once they take more than this many bytes and six times the live ones.
    pub disk_bytes_floor: u64,
    /// How long opening the engine may take before the store counts as damaged.
    pub open_within: Duration,
    /// Reads a monotonic clock, to measure commits; the room reads none itself.
    pub stopwatch: Option<fn() -> Duration>,
    /// Is told how long each commit took.
    pub took: Option<Took>,
}

/// Who is told how long something took.
#[derive(Clone)]
pub struct Took(pub Arc<dyn Fn(Duration) + Send + Sync>);

impl fmt::Debug for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Took").finish_non_exhaustive()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records_max: 1 << 20,
            bytes_max: 64 << 20,
            queue_bytes_max: 8 << 20,
            disk_bytes_floor: 32 << 20,
            open_within: Duration::from_secs(60),
            stopwatch: None,
            took: None,
        }
    }
}

/// Why a store could not do it.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("the disk is full: free some space and start again")]
    Full,
    #[error("the journal is damaged: {0}")]
    Corrupt(Finding),
    #[error("the flush does not reach `fdatasync`, so a power cut would lose what was written")]
    NotDurable,
    #[error("the disk refuses: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for StoreError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// What is wrong with a store's content.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Finding {
    #[error("the bytes after record {after} are no record")]
    Unreadable { after: u64 },
    #[error("the record after {after} has version {found}, which this build does not know")]
    Version { after: u64, found: u8 },
    #[error("the record after {after} does not match its checksum")]
    Checksum { after: u64 },
    #[error("record {expected} is missing: `{found}` follows instead")]
    Gap { expected: u64, found: u64 },
    #[error("record {number} does not follow from the record before it: its hash link differs")]
    Link { number: u64 },
    #[error("record {number} says start {found}, which is not between {oldest} and {newest}")]
    Start { number: u64, found: u64, oldest: u64, newest: u64 },
    #[error("records are missing at the end: the newest found is {found}, but {head} was acknowledged")]
    LostTail { found: u64, head: u64 },
    #[error("record {number} is not the one that the head file names")]
    HeadLink { number: u64 },
    #[error("the batch of records {first} to {last} is not whole")]
    TornBatch { first: u64, last: u64 },
    #[error("the head file can't be read: {0}")]
    Head(&'static str),
    #[error("the store holds a key that no journal writes: {0}")]
    Key(String),
    #[error("the store's engine could not open it: {0}")]
    Engine(String),
    #[error("the store's engine panicked: {0}")]
    Panic(String),
    #[error("the store's engine did not open it within {0:?}")]
    TooSlow(Duration),
}
