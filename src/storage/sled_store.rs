//! The engine on disk: sled 0.34, used so that its known faults do no harm.
//!
//! A batch is packed and cut into chunks, one sled value each. Chunks are small enough that
//! sled never moves a page into a blob file, because it does not sync those. They are plain inserts: a batch is whole
//! or it is not by its keys (`first · last · index · count`), which costs one sync, where sled's own batch costs three.
//! Order of every commit: chunks and flush, then the head file, then the acknowledgement. Order of every trim: the
//! head file, then the removals.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::chain::{LiveBatch, StoredBatch};
use super::frame::take;
use super::head::HeadFile;
use super::pack;
use super::reader::{Reader, SledReader};
use super::store::{Batch, Finding, Head, LocalStore, StoreError, StoreStats, StoredRecord};

/// The most a chunk holds, in bytes. sled moves a page out of the log once it is longer than a quarter of a segment (131,020
/// bytes); a leaf has at most 17 values, 20 for a moment while two leaves merge.
const CHUNK_BYTES_MAX: usize = 6_000;

/// sled's own default, fixed here because a store can't be opened with another.
const SEGMENT_BYTES: usize = 512 << 10;

/// sled's cache. Records are read once, at opening; only the pages at both ends are in use. sled takes several times
/// what it is given.
const CACHE_BYTES: u64 = 8 << 20;

/// Removals done along with one commit or trim: the rest waits, so that no caller waits for a long clean-up.
const REMOVALS_MAX: usize = 256;

/// Commits between two looks at the size of the files.
const COMMITS_PER_MEASURE: u64 = 512;

const KEY_LEN: usize = 20;
/// Counts the openings: the probe of the self-test. Always another value, because sled skips a write that changes nothing.
const PROBE_KEY: &[u8] = b"opened";

/// The open engine with its head file.
pub(super) struct SledStore {
    /// Readers hold it weakly: when the store goes, the engine does.
    db: Arc<sled::Db>,
    head: HeadFile,
    dir: PathBuf,
    found: Vec<StoredRecord>,
    live: VecDeque<LiveBatch>,
    live_bytes: u64,
    /// Where batches are packed.
    packed: Vec<u8>,
    /// Given up, and still in the file.
    removable: VecDeque<Key>,
    disk_bytes: u64,
    commits: u64,
    /// An error happened: nothing may be written through this handle again.
    broken: bool,
    /// Declared last, so that sled is gone before somebody else may come in.
    lock: Option<File>,
}

/// The key of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub first: u64,
    pub last: u64,
    index: u16,
    count: u16,
}

impl Key {
    pub(super) fn bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(KEY_LEN);
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.last.to_be_bytes());
        bytes.extend_from_slice(&self.index.to_be_bytes());
        bytes.extend_from_slice(&self.count.to_be_bytes());
        bytes
    }

    pub(super) fn parse(mut bytes: &[u8]) -> Option<Self> {
        let rest = &mut bytes;
        let (first, last) = (u64::from_be_bytes(take(rest)?), u64::from_be_bytes(take(rest)?));
        let (index, count) = (u16::from_be_bytes(take(rest)?), u16::from_be_bytes(take(rest)?));
        (rest.is_empty() && index < count && first <= last).then_some(Self { first, last, index, count })
    }

    /// All keys of the same batch.
    pub(super) fn all(self) -> impl Iterator<Item = Self> {
        (0..self.count).map(move |index| Self { index, ..self })
    }

    /// The keys of the batch that holds `bytes` bytes.
    fn of(first: u64, last: u64, bytes: usize) -> impl Iterator<Item = Self> {
        // A batch ends at 256 KiB or after one record of at most 16 MiB: far below 65,535 chunks.
        let count = u16::try_from(bytes.div_ceil(CHUNK_BYTES_MAX)).unwrap_or(u16::MAX);
        (0..count).map(move |index| Self { first, last, index, count })
    }
}

/// Opens sled's files. Blocks, and may panic on damaged ones: recovery calls it where that is contained.
pub(super) fn open_engine(dir: &Path) -> Result<sled::Db, sled::Error> {
    // No background flush: every commit flushes, and cleaning happens along with the writes.
    sled::Config::new()
        .path(dir)
        .segment_size(SEGMENT_BYTES)
        .cache_capacity(CACHE_BYTES)
        .flush_every_ms(None)
        .open()
}

/// Every key, and the batches that their chunks make.
pub(super) type Chunks = (Vec<Key>, Vec<StoredBatch>);

