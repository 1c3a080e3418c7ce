//! The local journal: numbered, hash-chained records that are durable against a power cut before they are acknowledged.
//!
//! One committer thread owns the store; callers only push into a queue. This is the one room that knows sled.
//!
//! | file | what |
//! |---|---|
//! | `journal` | the handle: `append`, `wait`, `trim`, `close`, and `open` |
//! | `queue` | what waits for the committer, and when an append is refused |
//! | `committer` | the thread that encodes, groups and commits |
//! | `progress` | how far the disk is, and who waits for it |
//! | `store` | what an engine must do (`LocalStore`), heads, errors, limits |
//! | `frame` | the bytes of records: version, start, number, hash link, checksum |
//! | `chain` | is what came back whole: gaps, broken links, lost tails |
//! | `durable` | makes sled's flush survive a power cut (the only unsafe code) |
//! | `head` | the two-slot file that says how far the chain reached |
//! | `generation` | the journal's directories: lock, generations, what was set aside |
//! | `reader` | reading back what is durable, beside the committer |
//! | `recovery` | opening after any stop: load, check, set aside, rewrite |
//! | `sled_store` | the engine on disk |
//! | `pack` | the bytes of a batch as sled keeps them |
//! | `memory` | the engine for tests |
//! | `verify` | what `bursar journal verify` and `dump` read |

mod chain;
mod committer;
mod durable;
mod frame;
mod generation;
mod head;
mod journal;
mod memory;
mod pack;
mod progress;
mod queue;
mod reader;
mod recovery;
mod sled_store;
mod store;
mod verify;

#[cfg(test)]
mod conformance;

pub use frame::{Link, RECORD_BYTES_MAX};
pub use generation::SetAside;
pub use journal::{Engine, Journal, JournalError, JournalStats, OpenError, Opened, Urgency, open};
pub use memory::MemoryDisk;
pub use progress::{Relay, Wait};
pub use reader::{Batch as ReadBatch, Reader};
pub use store::{Batch, Finding, Head, Limits, LocalStore, StoreError, StoreStats, StoredRecord, Took};
pub use verify::{Contents, Report, VerifyError, read, verify};
