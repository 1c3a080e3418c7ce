//! The only reader of system time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use std::{fmt, fs, io};

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::types::Timestamp;

/// Which boot of which machine this is, and the place from which it counts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A container with its own time namespace counts from elsewhere in the same boot.
const TIME_NAMESPACE: &str = "/proc/self/timens_offsets";

/// Time since the machine started, in microseconds; it runs through suspend and is never set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boottime(i64);

/// Two readings of `Boottime` may be compared only within one boot.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BootId([u8; 16]);

/// Reads the machine's clocks or, in tests, those that a `ManualClock` moves.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System,
    Manual(Arc<Hands>),
    Simulated(Arc<Hands>),
}

#[derive(Debug)]
struct Hands {
    boottime: AtomicI64,
    wall: AtomicI64,
}

/// Moves the clock that was made with it.
#[derive(Clone, Debug)]
pub struct ManualClock(Arc<Hands>);

impl Clock {
    pub fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that only its hand moves, for tests and simulation.
    pub fn manual(boottime: Boottime, wall: Timestamp) -> (Self, ManualClock) {
        let hands = Arc::new(Hands {
            boottime: AtomicI64::new(boottime.micros()),
            wall: AtomicI64::new(wall.micros()),
        });
        (Self(Source::Manual(hands.clone())), ManualClock(hands))
    }

    /// A clock that its hand moves beside timers that run by themselves, in a time of their own: for networks that are
    /// simulated. The hand keeps both together, or lets a machine's clock go wrong.
    pub fn simulated(boottime: Boottime, wall: Timestamp) -> (Self, ManualClock) {
        let (_, ManualClock(hands)) = Self::manual(boottime, wall);
        (Self(Source::Simulated(Arc::clone(&hands))), ManualClock(hands))
    }

    /// Whether it is the machine's.
    pub fn is_system(&self) -> bool {
        matches!(self.0, Source::System)
    }

    /// Whether a hand moves it: whoever moves it also says when to look at what is due.
    pub fn is_manual(&self) -> bool {
        matches!(self.0, Source::Manual(_))
    }

    /// For lengths of time: leases, deadlines, offsets. Costs a few tens of nanoseconds.
    pub fn boottime(&self) -> Boottime {
        match &self.0 {
            Source::System => Boottime(micros(clock_gettime(ClockId::Boottime))),
            Source::Manual(hands) | Source::Simulated(hands) => {
                Boottime(hands.boottime.load(Ordering::Acquire))
            }
        }
    }

    /// This machine's idea of the calendar, which someone may set at any time. Good for spans and for the ledger's own
    /// time through `OwnClock`; never compared with another machine's.
    pub fn wall(&self) -> Timestamp {
        match &self.0 {
            Source::System => Timestamp::from_micros(micros(clock_gettime(ClockId::Realtime))),
            Source::Manual(hands) | Source::Simulated(hands) => {
                Timestamp::from_micros(hands.wall.load(Ordering::Acquire))
            }
        }
    }
}

impl ManualClock {
    /// Lets time pass on both clocks.
    pub fn pass(&self, time: Duration) {
        let micros = i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
        self.0.boottime.fetch_add(micros, Ordering::AcqRel);
        self.0.wall.fetch_add(micros, Ordering::AcqRel);
    }

    /// Sets the wall clock, as an administrator or a time server does.
    pub fn set_wall(&self, wall: Timestamp) {
        self.0.wall.store(wall.micros(), Ordering::Release);
    }
}

impl Boottime {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    pub fn plus(self, time: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(time.as_micros()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to here; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl BootId {
    /// Errors: where the machine does not tell (it needs `/proc`), nothing may outlive the process.
    pub fn read() -> io::Result<Self> {
        let boot = fs::read(BOOT_ID)?;
        // Kernels without time namespaces have no such file.
        let namespace = fs::read(TIME_NAMESPACE).unwrap_or_default();
        Ok(Self::of(&boot, &namespace))
    }

    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub const fn bytes(self) -> [u8; 16] {
        self.0
    }

    fn of(boot: &[u8], namespace: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(boot.trim_ascii()).update(&[0]).update(namespace);
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        Self(id)
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clocks_run_and_this_boot_is_one() {
        let clock = Clock::system();
        let first = clock.boottime();
        assert!(first > Boottime::default());
        assert!(clock.boottime() >= first);
        assert!(clock.wall() > Timestamp::from_micros(1_700_000_000_000_000));
        assert_eq!(BootId::read().unwrap(), BootId::read().unwrap());
    }

    #[test]
    fn a_boot_is_told_from_another_and_from_another_namespace_of_its_own() {
        let boot = BootId::of(b"a\n", b"");
        assert_eq!(boot, BootId::of(b"a", b""));
        assert_ne!(boot, BootId::of(b"b", b""));
        assert_ne!(boot, BootId::of(b"a", b"boottime 1000 0\n"));
    }

    #[test]
    fn lengths_of_time_do_not_go_below_zero() {
        let (early, late) = (Boottime::from_micros(5), Boottime::from_micros(5).plus(Duration::from_secs(2)));
        assert_eq!(late.since(early), Duration::from_secs(2));
        assert_eq!(early.since(late), Duration::ZERO);
    }
}
