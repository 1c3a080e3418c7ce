//! What the ledger has not acknowledged yet: reported records, in order. Nothing is ever dropped from it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::entry;
use crate::grpc::lease_client::Reported;
use crate::storage::{Journal, JournalError, Urgency};
use crate::types::{AccountId, Epoch};

/// Records and bytes of one report: what a ledger takes in one commit, and a fraction of what a message may have.
const BATCH_RECORDS_MAX: usize = 2000;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// A record on its way.
#[derive(Debug)]
pub struct Pending {
    pub number: u64,
    /// The start that wrote it.
    pub start: u64,
    pub account: AccountId,
    pub body: Box<[u8]>,
    /// Its acknowledgement changes the wallet.
    pub promotes: bool,
}

impl Pending {
    fn bytes(&self) -> u64 {
        self.body.len() as u64
    }
}

#[derive(Debug)]
pub struct Outbox {
    pending: Mutex<VecDeque<Pending>>,
    /// Bytes that wait.
    bytes: AtomicU64,
    bytes_max: AtomicU64,
    bell: Notify,
    acknowledged: watch::Sender<u64>,
}

/// One report to be.
#[derive(Debug, Default)]
pub struct Batch {
    pub records: Vec<Reported>,
    pub accounts: BTreeSet<AccountId>,
}

impl Outbox {
    pub fn new(bytes_max: u64, found: VecDeque<Pending>) -> Self {
        let bytes = found.iter().map(Pending::bytes).sum();
        Self {
            pending: Mutex::new(found),
            bytes: AtomicU64::new(bytes),
            bytes_max: AtomicU64::new(bytes_max),
            bell: Notify::new(),
            acknowledged: watch::channel(0).0,
        }
    }

    /// Whether it takes no new work.
    pub fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed) >= self.bytes_max.load(Ordering::Relaxed)
    }

    /// Journals a record that the ledger is told. Number and place in the outbox are given at once, so that the order of
    /// reports is the order of numbers.
    pub fn append(
        &self,
        journal: &Journal,
        payload: &[u8],
        account: &AccountId,
        promotes: bool,
        start: u64,
        urgency: Urgency,
    ) -> Result<u64, JournalError> {
        let (account, body) = (account.clone(), entry::body(payload));
        let bytes = body.len() as u64;
        let mut pending = self.pending.lock();
        let number = journal.append(payload, urgency)?;
        pending.push_back(Pending { number, start, account, body, promotes });
        drop(pending);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.bell.notify_one();
        Ok(number)
    }

    #[cfg(test)]
    pub fn set_bytes_max(&self, most: u64) {
        self.bytes_max.store(most, Ordering::Relaxed);
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records that wait.
    pub fn len(&self) -> usize {
        self.pending.lock().len()
    }

    pub fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Wakes who reports, though nothing was added.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// Waits until something is added. Wakes for what was added since it was last asked, too.
    pub async fn added(&self) {
        self.bell.notified().await;
    }

    /// The oldest record that waits.
    pub fn first(&self) -> Option<u64> {
        self.pending.lock().front().map(|pending| pending.number)
    }

    /// The newest record that waits.
    pub fn last(&self) -> Option<u64> {
        self.pending.lock().back().map(|pending| pending.number)
    }

    /// The oldest records that wait and are durable.
    pub fn batch(&self, durable: u64, generation: u32) -> Batch {
        let mut batch = Batch::default();
        let mut bytes = 0;
        for pending in self.pending.lock().iter() {
            if pending.number > durable {
                break;
            }
            bytes += pending.body.len();
            if !batch.records.is_empty()
                && (batch.records.len() >= BATCH_RECORDS_MAX || bytes > BATCH_BYTES_MAX)
            {
                break;
            }
            batch.records.push(Reported {
                number: pending.number,
                epoch: Epoch { generation, start: pending.start },
                body: pending.body.to_vec(),
            });
            batch.accounts.insert(pending.account.clone());
        }
        batch
    }

    /// The ledger has everything through this record. Answers the accounts whose wallets must hear of it.
    pub fn acknowledge(&self, through: u64) -> BTreeSet<AccountId> {
        let mut told = BTreeSet::new();
        let mut bytes = 0;
        let mut pending = self.pending.lock();
        while let Some(first) = pending.front() {
            if first.number > through {
                break;
            }
            bytes += first.bytes();
            if let Some(first) = pending.pop_front()
                && first.promotes
            {
                told.insert(first.account);
            }
        }
        drop(pending);
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.acknowledged.send_if_modified(|so_far| {
            let more = through > *so_far;
            *so_far = through.max(*so_far);
            more
        });
        told
    }

    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until everything that waits now is acknowledged. Without a time of its own: the caller has one.
    pub async fn flushed(&self) {
        let Some(last) = self.last() else { return };
        let mut acknowledged = self.acknowledged.subscribe();
        // The sender lives as long as the outbox.
        let _gone = acknowledged.wait_for(|through| *through >= last).await;
    }
}