/// All chunks, put together to batches. As [`open_engine`], it may panic on damaged files.
pub(super) fn load(db: &sled::Db) -> Result<Result<Chunks, Finding>, sled::Error> {
    let mut keys: Vec<Key> = Vec::new();
    let mut batches: Vec<StoredBatch> = Vec::new();
    let mut parts = 0;
    for entry in db.iter() {
        let (key, value) = entry?;
        if key == PROBE_KEY {
            continue;
        }
        let Some(key) = Key::parse(&key) else {
            return Ok(Err(Finding::Key(format!("{key:02x?}"))));
        };
        let goes_on =
            keys.last().is_some_and(|k| (k.first, k.last, k.count) == (key.first, key.last, key.count));
        match batches.last_mut().filter(|_| goes_on) {
            Some(batch) => {
                parts += 1;
                batch.bytes = batch.bytes.take().filter(|_| parts == key.index);
                batch.bytes.iter_mut().for_each(|bytes| bytes.extend_from_slice(&value));
                batch.stored += value.len() as u64;
            }
            None => {
                close_batch(&mut batches, keys.last(), parts);
                parts = 0;
                let bytes = (key.index == 0).then(|| value.to_vec());
                let stored = value.len() as u64;
                batches.push(StoredBatch { first: key.first, last: key.last, bytes, stored });
            }
        }
        keys.push(key);
    }
    close_batch(&mut batches, keys.last(), parts);
    Ok(Ok((keys, batches)))
}

/// The newest batch is complete and can be unpacked, or it counts as torn.
fn close_batch(batches: &mut [StoredBatch], key: Option<&Key>, last_index: u16) {
    if let (Some(batch), Some(key)) = (batches.last_mut(), key) {
        batch.bytes = batch.bytes.take().filter(|_| last_index + 1 == key.count).and_then(pack::unpack);
    }
}

/// Copies the chunks that are still needed into a fresh store.
pub(super) fn copy_live(from: &sled::Db, to: &sled::Db, live: &[LiveBatch]) -> Result<(), sled::Error> {
    for batch in live {
        for key in Key::of(batch.first, batch.last, usize::try_from(batch.bytes).unwrap_or(usize::MAX)) {
            if let Some(value) = from.get(key.bytes())? {
                to.insert(key.bytes(), value)?;
            }
        }
    }
    to.flush()?;
    Ok(())
}

/// The parts that an opened store is made of.
pub(super) struct Parts {
    pub db: sled::Db,
    pub head: HeadFile,
    pub dir: PathBuf,
    pub records: Vec<StoredRecord>,
    pub live: Vec<LiveBatch>,
    pub keys: Vec<Key>,
}

impl SledStore {
    /// Takes the store into use as start `head.start`, which is durable when this returns, as is the removal of what an
    /// interrupted commit left.
    pub(super) fn start(parts: Parts, head: Head) -> Result<Self, StoreError> {
        let Parts { db, head: file, dir, records, live, keys } = parts;
        let oldest = live.first().map_or(u64::MAX, |batch| batch.first);
        let newest = live.last().map_or(head.number, |batch| batch.last);
        let (removable, torn): (Vec<Key>, Vec<Key>) = keys
            .into_iter()
            .filter(|key| key.first < oldest || key.last > newest)
            .partition(|key| key.last <= newest);
        let mut this = Self {
            db: Arc::new(db),
            head: file,
            live_bytes: live.iter().map(|batch| batch.bytes).sum(),
            live: live.into(),
            packed: Vec::new(),
            disk_bytes: bytes_below(&dir)?,
            dir,
            found: records,
            removable: removable.into(),
            commits: 0,
            broken: false,
            lock: None,
        };
        torn.into_iter().try_for_each(|key| this.db.remove(key.bytes()).map(drop)).map_err(store_error)?;
        this.probe().map_err(store_error)?;
        this.head.write(head)?;
        Ok(this)
    }

    /// The lock of the journal's directory, held for as long as the store is.
    pub(super) fn keep(&mut self, lock: File) {
        self.lock = Some(lock);
    }

    /// A write and a flush that can't be skipped.
    fn probe(&mut self) -> Result<(), sled::Error> {
        self.db.update_and_fetch(PROBE_KEY, |old| {
            let count = old.and_then(|mut bytes| take(&mut bytes)).map_or(0, u64::from_be_bytes);
            Some(count.wrapping_add(1).to_be_bytes().to_vec())
        })?;
        self.db.flush()?;
        Ok(())
    }

    /// Answers how many bytes it took.
    fn insert(&mut self, batch: &Batch) -> Result<usize, StoreError> {
        let bytes = pack::pack(batch.bytes(), &mut self.packed);
        let keys = Key::of(batch.first(), batch.last(), bytes.len());
        for (key, chunk) in keys.zip(bytes.chunks(CHUNK_BYTES_MAX)) {
            if self.db.insert(key.bytes(), chunk).map_err(store_error)?.is_some() {
                return Err(StoreError::Corrupt(Finding::Key(format!(
                    "record {} is there already",
                    key.first
                ))));
            }
        }
        Ok(bytes.len())
    }

