//! What the ledger is told: records in order, each until it is acknowledged, and running totals.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::core::Core;
use super::upstream::Upstream;
use crate::grpc::lease_client::{LinkError, Report, Sender};
use crate::lease::LeaseTotals;
use crate::runtime::{Backoff, Shutdown};
use crate::types::AccountId;

/// How often totals are told that changed without a record.
const TOTALS_EVERY: Duration = Duration::from_secs(1);

/// Accounts whose totals one report tells besides those of its records.
const TOTALS_MAX: usize = 256;

/// After a report that the ledger did not take.
const AGAIN_FIRST: Duration = Duration::from_millis(50);
const AGAIN_MOST: Duration = Duration::from_secs(5);

impl<U: Upstream> Core<U> {
    /// Reports until the shutdown.
    pub async fn keep_reporting(self: Arc<Self>, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.report_forever() => {}
        }
    }

    async fn report_forever(&self) {
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        loop {
            let Some(who) = self.link.up().await else { return };
            let reported = self.report(who).await;
            self.pulse.looks.fetch_add(1, Ordering::Relaxed);
            match reported {
                Ok(true) => {
                    backoff.reset();
                    continue;
                }
                Ok(false) => backoff.reset(),
                Err(why) => {
                    // Nothing is dropped: the same records go again.
                    if matches!(why, LinkError::Refused(_)) {
                        tracing::error!(%why, "the ledger does not take a report");
                    } else {
                        tracing::debug!(%why, "a report did not arrive");
                    }
                    self.link.suspect();
                    tokio::time::sleep(backoff.next_wait()).await;
                    continue;
                }
            }
            let _sooner_or_later = tokio::time::timeout(TOTALS_EVERY, self.shards.outbox.added()).await;
        }
    }

    /// Sends one report, if there is anything to tell; true where more may wait.
    async fn report(&self, who: Sender) -> Result<bool, LinkError> {
        let outbox = &self.shards.outbox;
        if let Some(first) = outbox.first() {
            // What a recall gave back is in the very next report, or the ledger believes that nothing was idle.
            let needed = first.max(std::mem::take(&mut *self.report_from.lock()));
            if self.durable(needed).await.is_err() {
                // The journal has failed; what was read again from it is reported by its next opening.
                std::future::pending::<()>().await;
            }
        }
        let batch = outbox.batch(self.shards.journal.durable(), who.epoch.generation);
        let through = batch.records.last().map_or_else(|| outbox.acknowledged(), |record| record.number);
        let mut accounts = batch.accounts;
        let recalled = std::mem::take(&mut *self.recalled.lock());
        accounts.extend(recalled.iter().cloned());
        accounts.extend(self.shards.take_dirty(TOTALS_MAX));
        let recounts = if batch.records.is_empty() { self.recounts() } else { Vec::new() };
        if batch.records.is_empty() && accounts.is_empty() && recounts.is_empty() {
            return Ok(false);
        }
        let totals: Vec<(AccountId, LeaseTotals)> = accounts
            .into_iter()
            .filter_map(|account| {
                // Totals that run ahead of their records would show a run twice or not at all: they come with those. A
                // recall is answered in any case.
                let told = self.shards.visit(&account, |desk| {
                    let whole = desk.slot.told <= through || recalled.contains(&account);
                    whole.then(|| desk.slot.wallet.totals())
                });
                Some((account, told?.ok()??))
            })
            .collect();
        let more = !batch.records.is_empty() || !recounts.is_empty();
        let acknowledged = outbox.acknowledged();
        let report = Report { records: batch.records, totals, recounts: recounts.clone(), acknowledged };
        let acknowledged = self.upstream.report(who, report).await?;
        self.pulse.reports.fetch_add(1, Ordering::Relaxed);
        self.acknowledge(acknowledged);
        if !recounts.is_empty() {
            self.counted(who.epoch.generation, &recounts);
        }
        Ok(more)
    }
}
