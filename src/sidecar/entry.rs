//! What the sidecar's journal holds, and how it is written: one byte that says what it is, then CBOR.

use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::lease::event::Snapshot;
use crate::lease::{SidecarRecord, WalletEvent};
use crate::types::{AccountId, Epoch, ReservationId, Timestamp, cbor};

const RECORD: u8 = 0;
const PLAYBOOK: u8 = 1;
const ATTACHED: u8 = 2;
const SNAPSHOT: u8 = 3;
const ELSEWHERE: u8 = 4;

/// One entry of the journal, to be written.
#[derive(Clone, Copy, Debug)]
pub enum Entry<'a> {
    /// What happened to a wallet.
    Record(&'a AccountId, &'a WalletEvent),
    /// A playbook's source: records are read by the versions that they name.
    Playbook(&'a str),
    Attached(&'a Attachment),
    Snapshot(&'a SnapshotPart),
    Elsewhere(&'a Elsewhere),
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
    /// The ledger's generation that this sidecar is done with; 0 in journals of earlier builds.
    #[cbor(n(3), default)]
    pub generation: u32,
    /// The highest record that was seen acknowledged in it.
    #[cbor(n(4), default)]
    pub acknowledged: u64,
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

impl Entry<'_> {
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Record(account, event) => write(RECORD, RecordParts { account, event }, out),
            Self::Playbook(source) => {
                out.push(PLAYBOOK);
                out.extend_from_slice(source.as_bytes());
            }
            Self::Attached(attachment) => write(ATTACHED, attachment, out),
            Self::Snapshot(part) => write(SNAPSHOT, part, out),
            Self::Elsewhere(elsewhere) => write(ELSEWHERE, elsewhere, out),
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        bytes
    }
}

/// A `SidecarRecord` whose parts belong to others.
#[derive(Encode)]
struct RecordParts<'a> {
    #[n(0)]
    account: &'a AccountId,
    #[n(1)]
    event: &'a WalletEvent,
}

/// Whether an entry is what happened to a wallet.
pub fn is_record(bytes: &[u8]) -> bool {
    bytes.first() == Some(&RECORD)
}

/// The account of such an entry; the empty name where it can't be read. `None` for entries of other kinds.
pub fn account(bytes: &[u8]) -> Option<&str> {
    let rest = bytes.strip_prefix(&[RECORD])?;
    let mut parts = minicbor::Decoder::new(rest);
    Some(parts.array().and_then(|_| parts.str()).unwrap_or_default())
}

/// Reads such an entry.
pub fn record(bytes: &[u8]) -> Result<SidecarRecord, EntryError> {
    minicbor::decode(bytes.get(1..).unwrap_or_default()).map_err(content)
}

/// Reads an entry's bytes.
pub fn read(bytes: &[u8]) -> Result<Found, EntryError> {
    let (kind, rest) = bytes.split_first().ok_or(EntryError::Empty)?;
    match *kind {
        RECORD => record(bytes).map(Found::Record),
        PLAYBOOK => String::from_utf8(rest.to_vec())
            .map(Found::Playbook)
            .map_err(|error| EntryError::Content(error.to_string())),
        ATTACHED => minicbor::decode(rest).map(Found::Attached).map_err(content),
        SNAPSHOT => minicbor::decode(rest).map(Found::Snapshot).map_err(content),
        ELSEWHERE => minicbor::decode(rest).map(Found::Elsewhere).map_err(content),
        other => Err(EntryError::Kind(other)),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn content(error: minicbor::decode::Error) -> EntryError {
    EntryError::Content(error.to_string())
}

/// A record's own bytes within an entry's: they go to the ledger as they stand.
pub fn body(bytes: &[u8]) -> Box<[u8]> {
    bytes.get(1..).unwrap_or_default().into()
}

fn write<T: Encode<()>>(kind: u8, value: T, out: &mut Vec<u8>) {
    out.push(kind);
    cbor::write(value, out);
}
