//! How far the disk is, and who waits for it.
//!
//! Each waiter is woken once, by the batch that holds its record: with hundreds of callers waiting, a broadcast would wake
//! all of them for every batch.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

use super::journal::JournalError;

/// Shared by the committer, who moves it, and the callers, who wait for it.
#[derive(Debug)]
pub(super) struct Progress {
    durable: AtomicU64,
    ended: OnceLock<JournalError>,
    waiting: Mutex<Vec<(u64, Waker)>>,
}

impl Progress {
    pub(super) fn new(durable: u64) -> Self {
        Self { durable: AtomicU64::new(durable), ended: OnceLock::new(), waiting: Mutex::new(Vec::new()) }
    }

    pub(super) fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Why nothing more becomes durable, once that is so.
    pub(super) fn ended(&self) -> Option<JournalError> {
        self.ended.get().cloned()
    }

    /// Everything through `number` is durable.
    pub(super) fn advance(&self, number: u64) {
        self.durable.store(number, Ordering::Release);
        let woken: Vec<_> = self.waiting.lock().extract_if(.., |(wanted, _)| *wanted <= number).collect();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Nothing more becomes durable; the first reason stands.
    pub(super) fn end(&self, why: JournalError) {
        // A later reason changes nothing for those who wait.
        let _ = self.ended.set(why);
        let woken = std::mem::take(&mut *self.waiting.lock());
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn answer(&self, number: u64) -> Option<Result<(), JournalError>> {
        if self.durable() >= number {
            return Some(Ok(()));
        }
        self.ended().map(Err)
    }
}

/// Resolves once a record is durable, or never will be. Dropping it costs nothing: the record stays queued.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Wait {
    progress: Arc<Progress>,
    number: u64,
    registered: bool,
}

impl Wait {
    pub(super) fn new(progress: Arc<Progress>, number: u64) -> Self {
        Self { progress, number, registered: false }
    }
}

impl Future for Wait {
    type Output = Result<(), JournalError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = self.progress.answer(self.number) {
            return Poll::Ready(answer);
        }
        let mut waiting = self.progress.waiting.lock();
        // Asked again under the lock: the committer moves on first and takes the lock to wake afterwards.
        if let Some(answer) = self.progress.answer(self.number) {
            return Poll::Ready(answer);
        }
        let (number, waker) = (self.number, context.waker());
        let known = self.registered && waiting.iter().any(|(n, w)| *n == number && w.will_wake(waker));
        if !known {
            waiting.push((number, waker.clone()));
        }
        drop(waiting);
        self.registered = true;
        Poll::Pending
    }
}
