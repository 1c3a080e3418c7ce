//! A disk in memory, for tests: it outlives the journals opened on it, and can be told to fail.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;

use super::chain::{self, StoredBatch};
use super::generation::SetAside;
use super::journal::OpenError;
use super::reader::{MemoryReader, Reader};
use super::recovery::{Found, first_head};
use super::store::{Batch, Head, LocalStore, StoreError, StoreStats, StoredRecord};

/// Stands in messages where a path would.
const NOWHERE: &str = "memory";

/// A disk for [`super::Engine::Memory`]. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    head: Option<Head>,
    batches: VecDeque<(u64, u64, Vec<u8>)>,
    held: bool,
    failing: bool,
}

impl MemoryDisk {
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on every write fails, or works again.
    pub fn fail(&self, failing: bool) {
        self.0.lock().failing = failing;
    }

    /// Loses the newest commit, though it was acknowledged.
    pub fn damage(&self) {
        self.0.lock().batches.pop_back();
    }

    /// The frames of the batch that holds a record, and the number of its first.
    pub(super) fn frames_of(&self, number: u64) -> Option<(u64, Vec<u8>)> {
        let state = self.0.lock();
        let batch = state.batches.iter().find(|(first, last, _)| (*first..=*last).contains(&number));
        batch.map(|(first, _, bytes)| (*first, bytes.clone()))
    }

    pub(super) fn open(&self) -> Result<Found, OpenError> {
        let mut state = self.0.lock();
        if state.held {
            return Err(OpenError::Locked { dir: PathBuf::from(NOWHERE) });
        }
        if state.failing {
            return Err(OpenError::io("write", NOWHERE)(failure()));
        }
        let head = state.head.map_or_else(|| first_head(NOWHERE.as_ref()), Ok)?;
        let batches = state.batches.iter().map(|(first, last, bytes)| {
            let stored = bytes.len() as u64;
            StoredBatch { first: *first, last: *last, bytes: Some(bytes.clone()), stored }
        });
        let mut walk = chain::walk(head, batches.collect());
        let mut set_aside = None;
        if let Some(why) = walk.damage.take() {
            let (path, id, salvaged) = (PathBuf::from(NOWHERE), Some(head.id), walk.records);
            set_aside = Some(SetAside { path, why, id, salvaged });
            state.batches.clear();
            walk = chain::walk(first_head(NOWHERE.as_ref())?, Vec::new());
        }
        let clean = walk.head.clean;
        state.head = Some(Head { start: walk.head.start + 1, clean: false, ..walk.head });
        state.held = true;
        let store = MemoryStore { disk: self.clone(), found: walk.records };
        Ok(Found { store: Box::new(store), clean, set_aside })
    }
}

fn failure() -> io::Error {
    io::Error::other("the disk was told to fail")
}

#[derive(Debug)]
struct MemoryStore {
    disk: MemoryDisk,
    found: Vec<StoredRecord>,
}

impl MemoryStore {
    fn write(&self, change: impl FnOnce(&mut State, &mut Head)) -> Result<(), StoreError> {
        let mut state = self.disk.0.lock();
        if state.failing {
            return Err(StoreError::Io(failure()));
        }
        let mut head = state.head.ok_or_else(|| io::Error::other("the disk was never opened"))?;
        change(&mut state, &mut head);
        state.head = Some(head);
        Ok(())
    }
}

impl LocalStore for MemoryStore {
    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        self.write(|state, head| {
            state.batches.push_back((batch.first(), batch.last(), batch.bytes().to_vec()));
            (head.number, head.link) = (batch.last(), batch.link());
        })
    }

    fn trim(&mut self, through: u64) -> Result<(), StoreError> {
        self.write(|state, head| {
            head.trimmed = head.trimmed.max(through.min(head.number));
            state.batches.retain(|(_, last, _)| *last > head.trimmed);
        })
    }

    fn replay(&mut self, each: &mut dyn FnMut(StoredRecord)) -> Result<Head, StoreError> {
        std::mem::take(&mut self.found).into_iter().for_each(each);
        let head = self.disk.0.lock().head;
        Ok(head.ok_or_else(|| io::Error::other("the disk was never opened"))?)
    }

    fn reader(&self) -> Box<dyn Reader> {
        Box::new(MemoryReader(self.disk.clone()))
    }

    fn stats(&self) -> StoreStats {
        let state = self.disk.0.lock();
        let live_bytes = state.batches.iter().map(|(_, _, bytes)| bytes.len() as u64).sum();
        let live_records = state.head.map_or(0, |head| head.number - head.trimmed);
        StoreStats { live_records, live_bytes, disk_bytes: live_bytes }
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        self.write(|_, head| head.clean = true)
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.disk.0.lock().held = false;
    }
}
