//! What waits for the committer, and when an append is refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::frame::RECORD_BYTES_MAX;
use super::journal::{JournalError, Urgency};
use super::store::{Limits, StoreStats};

/// How long a record that nobody waits for may stay unwritten, in microseconds: long enough to share a sync with many
/// others, short enough that a crash loses little.
const SOON_MICROS_MAX: u64 = 50_000;

/// Fewer records than this are given up only when the committer has nothing else to do: each trim costs a sync.
const TRIM_RECORDS_MIN: u64 = 256;

/// A queue that grew past this many bytes gives its memory back after the burst.
const SPARE_BYTES_MAX: usize = 4 << 20;

/// What share of a bound counts as filling up, in percent.
const FILLING_PERCENT: u64 = 75;

/// The door between the callers and the committer.
#[derive(Debug)]
pub(super) struct Queue {
    inner: Mutex<Inner>,
    bell: Condvar,
    limits: Limits,
    /// Whether any bound is near, as of the last change.
    filling: AtomicBool,
}

#[derive(Debug)]
struct Inner {
    records: Payloads,
    /// The number that the next record gets.
    next: u64,
    /// What the committer is writing.
    in_flight_records: u64,
    in_flight_bytes: u64,
    urgent: bool,
    trim_wanted: u64,
    trim_done: u64,
    stored: StoreStats,
    batches: u64,
    commit_took: Option<Duration>,
    committer: Committer,
    stop: Option<Stop>,
    ended: Option<JournalError>,
}

/// Payloads in a row: one piece of memory, whatever their number.
#[derive(Debug, Default)]
pub(super) struct Payloads {
    bytes: Vec<u8>,
    lengths: Vec<usize>,
}

impl Payloads {
    fn push(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.lengths.push(payload.len());
    }

    fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    fn len(&self) -> u64 {
        self.lengths.len() as u64
    }

    fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.bytes.as_slice();
        self.lengths.iter().map_while(move |length| {
            let (payload, after) = rest.split_at_checked(*length)?;
            rest = after;
            Some(payload)
        })
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lengths.clear();
        self.bytes.shrink_to(SPARE_BYTES_MAX);
        self.lengths.shrink_to(SPARE_BYTES_MAX / size_of::<usize>());
    }
}

/// What the committer does at the moment, which says who must ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Committer {
    /// Waits for anything at all.
    Asleep,
    /// Waits for company; only somebody who waits himself cuts that short.
    Lingering,
    Awake,
}

/// How a journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// With the mark of a clean stop.
    Clean,
    /// Everything queued is written; the next start finds an unclean stop.
    Dropped,
}

/// What the committer shall do next.
#[derive(Debug)]
pub(super) enum Work {
    Commit { records: Payloads, trim: Option<u64> },
    Trim(u64),
    Stop(Stop),
}

/// A look at the queue, for the journal's figures.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub stored: StoreStats,
    pub queued_records: u64,
    pub batches: u64,
    pub commit_took: Option<Duration>,
    pub last: u64,
}

impl Queue {
    pub(super) fn new(last: u64, trimmed: u64, stored: StoreStats, limits: Limits) -> Self {
        let inner = Inner {
            records: Payloads::default(),
            next: last + 1,
            in_flight_records: 0,
            in_flight_bytes: 0,
            urgent: false,
            trim_wanted: trimmed,
            trim_done: trimmed,
            stored,
            batches: 0,
            commit_took: None,
            committer: Committer::Awake,
            stop: None,
            ended: None,
        };
        let filling = AtomicBool::new(false);
        let queue = Self { inner: Mutex::new(inner), bell: Condvar::new(), limits, filling };
        queue.look_at_bounds(&queue.inner.lock());
        queue
    }

    /// Takes the record and gives it the next number. Called with locks held by the caller: nothing here waits for long.
    pub(super) fn push(&self, payload: &[u8], urgency: Urgency) -> Result<u64, JournalError> {
        if payload.len() > RECORD_BYTES_MAX {
            return Err(JournalError::TooLong { bytes: payload.len() });
        }
        let size = payload.len() as u64;
        let mut inner = self.inner.lock();
        if let Some(why) = &inner.ended {
            return Err(why.clone());
        }
        if inner.is_full(size, &self.limits) {
            return Err(JournalError::Full);
        }
        let number = inner.next;
        inner.next += 1;
        inner.records.push(payload);
        inner.urgent |= urgency == Urgency::Now;
        self.look_at_bounds(&inner);
        let ring = match inner.committer {
            Committer::Asleep => true,
            Committer::Lingering => urgency == Urgency::Now,
            Committer::Awake => false,
        };
        if ring {
            inner.committer = Committer::Awake;
        }
        drop(inner);
        if ring {
            self.bell.notify_one();
        }
        Ok(number)
    }

