//! The thread that owns the store: it frames what is queued, commits it as one batch, and tells those who wait.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use super::journal::JournalError;
use super::progress::Progress;
use super::queue::{Payloads, Queue, Stop, Work};
use super::store::{Batch, Head, LocalStore, StoreError, Took};

/// A batch is committed at this size at the latest, so that a backlog does not turn into one huge write.
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Everything the thread owns.
pub(super) struct Committer {
    queue: Arc<Queue>,
    progress: Arc<Progress>,
    store: Box<dyn LocalStore>,
    batch: Batch,
}

impl Committer {
    pub(super) fn new(
        queue: Arc<Queue>,
        progress: Arc<Progress>,
        store: Box<dyn LocalStore>,
        head: &Head,
    ) -> Self {
        Self { queue, progress, store, batch: Batch::after(head) }
    }

    /// Runs until the journal stops or fails. However it ends, everybody who waits is told, and the store is freed.
    pub(super) fn run(self) -> Result<(), JournalError> {
        let (queue, progress) = (Arc::clone(&self.queue), Arc::clone(&self.progress));
        let ended = catch_unwind(AssertUnwindSafe(move || self.work()))
            .unwrap_or_else(|panic| Err(JournalError::Failed(panic_message(&*panic).into())));
        let why = ended.as_ref().err().cloned().unwrap_or(JournalError::Closed);
        queue.fail(why.clone());
        progress.end(why);
        ended
    }

    fn work(mut self) -> Result<(), JournalError> {
        let mut spare = Payloads::default();
        loop {
            match self.queue.next(spare) {
                Work::Commit { mut records, trim } => {
                    self.commit(&records)?;
                    records.clear();
                    if let Some(through) = trim {
                        self.trim(through)?;
                    }
                    spare = records;
                }
                Work::Trim(through) => {
                    self.trim(through)?;
                    spare = Payloads::default();
                }
                Work::Stop(Stop::Clean) => return self.store.close().map_err(failed),
                Work::Stop(Stop::Dropped) => return Ok(()),
            }
        }
    }

    fn commit(&mut self, records: &Payloads) -> Result<(), JournalError> {
        let began = self.clock();
        let mut batches = 0;
        for payload in records.iter() {
            self.batch.push(payload);
            if self.batch.bytes().len() >= BATCH_BYTES_MAX {
                self.write()?;
                batches += 1;
            }
        }
        if !self.batch.is_empty() {
            self.write()?;
            batches += 1;
        }
        let took = began.and_then(|began| Some(self.clock()?.saturating_sub(began)));
        self.queue.committed(self.store.stats(), batches, took);
        if let (Some(Took(tell)), Some(took)) = (&self.queue.limits().took, took) {
            tell(took);
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        self.batch.seal();
        self.store.append(&self.batch).map_err(failed)?;
        self.progress.advance(self.batch.last());
        self.batch.clear();
        Ok(())
    }

    fn trim(&mut self, through: u64) -> Result<(), JournalError> {
        self.store.trim(through).map_err(failed)?;
        self.queue.trimmed(self.store.stats(), through);
        Ok(())
    }

    fn clock(&self) -> Option<Duration> {
        self.queue.limits().stopwatch.map(|read| read())
    }
}

fn failed(error: StoreError) -> JournalError {
    JournalError::Failed(error.to_string().into())
}

/// What a panic said, if it said anything.
pub(super) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
