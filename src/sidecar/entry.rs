//! What the sidecar's journal holds, and how it is written: one byte that says what it is, then CBOR.

use std::sync::{Arc, OnceLock};

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::lease::event::Snapshot;
use crate::lease::{SidecarRecord, WalletEvent};
use crate::storage::Journaled;
use crate::types::{AccountId, Epoch, ReservationId, Timestamp};

const RECORD: u8 = 0;
const PLAYBOOK: u8 = 1;
const ATTACHED: u8 = 2;
const SNAPSHOT: u8 = 3;
const ELSEWHERE: u8 = 4;

/// About the bytes of one record: a reservation with its names and draws.
const RECORD_BYTES: usize = 400;

/// A record's bytes, once the committer's thread has written them: they go to the ledger as they stand.
pub type Body = Arc<OnceLock<Box<[u8]>>>;

/// One entry of the journal.
#[derive(Debug)]
pub enum Entry {
    /// What happened to a wallet; with a place for its bytes where the ledger is told.
    Record(SidecarRecord, Option<Body>),
    /// A playbook's source: records are read by the versions that they name.
    Playbook(Arc<str>),
    Attached(Attachment),
    Snapshot(SnapshotPart),
    Elsewhere(Elsewhere),
}

/// What a start learned of the ledger: its next process of the same boot goes on with it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Attachment {
    #[n(0)]
    pub epoch: Epoch,
    /// The boot in which `offset` holds; `None` where the machine does not tell.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub boot: Option<[u8; 16]>,
    /// Ledger time minus time since boot, in microseconds.
    #[n(2)]
    pub offset: i64,
}

/// A part of a wallet's snapshot: a large wallet has more than one record may hold.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotPart {
    #[n(0)]
    pub account: AccountId,
    /// From 0.
    #[n(1)]
    pub part: u32,
    #[n(2)]
    pub parts: u32,
    /// CBOR of `Kept`, cut.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub bytes: Vec<u8>,
}

/// A run that the ledger settles: the same request again goes there.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Elsewhere {
    #[n(0)]
    pub account: AccountId,
    #[n(1)]
    pub id: ReservationId,
    /// Remembered until then: the end of the run's time.
    #[n(2)]
    pub until: Timestamp,
}

/// All that is kept of one account.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    pub wallet: Snapshot,
    #[n(1)]
    pub elsewhere: Vec<(ReservationId, Timestamp)>,
}

/// An entry as it was found.
#[derive(Debug)]
pub enum Found {
    Record(SidecarRecord),
    Playbook(String),
    Attached(Attachment),
    Snapshot(SnapshotPart),
    Elsewhere(Elsewhere),
}

#[derive(Debug, Error)]
pub enum EntryError {
    #[error("it is empty")]
    Empty,
    #[error("it is of kind {0}, which this build does not know")]
    Kind(u8),
    #[error("it can't be read: {0}")]
    Content(String),
}

impl Journaled for Entry {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Record(record, body) => {
                out.push(RECORD);
                let start = out.len();
                write(record, out);
                if let (Some(body), Some(bytes)) = (body, out.get(start..)) {
                    // A record is encoded once.
                    let _first = body.set(bytes.into());
                }
            }
            Self::Playbook(source) => {
                out.push(PLAYBOOK);
                out.extend_from_slice(source.as_bytes());
            }
            Self::Attached(attachment) => {
                out.push(ATTACHED);
                write(attachment, out);
            }
            Self::Snapshot(part) => {
                out.push(SNAPSHOT);
                write(part, out);
            }
            Self::Elsewhere(elsewhere) => {
                out.push(ELSEWHERE);
                write(elsewhere, out);
            }
        }
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Record(record, _) => match &record.event {
                WalletEvent::Promoted(runs) => RECORD_BYTES * (1 + runs.len()),
                _ => RECORD_BYTES,
            },
            Self::Playbook(source) => source.len(),
            Self::Attached(_) | Self::Elsewhere(_) => 64,
            Self::Snapshot(part) => part.bytes.len() + 64,
        }
    }
}

/// Reads an entry's bytes.
pub fn read(bytes: &[u8]) -> Result<Found, EntryError> {
    let (kind, rest) = bytes.split_first().ok_or(EntryError::Empty)?;
    let content = |error: minicbor::decode::Error| EntryError::Content(error.to_string());
    match *kind {
        RECORD => minicbor::decode(rest).map(Found::Record).map_err(content),
        PLAYBOOK => String::from_utf8(rest.to_vec())
            .map(Found::Playbook)
            .map_err(|error| EntryError::Content(error.to_string())),
        ATTACHED => minicbor::decode(rest).map(Found::Attached).map_err(content),
        SNAPSHOT => minicbor::decode(rest).map(Found::Snapshot).map_err(content),
        ELSEWHERE => minicbor::decode(rest).map(Found::Elsewhere).map_err(content),
        other => Err(EntryError::Kind(other)),
    }
}

/// A record's own bytes within an entry's.
pub fn body(bytes: &[u8]) -> Body {
    let body = OnceLock::new();
    let _first = body.set(bytes.get(1..).unwrap_or_default().into());
    Arc::new(body)
}

fn write<T: Encode<()>>(value: &T, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(value, out);
}
