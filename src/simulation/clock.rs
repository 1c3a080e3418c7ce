//! Clocks of a world. Each machine has its own, which runs a little fast or slow; wall clocks also jump. All times are
//! microseconds.

use crate::types::Timestamp;

/// A million parts: how drift is told.
const MILLION: i64 = 1_000_000;

/// The time since a machine's boot, on a clock that runs through suspend.
#[derive(Clone, Copy, Debug)]
pub struct Boottime {
    /// Parts in a million by which it runs fast.
    pub drift: i64,
    /// The world's time at boot.
    pub booted: i64,
}

impl Boottime {
    pub fn at(&self, now: i64) -> i64 {
        (now - self.booted).saturating_mul(MILLION + self.drift) / MILLION
    }

    /// When this clock has come so far, in the world's time, and no sooner.
    pub fn when(&self, boottime: i64) -> i64 {
        self.booted + boottime.saturating_mul(MILLION) / (MILLION + self.drift) + 2
    }
}

/// Ledger time at a sidecar: its time since boot plus an offset that the ledger's answers teach; it never goes back. The
/// shell's is `runtime/ledger_clock.rs`.
#[derive(Clone, Copy, Debug)]
pub struct LedgerTime {
    /// Ledger time minus time since boot; an estimate from the wall clock until it is learned.
    offset: i64,
    learned: bool,
    latest: i64,
}

impl LedgerTime {
    pub fn estimated(offset: i64) -> Self {
        Self { offset, learned: false, latest: i64::MIN }
    }

    /// What an earlier process of the same boot learned.
    pub fn resumed(offset: i64) -> Self {
        Self { learned: true, ..Self::estimated(offset) }
    }

    pub fn now(&mut self, boottime: i64) -> Timestamp {
        let now = boottime.saturating_add(self.offset);
        if self.learned {
            self.latest = self.latest.max(now);
            return Timestamp::from_micros(self.latest);
        }
        Timestamp::from_micros(now)
    }

    /// An answer's clock was read between `asked` and `answered`.
    pub fn learn(&mut self, asked: i64, answered: i64, ledger: Timestamp) {
        if answered < asked {
            return;
        }
        let (least, most) = (ledger.micros() - answered, ledger.micros() - asked);
        if self.learned {
            self.offset = self.offset.clamp(least, most);
        } else {
            self.offset = least.midpoint(most);
            self.learned = true;
        }
    }

    pub fn offset(&self) -> Option<i64> {
        self.learned.then_some(self.offset)
    }

    /// The time since boot at which ledger time will be `at`.
    pub fn when(&self, at: Timestamp) -> i64 {
        at.micros().saturating_sub(self.offset)
    }
}

/// The ledger's own time: its machine's wall clock, which stands still where that one is set back.
#[derive(Clone, Copy, Debug)]
pub struct WallTime {
    pub boottime: Boottime,
    /// Wall clock minus time since boot.
    pub wall: i64,
    pub latest: i64,
}

impl WallTime {
    pub fn now(&mut self, now: i64) -> Timestamp {
        self.latest = self.latest.max(self.boottime.at(now).saturating_add(self.wall));
        Timestamp::from_micros(self.latest)
    }

    pub fn when(&self, at: Timestamp) -> i64 {
        self.boottime.when(at.micros().saturating_sub(self.wall))
    }
}
