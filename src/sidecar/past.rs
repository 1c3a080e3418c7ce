//! A ledger that was restored from a backup: everything retained is sent again, then each slice is counted, and only then is
//! its new generation the one that this sidecar is done with.

use super::core::Core;
use super::entry::{Attachment, Entry};
use super::upstream::Upstream;
use crate::grpc::lease_client::Hello;
use crate::lease::Recount;
use crate::runtime::BootId;
use crate::types::{AccountId, Epoch};

/// Slices that one report counts.
const RECOUNTS_AT_ONCE: usize = 64;

/// What this sidecar knows of the ledger from before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The generation that it is done with; 0 = it has known no ledger.
    pub generation: u32,
    /// The highest record that it saw acknowledged in that generation, before this opening of the journal.
    pub acknowledged: u64,
}

impl Past {
    pub fn of(attachment: &Attachment) -> Self {
        let Attachment { epoch, generation, acknowledged, .. } = *attachment;
        // Earlier builds knew one generation alone.
        let generation = if generation == 0 { epoch.generation } else { generation };
        Self { generation, acknowledged }
    }
}

impl<U: Upstream> Core<U> {
    /// What the ledger is told first.
    pub fn hello(&self) -> Hello {
        let Past { generation, acknowledged } = self.past();
        let acting = self.acting.clone();
        Hello { sidecar: self.id, start: self.shards.start, generation, acknowledged, acting }
    }

    /// The past, as of now.
    fn past(&self) -> Past {
        let past = *self.past.lock();
        // What was acknowledged since belongs to the same generation, or to one that was told everything anew.
        let acknowledged = past.acknowledged.max(self.shards.outbox.acknowledged());
        Past { acknowledged, ..past }
    }

    /// The ledger is of this generation. Where it was another before, every slice is counted.
    pub fn enter(&self, generation: u32) {
        let mut past = self.past.lock();
        if past.generation == 0 {
            past.generation = generation;
        }
        if past.generation != generation {
            tracing::error!(
                knew = past.generation,
                generation,
                "the ledger was restored from a backup; what is retained is sent again, and slices are counted"
            );
            *self.recounting.lock() = self.shards.accounts().into_iter().collect();
            drop(past);
            self.shards.outbox.ring();
            // Without accounts nothing is left to be told.
            self.counted(generation, &[]);
        }
    }

    /// Slices to be counted in the next report: those whose records are all at the ledger, or no longer kept.
    pub fn recounts(&self) -> Vec<(AccountId, Recount)> {
        let waiting: Vec<AccountId> = self.recounting.lock().iter().cloned().collect();
        let first = self.shards.outbox.first().unwrap_or(u64::MAX);
        let counted = |account: AccountId| {
            let recount = self.shards.visit(&account, |desk| {
                let wallet = &desk.slot.wallet;
                (wallet.counted_through() < first).then(|| wallet.recount()).flatten()
            });
            Some((account, recount?.ok()??))
        };
        waiting.into_iter().filter_map(counted).take(RECOUNTS_AT_ONCE).collect()
    }

    /// These slices were told; with the last of them the generation is done with.
    pub fn counted(&self, generation: u32, told: &[(AccountId, Recount)]) {
        let mut recounting = self.recounting.lock();
        for (account, _) in told {
            recounting.remove(account);
        }
        // An account that is broken here, or gone from memory, has nothing to tell.
        recounting.retain(|account| self.shards.visit(account, |_| ()).is_some_and(|visit| visit.is_ok()));
        if !recounting.is_empty() {
            return;
        }
        drop(recounting);
        let done = {
            let mut past = self.past.lock();
            let done = past.generation != generation;
            *past = Past { generation, acknowledged: self.shards.outbox.acknowledged() };
            done
        };
        if let (true, Some(who)) = (done, self.link.sender()) {
            self.note_attached(who.epoch);
        }
    }

    /// Journals what the next start must know of the ledger.
    pub fn note_attached(&self, epoch: Epoch) {
        let Some(offset) = self.shards.clock.offset() else { return };
        let attachment = self.attachment(epoch, offset);
        if let Err(why) = self.note(Entry::Attached(&attachment)) {
            tracing::error!(%why, "what the ledger said could not be journaled");
        }
    }

    pub fn attachment(&self, epoch: Epoch, offset: i64) -> Attachment {
        let Past { generation, acknowledged } = self.past();
        Attachment { epoch, boot: self.boot.map(BootId::bytes), offset, generation, acknowledged }
    }
}
