//! Ledger time: what every calendar instant is measured in.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use parking_lot::Mutex;

use super::clock::{Boottime, Clock};
use crate::types::Timestamp;

/// Ledger time at a sidecar: the time since boot plus an offset that the ledger's answers teach. It never goes back.
///
/// Until the ledger has answered once in this boot, it is an estimate from the machine's own wall clock; the first
/// answer may then set it back. A sidecar has no lease before that, so nothing is decided on the estimate.
#[derive(Debug)]
pub struct LedgerClock {
    clock: Clock,
    /// Ledger time minus time since boot, in microseconds.
    offset: AtomicI64,
    /// The latest instant that was given out since it was learned.
    latest: AtomicI64,
    learned: AtomicBool,
    /// Answers come on several tasks; each is learned whole.
    learning: Mutex<()>,
}

/// Ledger time at the ledger: its machine's wall clock, which stands still where that one is set back.
#[derive(Debug)]
pub struct OwnClock {
    clock: Clock,
    latest: AtomicI64,
}

impl LedgerClock {
    pub fn new(clock: Clock) -> Self {
        let offset = clock.wall().micros().saturating_sub(clock.boottime().micros());
        Self::with(clock, offset, false)
    }

    /// With the offset that an earlier process of the same boot learned.
    pub fn resumed(clock: Clock, offset: i64) -> Self {
        Self::with(clock, offset, true)
    }

    fn with(clock: Clock, offset: i64, learned: bool) -> Self {
        Self {
            clock,
            offset: AtomicI64::new(offset),
            latest: AtomicI64::new(i64::MIN),
            learned: AtomicBool::new(learned),
            learning: Mutex::new(()),
        }
    }

    pub fn now(&self) -> Timestamp {
        // `learned` first: once it is true, the offset is the ledger's, and an estimate never enters `latest`.
        let learned = self.is_learned();
        let now = self.clock.boottime().micros().saturating_add(self.offset.load(Ordering::Acquire));
        if learned { monotone(&self.latest, now) } else { Timestamp::from_micros(now) }
    }

    /// Takes the clock of one answer: it was read between `asked` and `answered`.
    ///
    /// An offset that the answer allows is kept, another moves to the nearest that it allows: short round trips
    /// correct, long ones disturb nothing, and no filter has to be tuned.
    pub fn learn(&self, asked: Boottime, answered: Boottime, ledger: Timestamp) {
        if answered < asked {
            return;
        }
        let least = ledger.micros().saturating_sub(answered.micros());
        let most = ledger.micros().saturating_sub(asked.micros());
        let _whole = self.learning.lock();
        if self.learned.load(Ordering::Acquire) {
            let offset = self.offset.load(Ordering::Acquire);
            self.offset.store(offset.clamp(least, most), Ordering::Release);
        } else {
            self.offset.store(least.midpoint(most), Ordering::Release);
            self.learned.store(true, Ordering::Release);
        }
    }

    /// Whether the ledger has taught it in this boot.
    pub fn is_learned(&self) -> bool {
        self.learned.load(Ordering::Acquire)
    }

    /// Ledger time minus time since boot, in microseconds, for the next process of this boot; `None` until learned.
    pub fn offset(&self) -> Option<i64> {
        self.is_learned().then(|| self.offset.load(Ordering::Acquire))
    }

    /// The machine's clocks, for lengths of time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

impl OwnClock {
    /// `latest`: the latest instant in the journal; time goes on from there.
    pub fn new(clock: Clock, latest: Timestamp) -> Self {
        Self { clock, latest: AtomicI64::new(latest.micros()) }
    }

    pub fn now(&self) -> Timestamp {
        monotone(&self.latest, self.clock.wall().micros())
    }

    /// The machine's clocks, for lengths of time.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
}

fn monotone(latest: &AtomicI64, read: i64) -> Timestamp {
    Timestamp::from_micros(latest.fetch_max(read, Ordering::AcqRel).max(read))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    #[test]
    fn learns_the_middle_first_and_then_only_what_an_answer_proves() {
        let (clock, hand) = Clock::manual(Boottime::from_micros(10 * SECOND), at(5_000_000));
        let ledger = LedgerClock::new(clock.clone());
        assert_eq!(ledger.now(), at(5_000_000));
        assert_eq!(ledger.offset(), None);

        // Asked at 10 s after boot, answered at 14 s, the ledger said 1,000 s: between 998 s and 1,004 s is now.
        hand.pass(Duration::from_secs(4));
        ledger.learn(Boottime::from_micros(10 * SECOND), clock.boottime(), at(1000));
        assert_eq!(ledger.now(), at(1002), "set back once, from the estimate");
        assert_eq!(ledger.offset(), Some(988 * SECOND));

        // A slow answer that agrees changes nothing, a quick one that does not moves it.
        ledger.learn(Boottime::from_micros(0), clock.boottime(), at(1000));
        assert_eq!(ledger.now(), at(1002));
        ledger.learn(Boottime::from_micros(14 * SECOND), clock.boottime(), at(1004));
        assert_eq!(ledger.now(), at(1004));
    }

    #[test]
    fn never_goes_back_once_learned() {
        let (clock, hand) = Clock::manual(Boottime::default(), at(0));
        let ledger = LedgerClock::new(clock.clone());
        ledger.learn(clock.boottime(), clock.boottime(), at(1000));
        assert_eq!(ledger.now(), at(1000));
        ledger.learn(clock.boottime(), clock.boottime(), at(990));
        assert_eq!(ledger.now(), at(1000), "stands still");
        hand.pass(Duration::from_secs(9));
        assert_eq!(ledger.now(), at(1000));
        hand.pass(Duration::from_secs(3));
        assert_eq!(ledger.now(), at(1002));
        hand.set_wall(at(77));
        assert_eq!(ledger.now(), at(1002), "nobody sets it by the wall clock");
    }

    #[test]
    fn an_answer_from_before_its_question_is_ignored() {
        let (clock, _hand) = Clock::manual(Boottime::from_micros(SECOND), at(3));
        let ledger = LedgerClock::new(clock.clone());
        ledger.learn(Boottime::from_micros(2 * SECOND), clock.boottime(), at(1000));
        assert!(!ledger.is_learned());
    }

    #[test]
    fn goes_on_in_the_next_process_of_the_boot() {
        let (clock, _hand) = Clock::manual(Boottime::from_micros(7 * SECOND), at(0));
        let ledger = LedgerClock::resumed(clock, 100 * SECOND);
        assert!(ledger.is_learned());
        assert_eq!(ledger.now(), at(107));
    }

    #[test]
    fn the_ledgers_own_clock_stands_still_when_set_back() {
        let (clock, hand) = Clock::manual(Boottime::default(), at(100));
        let own = OwnClock::new(clock, at(50));
        assert_eq!(own.now(), at(100));
        hand.set_wall(at(80));
        assert_eq!(own.now(), at(100));
        hand.set_wall(at(101));
        assert_eq!(own.now(), at(101));

        let (clock, _hand) = Clock::manual(Boottime::default(), at(10));
        assert_eq!(OwnClock::new(clock, at(50)).now(), at(50), "never before the journal's end");
    }
}
