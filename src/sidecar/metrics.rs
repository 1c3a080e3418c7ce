//! What a sidecar's metrics are: counted as calls are answered and records written, summed over its accounts when they are
//! read.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::core::Core;
use super::slot::Slot;
use super::upstream::Upstream;
use crate::credit::{Place, RunEvent};
use crate::lease::WalletEvent;
use crate::playbook::draw_order::Species;
use crate::runtime::Boottime;
use crate::telemetry::metrics::{Amount, Calls, Reading, Times, amount, reading, table};
use crate::types::Credits;

/// What is counted over the process's life, whatever becomes of its journal.
#[derive(Debug)]
pub struct Metrics {
    pub calls: Arc<Calls>,
    /// Commits of the journal.
    pub flushes: Arc<Times>,
    reserved: Amount,
    charged: Amount,
    debt: Amount,
    /// When the ledger was in reach last, or the process began.
    contact: AtomicI64,
}

/// Sums over the accounts in memory.
#[derive(Debug, Default)]
struct Sums {
    idle: Credits,
    held: Credits,
    emergency: Credits,
    open_runs: usize,
    broken: usize,
}

/// What a record reserves and charges.
#[derive(Clone, Copy, Debug, Default)]
pub struct Moved {
    reserved: Credits,
    charged: Credits,
    debt: Credits,
}

impl Moved {
    pub fn by(event: &WalletEvent) -> Self {
        let mut moved = Self::default();
        let WalletEvent::Run(RunEvent { flows, debt, .. }) = event else { return moved };
        for flow in flows {
            match (flow.from, flow.to) {
                (Place::Free, Place::Held) => moved.reserved += flow.amount,
                (from, Place::Spent) if from != Place::Spent => moved.charged += flow.amount,
                _ => {}
            }
        }
        // What an answer takes back of either does not come off.
        if debt.is_positive() {
            moved.charged += *debt;
            moved.debt = *debt;
        }
        moved
    }
}

impl Metrics {
    pub fn new(now: Boottime) -> Self {
        Self {
            calls: Arc::default(),
            flushes: Arc::default(),
            reserved: Amount::default(),
            charged: Amount::default(),
            debt: Amount::default(),
            contact: AtomicI64::new(now.micros()),
        }
    }

    /// Counts a record that was written.
    pub fn count(&self, moved: Moved) {
        self.reserved.add(moved.reserved);
        self.charged.add(moved.charged);
        self.debt.add(moved.debt);
    }

    /// The ledger was in reach until now.
    pub fn heard(&self, now: Boottime) {
        self.contact.store(now.micros(), Ordering::Relaxed);
    }
}

impl Sums {
    fn add(&mut self, slot: &Slot) {
        let book = &slot.wallet.book;
        for block in book.pools.iter().flat_map(|pool| &pool.blocks) {
            self.idle += block.available;
            self.held += block.held;
            if block.species == Species::Emergency {
                self.emergency += block.available + block.held;
            }
        }
        self.open_runs += book.runs.len();
        self.broken += usize::from(slot.broken.is_some());
    }
}

impl<U: Upstream> Core<U> {
    /// All metrics of a sidecar that is at work.
    pub async fn read(&self, metrics: &Metrics) -> Vec<Reading> {
        let mut sums = Sums::default();
        self.shards.each(|slot| sums.add(slot)).await;
        let (outbox, journal) = (&self.shards.outbox, self.shards.journal.stats());
        let now = self.shards.clock.clock().boottime();
        if self.link.is_online() {
            metrics.heard(now);
        }
        let contact = Boottime::from_micros(metrics.contact.load(Ordering::Relaxed));
        let emergency = amount::float(sums.emergency);
        let mut readings = vec![Reading::build("sidecar")];
        readings.extend(metrics.calls.read());
        readings.extend([
            Reading::of(&table::RESERVED, metrics.reserved.read()),
            Reading::of(&table::CHARGED, metrics.charged.read()),
            Reading::of(&table::DEBT, metrics.debt.read()),
            Reading::of(&table::LEASED, amount::float(sums.idle + sums.held)),
            Reading::of(&table::STRANDED, amount::float(sums.idle)),
            Reading::of(&table::EMERGENCY, emergency),
            Reading::of(&table::OVERSPEND_BOUND, emergency + metrics.debt.read()),
            Reading::of(&table::OPEN_RUNS, count(sums.open_runs as u64)),
            Reading::of(&table::ACCOUNTS, count(self.shards.count() as u64)),
            Reading::of(&table::BROKEN_ACCOUNTS, count(sums.broken as u64)),
            Reading::of(&table::LEDGER_UP, count(self.link.is_online().into())),
            Reading::of(&table::LEDGER_CONTACT_AGE, now.since(contact).as_secs_f64()),
            Reading::of(&table::OUTBOX_RECORDS, count(outbox.len() as u64)),
            Reading::of(&table::OUTBOX_BYTES, count(outbox.bytes())),
            Reading::of(&table::OUTBOX_BYTES_MAX, count(outbox.bytes_max())),
            Reading::of(&table::JOURNAL_BYTES, count(journal.disk_bytes)),
            Reading::of(&table::JOURNAL_QUEUED, count(journal.queued_records)),
            reading::times(&table::FLUSH_SECONDS, &metrics.flushes),
        ]);
        readings
    }
}

#[expect(clippy::cast_precision_loss, reason = "no count of a process comes near 2^53")]
fn count(number: u64) -> f64 {
    number as f64
}
