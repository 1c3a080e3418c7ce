//! Where a wallet's events go: the journal, and the outbox where the ledger is told.

use super::entry::Entry;
use super::metrics::{Metrics, Moved};
use super::outbox::Outbox;
use crate::engine::wallet::Log;
use crate::lease::WalletEvent;
use crate::storage::{Journal, JournalError, Urgency};
use crate::types::AccountId;

/// The number of a record that the journal did not take: it never becomes durable.
const NEVER: u64 = u64::MAX;

/// The journal for the length of one visit to a wallet.
#[derive(Debug)]
pub struct Tape<'a> {
    journal: &'a Journal,
    outbox: &'a Outbox,
    start: u64,
    /// Where records are put into bytes: memory that is used again and again.
    scratch: &'a mut Vec<u8>,
    /// Of the record just made: whether the ledger is told, and whether its acknowledgement changes the wallet.
    reported: bool,
    promotes: bool,
    /// Where records are counted, if anywhere.
    pub metrics: Option<&'a Metrics>,
    /// What the record just made is to count.
    moved: Moved,
    /// The first and the last record of the visit.
    pub written: Option<(u64, u64)>,
    /// The last of them that the ledger is told.
    pub told: Option<u64>,
    /// The journal took no more: what the wallet did since is not on disk, and must be forgotten.
    pub failed: Option<JournalError>,
}

impl<'a> Tape<'a> {
    pub fn new(journal: &'a Journal, outbox: &'a Outbox, start: u64, scratch: &'a mut Vec<u8>) -> Self {
        Self {
            journal,
            outbox,
            start,
            scratch,
            reported: false,
            promotes: false,
            metrics: None,
            moved: Moved::default(),
            written: None,
            told: None,
            failed: None,
        }
    }
}

impl Log for Tape<'_> {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.scratch.clear();
        Entry::Record(account, event).write(self.scratch);
        self.moved = self.metrics.map(|_| Moved::by(event)).unwrap_or_default();
        (self.reported, self.promotes) = (event.is_reported(), matches!(event, WalletEvent::Promoted(_)));
    }

    fn append(&mut self, account: &AccountId, urgent: bool) -> u64 {
        if self.failed.is_some() {
            return NEVER;
        }
        let urgency = if urgent { Urgency::Now } else { Urgency::Soon };
        let taken = if self.reported {
            self.outbox.append(self.journal, self.scratch, account, self.promotes, self.start, urgency)
        } else {
            self.journal.append(self.scratch, urgency)
        };
        match taken {
            Ok(number) => {
                if let Some(metrics) = self.metrics {
                    metrics.count(self.moved);
                }
                self.told = self.reported.then_some(number).or(self.told);
                self.written = Some((self.written.map_or(number, |(first, _)| first), number));
                number
            }
            Err(why) => {
                self.failed = Some(why);
                NEVER
            }
        }
    }

    fn durable(&self) -> u64 {
        self.journal.durable()
    }

    fn last(&self) -> u64 {
        self.journal.stats().last
    }
}
