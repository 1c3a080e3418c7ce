//! A sidecar's journal: what of it is on disk survives a crash, the rest as far as luck has it.

use crate::engine::wallet::Log;
use crate::lease::{SidecarRecord, WalletEvent};
use crate::types::{AccountId, ReservationId, Timestamp};

#[derive(Clone, Debug)]
pub enum Stored {
    Record(SidecarRecord),
    /// In which boot the ledger's clock was learned, and the offset.
    Attached {
        boot: u64,
        offset: i64,
    },
    /// The ledger settles this run.
    Elsewhere {
        account: AccountId,
        id: ReservationId,
        until: Timestamp,
    },
}

/// Records are numbered from 1; each knows the start that wrote it.
#[derive(Debug, Default)]
pub struct Disk {
    pub records: Vec<(u64, Stored)>,
    pub durable: u64,
    /// The start that writes.
    pub start: u64,
    /// The last stop wrote everything and said so.
    pub clean: bool,
    /// Numbers of records that the ledger is told and has not acknowledged.
    pub pending: std::collections::VecDeque<u64>,
    /// Somebody waits for the disk.
    pub urgent: bool,
    prepared: Option<SidecarRecord>,
}

impl Disk {
    pub fn put(&mut self, stored: Stored) -> u64 {
        self.records.push((self.start, stored));
        self.last()
    }

    pub fn record(&self, number: u64) -> Option<&(u64, Stored)> {
        self.records.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// The newest record that waits for the ledger; 0 = none.
    pub fn waits_to(&self) -> u64 {
        self.pending.back().copied().unwrap_or(0)
    }

    /// The process ends: what was not flushed is gone from the end, `kept` records of it excepted.
    pub fn crash(&mut self, kept: u64) {
        let left = usize::try_from(self.durable + kept).unwrap_or(usize::MAX);
        self.records.truncate(left);
        self.durable = self.last();
        self.urgent = false;
        self.prepared = None;
        self.pending.clear();
    }

    /// What waits for the ledger, as the journal shows it.
    pub fn find_pending(&mut self) {
        let reported =
            |stored: &Stored| matches!(stored, Stored::Record(record) if record.event.is_reported());
        let found = (1..).zip(&self.records).filter(|(_, (_, stored))| reported(stored));
        self.pending = found.map(|(number, _)| number).collect();
    }
}

impl Log for Disk {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.prepared = Some(SidecarRecord { account: account.clone(), event: event.clone() });
    }

    fn append(&mut self, _: &AccountId, urgent: bool) -> u64 {
        if let Some(record) = self.prepared.take() {
            let reported = record.event.is_reported();
            let number = self.put(Stored::Record(record));
            if reported {
                self.pending.push_back(number);
            }
        }
        self.urgent |= urgent;
        self.last()
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn last(&self) -> u64 {
        self.records.len() as u64
    }
}
