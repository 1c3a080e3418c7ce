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
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    for_records: Vec<(u64, Waker)>,
    /// Wakes them, where there is one.
    relay: Option<Waker>,
}

impl Progress {
    pub(super) fn new(durable: u64) -> Self {
        Self { durable: AtomicU64::new(durable), ended: OnceLock::new(), waiting: Mutex::default() }
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
        self.tell();
    }

    /// Wakes the relay, or else everybody who need not wait any longer.
    fn tell(&self) {
        let relay = self.waiting.lock().relay.take();
        match relay {
            Some(relay) => relay.wake(),
            None => self.wake(),
        }
    }

    fn wake(&self) {
        let (durable, ended) = (self.durable(), self.ended.get().is_some());
        let reached = |(wanted, _): &mut (u64, Waker)| ended || *wanted <= durable;
        let woken: Vec<_> = self.waiting.lock().for_records.extract_if(.., reached).collect();
        woken.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Nothing more becomes durable; the first reason stands.
    pub(super) fn end(&self, why: JournalError) {
        // A later reason changes nothing for those who wait.
        let _ = self.ended.set(why);
        self.tell();
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
        let same = |(n, w): &(u64, Waker)| *n == number && w.will_wake(waker);
        let known = self.registered && waiting.for_records.iter().any(same);
        if !known {
            waiting.for_records.push((number, waker.clone()));
        }
        drop(waiting);
        self.registered = true;
        Poll::Pending
    }
}

/// Wakes those who wait from the thread that polls it, until nothing more becomes durable. Woken one by one from the
/// committer's thread, each would have its answer written before the next one is awake; woken together, their answers
/// leave together.
#[derive(Debug)]
#[must_use = "a future does nothing unless it is awaited"]
pub struct Relay(Arc<Progress>);

impl Relay {
    pub(super) fn new(progress: Arc<Progress>) -> Self {
        Self(progress)
    }
}

impl Future for Relay {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        // First the waker: what becomes durable from here on is told again.
        self.0.waiting.lock().relay = Some(context.waker().clone());
        self.0.wake();
        if self.0.ended.get().is_some() { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.waiting.lock().relay = None;
        self.0.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn times(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn poll(future: &mut (impl Future + Unpin), by: &Arc<Woken>) -> bool {
        let waker = Waker::from(Arc::clone(by));
        Pin::new(future).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    #[test]
    fn a_relay_wakes_those_who_wait_and_without_one_they_are_woken_all_the_same() {
        let progress = Arc::new(Progress::new(0));
        let (caller, looker) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let mut relay = Relay::new(Arc::clone(&progress));
        assert!(!poll(&mut relay, &looker));
        let mut waits: Vec<_> = (1..=4).map(|number| Wait::new(Arc::clone(&progress), number)).collect();
        assert!(waits.iter_mut().all(|wait| !poll(wait, &caller)));
        progress.advance(2);
        assert_eq!((caller.times(), looker.times()), (0, 1));
        assert!(!poll(&mut relay, &looker));
        assert_eq!(caller.times(), 2);
        // Told, and gone before it looked.
        progress.advance(3);
        drop(relay);
        assert_eq!((caller.times(), looker.times()), (3, 2));
        progress.advance(4);
        assert_eq!(caller.times(), 4);
        assert!(waits.iter_mut().all(|wait| poll(wait, &caller)));
    }

    #[test]
    fn a_relay_ends_with_its_journal_and_everybody_hears_of_it() {
        let progress = Arc::new(Progress::new(0));
        let (caller, looker) = (Arc::new(Woken::default()), Arc::new(Woken::default()));
        let (mut relay, mut wait) = (Relay::new(Arc::clone(&progress)), Wait::new(Arc::clone(&progress), 1));
        assert!(!poll(&mut relay, &looker) && !poll(&mut wait, &caller));
        progress.end(JournalError::Closed);
        assert_eq!((caller.times(), looker.times()), (0, 1));
        assert!(poll(&mut relay, &looker) && poll(&mut wait, &caller));
        assert_eq!(caller.times(), 1);
    }
}
