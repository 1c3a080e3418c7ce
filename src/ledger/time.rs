//! The ledger's time: this machine's where the store is its own, the database's where processes share one.

use crate::runtime::{Boottime, Clock, LedgerClock, OwnClock};
use crate::types::Timestamp;

/// How far the database's clock may be from where it was before, in microseconds, to count as drift. What is further is a
/// jump, and is not followed: leases that are out would end early or late.
const DRIFT_MICROS_MAX: i64 = 1_000_000;

#[derive(Debug)]
pub enum LedgerTime {
    Own(OwnClock),
    Shared(LedgerClock),
}

impl LedgerTime {
    /// `latest`: the latest instant in the journal; time goes on from there.
    pub fn own(clock: Clock, latest: Timestamp) -> Self {
        Self::Own(OwnClock::new(clock, latest))
    }

    /// The database's clock was read as `theirs` between `asked` and now.
    pub fn shared(clock: Clock, asked: Boottime, theirs: Timestamp) -> Self {
        let answered = clock.boottime();
        let shared = LedgerClock::new(clock);
        shared.learn(asked, answered, theirs);
        Self::Shared(shared)
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Self::Own(own) => own.now(),
            Self::Shared(shared) => shared.now(),
        }
    }

    /// The machine's clocks, for lengths of time.
    pub fn clock(&self) -> &Clock {
        match self {
            Self::Own(own) => own.clock(),
            Self::Shared(shared) => shared.clock(),
        }
    }

    /// The database's clock was read as `theirs` between `asked` and now: its drift is followed. False where it jumped.
    pub fn learn(&self, asked: Boottime, theirs: Timestamp) -> bool {
        let Self::Shared(shared) = self else { return true };
        let answered = shared.clock().boottime();
        let took = answered.micros().saturating_sub(asked.micros());
        let apart = shared.now().micros().abs_diff(theirs.micros());
        if apart > DRIFT_MICROS_MAX.saturating_add(took).unsigned_abs() {
            return false;
        }
        shared.learn(asked, answered, theirs);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn drift_is_followed_and_a_jump_is_not() {
        let at = Timestamp::from_micros;
        let (clock, hand) = Clock::manual(Boottime::from_micros(5), at(0));
        let time = LedgerTime::shared(clock.clone(), clock.boottime(), at(1_000_000));
        assert_eq!(time.now(), at(1_000_000));
        hand.pass(Duration::from_secs(1));
        assert!(time.learn(clock.boottime(), at(2_300_000)));
        assert_eq!(time.now(), at(2_300_000));
        assert!(!time.learn(clock.boottime(), at(3_600_000_000)));
        assert!(!time.learn(clock.boottime(), at(0)));
        hand.pass(Duration::from_secs(1));
        assert_eq!(time.now(), at(3_300_000));
    }
}
