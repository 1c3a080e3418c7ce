//! Keeping the journal short: records go once the ledger has them, their time is over, and snapshots stand for them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::entry::{Attachment, Entry, Kept, SnapshotPart};
use super::pace::Pace;
use super::shard::Shards;
use super::upstream::Upstream;
use crate::runtime::{Boottime, Shutdown};
use crate::storage::{JournalError, Urgency};
use crate::types::{AccountId, cbor};

/// How often the journal is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Fewer records are not worth a snapshot of every wallet.
const WORTH_RECORDS: u64 = 4096;

/// A snapshot is cut into records of this size: far below the longest record, and short enough for one write.
const PART_BYTES: usize = 1 << 20;

/// Snapshots that wait for the disk at once.
const WRITTEN_AT_ONCE: usize = 1024;

/// Once more accounts than this are in memory, idle ones leave it.
const ACCOUNTS_USUAL: usize = 100_000;

/// Which record was the newest acknowledged, and when.
type Sample = (Boottime, u64);

impl<U: Upstream> Core<U> {
    /// Trims until the shutdown.
    pub async fn keep_short(self: Arc<Self>, shutdown: Shutdown) {
        let mut samples: VecDeque<Sample> = VecDeque::new();
        loop {
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            self.make_room().await;
            let through = self.dispensable(&mut samples);
            if through == 0 {
                continue;
            }
            // Whatever a stop leaves of it, the next process does.
            let trimmed = tokio::select! {
                () = shutdown.requested() => return,
                trimmed = self.trim(through) => trimmed,
            };
            if let Err(why) = trimmed {
                tracing::warn!(%why, "the journal could not be trimmed");
            }
        }
    }

    /// The newest record that the ledger has and that is old enough; 0 = none that is worth it.
    fn dispensable(&self, samples: &mut VecDeque<Sample>) -> u64 {
        let now = self.shards.clock.clock().boottime();
        let stats = self.shards.journal.stats();
        // Records that the ledger is not told are its own matter: they are as old as the reports around them.
        let had = match self.shards.outbox.first() {
            Some(first) => first - 1,
            None => stats.durable,
        };
        samples.push_back((now, had));
        let mut through = 0;
        while let Some((when, number)) = samples.front().copied()
            && now.since(when) >= self.keeping.retain
        {
            through = number;
            samples.pop_front();
        }
        if through == 0
            && stats.live_bytes > self.keeping.bytes_max.saturating_add(self.shards.outbox.bytes())
        {
            through = had;
        }
        let oldest = stats.last - stats.live_records.saturating_add(stats.queued_records).min(stats.last);
        if through.saturating_sub(oldest) >= WORTH_RECORDS { through } else { 0 }
    }

    /// Lets accounts leave memory: names that nobody subscribed, and idle ones where there are many.
    async fn make_room(&self) {
        self.shards.forget_strangers().await;
        let surplus = self.shards.count().saturating_sub(ACCOUNTS_USUAL);
        let mut pace = Pace::default();
        for account in self.shards.idle(surplus) {
            pace.step().await;
            // Its last record is then a snapshot: what is left of earlier ones is not read.
            if let Ok(Some(number)) = snapshot(&self.shards, &account, u64::MAX) {
                self.shards.forget(&account, number);
            }
        }
    }

    /// Gives up the records through this one, once what the next start needs of them is written anew.
    pub async fn trim(&self, through: u64) -> Result<(), JournalError> {
        let (mut pace, mut unwritten) = (Pace::default(), 0);
        for account in self.shards.accounts() {
            pace.step().await;
            let Some(number) = snapshot(&self.shards, &account, through)? else { continue };
            unwritten += 1;
            // What waits for the disk stays short: calls need its room.
            if unwritten == WRITTEN_AT_ONCE {
                self.durable(number).await?;
                unwritten = 0;
            }
        }
        let mut facts_from = self.facts_from.lock();
        if *facts_from <= through {
            let epoch = self.link.sender().map(|who| who.epoch).unwrap_or_default();
            let attachment = self.shards.clock.offset().map(|offset| self.attachment(epoch, offset));
            *facts_from = write_facts(&self.shards, attachment.as_ref())?;
        }
        let needed = self.shards.needed_from().unwrap_or(u64::MAX).min(*facts_from);
        self.shards.journal.trim(through.min(needed.saturating_sub(1)));
        Ok(())
    }
}

/// Writes a wallet as a value, where the next start would need a record through `through` of it; answers the number of
/// its first record.
fn snapshot(shards: &Shards, account: &AccountId, through: u64) -> Result<Option<u64>, JournalError> {
    let written = shards.visit(account, |desk| {
        if desk.slot.needed_from.is_none_or(|from| from > through) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        let elsewhere = desk.slot.elsewhere().filter(|(_, until)| *until > desk.here.at).collect();
        cbor::write(Kept { wallet: desk.slot.wallet.snapshot(), elsewhere }, &mut bytes);
        let parts = u32::try_from(bytes.chunks(PART_BYTES).len()).unwrap_or(u32::MAX);
        let mut first = None;
        for (part, bytes) in (0..).zip(bytes.chunks(PART_BYTES)) {
            let (account, bytes) = (account.clone(), bytes.to_vec());
            let part = SnapshotPart { account, part, parts, bytes };
            // Parts without the rest are no whole, and are not read: where this fails, nothing has changed.
            let number = shards.journal.append(&Entry::Snapshot(&part).bytes(), Urgency::Soon)?;
            first = first.or(Some(number));
        }
        desk.slot.needed_from = first;
        desk.slot.last = first.unwrap_or_default();
        Ok(first)
    });
    written.and_then(Result::ok).unwrap_or(Ok(None))
}

/// Writes what a start needs besides wallets; answers the first record of it.
fn write_facts(shards: &Shards, attachment: Option<&Attachment>) -> Result<u64, JournalError> {
    let mut first = None;
    for playbook in shards.playbooks.load().all() {
        let number = shards.journal.append(&Entry::Playbook(&playbook.source).bytes(), Urgency::Soon)?;
        first = first.or(Some(number));
    }
    if let Some(attachment) = attachment {
        let number = shards.journal.append(&Entry::Attached(attachment).bytes(), Urgency::Soon)?;
        first = first.or(Some(number));
    }
    Ok(first.unwrap_or(u64::MAX))
}