    /// Records through this number are no longer needed; what was never appended can't be meant.
    pub(super) fn trim(&self, through: u64) {
        let mut inner = self.inner.lock();
        inner.trim_wanted = inner.trim_wanted.max(through.min(inner.next - 1));
        let ring = inner.committer == Committer::Asleep;
        if ring {
            inner.committer = Committer::Awake;
        }
        drop(inner);
        if ring {
            self.bell.notify_one();
        }
    }

    /// Appends are refused from now on; the committer finishes what is queued.
    pub(super) fn stop(&self, stop: Stop) {
        let mut inner = self.inner.lock();
        inner.stop.get_or_insert(stop);
        inner.ended.get_or_insert(JournalError::Closed);
        drop(inner);
        self.bell.notify_one();
    }

    /// Nothing more can be written.
    pub(super) fn fail(&self, why: JournalError) {
        self.inner.lock().ended = Some(why);
    }

    /// Waits for work. `spare` is the emptied list of the last commit, used again for the next.
    pub(super) fn next(&self, spare: Payloads) -> Work {
        let mut inner = self.inner.lock();
        let mut lingered = false;
        loop {
            let trim = (inner.trim_wanted > inner.trim_done).then_some(inner.trim_wanted);
            let due = lingered || inner.urgent || inner.stop.is_some();
            if inner.records.is_empty() {
                match (trim, inner.stop) {
                    (Some(through), _) if due => return Work::Trim(through),
                    (None, Some(stop)) => return Work::Stop(stop),
                    (Some(_), _) => {}
                    (None, None) => {
                        inner.committer = Committer::Asleep;
                        self.bell.wait(&mut inner);
                        (inner.committer, lingered) = (Committer::Awake, false);
                        continue;
                    }
                }
            } else if due {
                let records = inner.take(spare);
                let trim = trim.filter(|through| through - inner.trim_done >= TRIM_RECORDS_MIN);
                return Work::Commit { records, trim };
            }
            inner.committer = Committer::Lingering;
            let wait = self.bell.wait_for(&mut inner, Duration::from_micros(SOON_MICROS_MAX));
            inner.committer = Committer::Awake;
            lingered = wait.timed_out();
        }
    }

    /// The committer is done with what it took.
    pub(super) fn committed(&self, stored: StoreStats, batches: u64, took: Option<Duration>) {
        let mut inner = self.inner.lock();
        inner.stored = stored;
        inner.batches += batches;
        (inner.in_flight_records, inner.in_flight_bytes) = (0, 0);
        inner.commit_took = took.or(inner.commit_took);
        self.look_at_bounds(&inner);
    }

    pub(super) fn trimmed(&self, stored: StoreStats, through: u64) {
        let mut inner = self.inner.lock();
        inner.stored = stored;
        inner.trim_done = inner.trim_done.max(through);
        self.look_at_bounds(&inner);
    }

    /// Whether any bound is near: the time to take no new work, so that what is under way can still be written.
    pub(super) fn is_filling(&self) -> bool {
        self.filling.load(Ordering::Relaxed)
    }

    fn look_at_bounds(&self, inner: &Inner) {
        let (records, bytes) = inner.live();
        let filling =
            |used: u64, bound: u64| used.saturating_mul(100) >= bound.saturating_mul(FILLING_PERCENT);
        let near = filling(records, self.limits.records_max)
            || filling(bytes, self.limits.bytes_max)
            || filling(inner.records.bytes(), self.limits.queue_bytes_max);
        self.filling.store(near, Ordering::Relaxed);
    }

    pub(super) fn look(&self) -> Look {
        let inner = self.inner.lock();
        Look {
            stored: inner.stored,
            queued_records: inner.records.len() + inner.in_flight_records,
            batches: inner.batches,
            commit_took: inner.commit_took,
            last: inner.next - 1,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }
}

impl Inner {
    /// Records and bytes that the store holds or will hold.
    fn live(&self) -> (u64, u64) {
        let records = self.stored.live_records + self.in_flight_records + self.records.len();
        (records, self.stored.live_bytes + self.in_flight_bytes + self.records.bytes())
    }

    fn is_full(&self, size: u64, limits: &Limits) -> bool {
        let (records, bytes) = self.live();
        records >= limits.records_max
            || bytes + size > limits.bytes_max
            || self.records.bytes() + size > limits.queue_bytes_max
    }

    fn take(&mut self, spare: Payloads) -> Payloads {
        self.urgent = false;
        (self.in_flight_records, self.in_flight_bytes) = (self.records.len(), self.records.bytes());
        std::mem::replace(&mut self.records, spare)
    }
}