    /// Takes a few of the given-up chunks out of the file; the next flush makes that durable.
    fn remove(&mut self) -> Result<(), StoreError> {
        let trimmed = self.head.head().trimmed;
        while let Some(batch) = self.live.front().copied().filter(|batch| batch.last <= trimmed) {
            self.live.pop_front();
            self.live_bytes -= batch.bytes;
            let length = usize::try_from(batch.bytes).unwrap_or(usize::MAX);
            self.removable.extend(Key::of(batch.first, batch.last, length));
        }
        let now = self.removable.len().min(REMOVALS_MAX);
        for key in self.removable.drain(..now) {
            self.db.remove(key.bytes()).map_err(store_error)?;
        }
        Ok(())
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let bytes = self.insert(batch)? as u64;
        self.remove()?;
        self.db.flush().map_err(store_error)?;
        let head = Head { number: batch.last(), link: batch.link(), ..*self.head.head() };
        self.head.write(head)?;
        self.live.push_back(LiveBatch { first: batch.first(), last: batch.last(), bytes });
        self.live_bytes += bytes;
        self.commits += 1;
        if self.commits.is_multiple_of(COMMITS_PER_MEASURE) {
            self.disk_bytes = bytes_below(&self.dir)?;
        }
        Ok(())
    }

    fn give_up(&mut self, through: u64) -> Result<(), StoreError> {
        let head = *self.head.head();
        let trimmed = through.min(head.number);
        if trimmed > head.trimmed {
            self.head.write(Head { trimmed, ..head })?;
        }
        self.remove()
    }

    /// Runs one operation; after an error, none.
    fn once(
        &mut self,
        operation: impl FnOnce(&mut Self) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.broken {
            return Err(StoreError::Io(io::Error::other("an earlier write failed: open the journal again")));
        }
        // Set before and cleared after, so that a panic in between counts too.
        self.broken = true;
        operation(self)?;
        self.broken = false;
        Ok(())
    }
}

impl LocalStore for SledStore {
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.once(|this| this.commit(batch))
    }

    fn trim(&mut self, through: u64) -> Result<(), StoreError> {
        self.once(|this| this.give_up(through))
    }

    fn replay(&mut self, each: &mut dyn FnMut(StoredRecord)) -> Result<Head, StoreError> {
        std::mem::take(&mut self.found).into_iter().for_each(each);
        Ok(*self.head.head())
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(SledReader(Arc::downgrade(&self.db)))
    }

    fn stats(&self) -> StoreStats {
        let head = self.head.head();
        StoreStats {
            live_records: head.number - head.trimmed,
            live_bytes: self.live_bytes,
            disk_bytes: self.disk_bytes,
        }
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        self.once(|this| {
            this.db.flush().map_err(store_error)?;
            this.head.write(Head { clean: true, ..*this.head.head() }).map_err(StoreError::from)
        })
    }
}

/// What an error of sled's means for the running journal.
pub(super) fn store_error(error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) => StoreError::from(error),
        other => StoreError::Corrupt(Finding::Engine(other.to_string())),
    }
}

/// The size of all files below a directory.
pub(super) fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(found) if found.is_dir() => bytes += bytes_below(&entry.path())?,
            Ok(found) => bytes += found.len(),
            // sled replaces its snapshots while it opens.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_sort_by_record_and_part() {
        let keys: Vec<Vec<u8>> =
            Key::of(1, 5, CHUNK_BYTES_MAX + 1).chain(Key::of(6, 400, 1)).map(Key::bytes).collect();
        assert_eq!(keys.len(), 3);
        assert!(keys.is_sorted());
        for key in &keys {
            assert_eq!(Key::parse(key).unwrap().bytes(), *key);
        }
        assert_eq!(Key::parse(b"short"), None);
    }

    #[test]
    fn a_batch_with_a_missing_part_is_torn() {
        let dir = tempfile::tempdir().unwrap();
        let db = open_engine(dir.path()).unwrap();
        for missing in 0..3 {
            db.clear().unwrap();
            for key in Key::of(1, 9, 2 * CHUNK_BYTES_MAX + 1).chain(Key::of(10, 11, 10)) {
                db.insert(key.bytes(), vec![key.index as u8]).unwrap();
            }
            let whole = load(&db).unwrap().unwrap().1;
            assert_eq!(whole[0].bytes, Some(vec![0, 1, 2]));
            let key = Key::of(1, 9, 2 * CHUNK_BYTES_MAX + 1).nth(missing).unwrap();
            db.remove(key.bytes()).unwrap();
            let torn = load(&db).unwrap().unwrap().1;
            assert_eq!((&torn[0].bytes, &torn[1].bytes), (&None, &Some(vec![0])), "part {missing} missing");
        }
    }
}
