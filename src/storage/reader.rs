//! Reading back what is durable, beside the committer: a journal that is never trimmed is also an archive.

use std::sync::Weak;

use super::frame;
use super::sled_store::{Key, store_error};
use super::store::{Finding, StoreError};
use super::{MemoryDisk, pack};

/// The payloads of one batch, and the number of the first.
pub type Batch = (u64, Vec<Vec<u8>>);

/// Reads records of a store that is in use, and nothing of one that is closed.
pub trait Reader: Send + Sync {
    /// The batch that holds a record; `None` where the record is not durable or was given up, or the store is closed.
    fn batch(&self, number: u64) -> Result<Option<Batch>, StoreError>;
}

pub(super) struct SledReader(pub Weak<sled::Db>);

impl Reader for SledReader {
    fn batch(&self, number: u64) -> Result<Option<Batch>, StoreError> {
        let Some(db) = self.0.upgrade() else { return Ok(None) };
        let after = number.saturating_add(1).to_be_bytes();
        let Some(last) = db.range(..after.to_vec()).next_back() else { return Ok(None) };
        let (key, _) = last.map_err(store_error)?;
        let Some(key) = Key::parse(&key).filter(|key| key.last >= number) else { return Ok(None) };
        let mut stored = Vec::new();
        for part in key.all() {
            let Some(chunk) = db.get(part.bytes()).map_err(store_error)? else { return Ok(None) };
            stored.extend_from_slice(&chunk);
        }
        let torn = Finding::TornBatch { first: key.first, last: key.last };
        let bytes = pack::unpack(stored).ok_or(StoreError::Corrupt(torn))?;
        Ok(Some((key.first, payloads(&bytes, key.first)?)))
    }
}

pub(super) struct MemoryReader(pub MemoryDisk);

impl Reader for MemoryReader {
    fn batch(&self, number: u64) -> Result<Option<Batch>, StoreError> {
        let Some((first, bytes)) = self.0.frames_of(number) else { return Ok(None) };
        Ok(Some((first, payloads(&bytes, first)?)))
    }
}

fn payloads(bytes: &[u8], first: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let (mut rest, mut payloads) = (bytes, Vec::new());
    while !rest.is_empty() {
        let after = first.saturating_add(payloads.len() as u64).saturating_sub(1);
        let frame = frame::decode(&mut rest, after).map_err(StoreError::Corrupt)?;
        payloads.extend(frame.payloads.into_iter().map(<[u8]>::to_vec));
    }
    Ok(payloads)
}
