//! What the ledger is told: records in order, each until it is acknowledged, and running totals.

use std::collections::BTreeSet;
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

/// Recalls that one report answers: with the accounts of its records no more totals than the ledger takes.
const ANSWERS_MAX: usize = 1024;

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
            let needed = first.max(self.recalls.needed());
            if self.durable(needed).await.is_err() {
                // The journal has failed; what was read again from it is reported by its next opening.
                std::future::pending::<()>().await;
            }
        }
        let batch = outbox.batch(self.shards.journal.durable(), who.epoch.generation);
        let through = batch.records.last().map_or_else(|| outbox.acknowledged(), |record| record.number);
        let mut accounts = batch.accounts;
        let (recalled, recalls_answered) = self.recalls.answered_by(through, ANSWERS_MAX);
        let answering: BTreeSet<&AccountId> = recalled.iter().map(|recall| &recall.account).collect();
        accounts.extend(answering.iter().map(|account| (*account).clone()));
        accounts.extend(self.shards.take_dirty(TOTALS_MAX));
        let recounts = if batch.records.is_empty() { self.recounts() } else { Vec::new() };
        if batch.records.is_empty() && accounts.is_empty() && recounts.is_empty() {
            return Ok(false);
        }
        let totals = accounts
            .into_iter()
            .filter_map(|account| {
                let totals = self.totals_of(&account, through, answering.contains(&account))?;
                Some((account, totals))
            })
            .collect();
        let more = !batch.records.is_empty() || !recounts.is_empty() || recalled.len() == ANSWERS_MAX;
        let acknowledged = outbox.acknowledged();
        let report = Report {
            records: batch.records,
            totals,
            recounts: recounts.clone(),
            acknowledged,
            recalls_answered,
        };
        let acknowledged = match self.upstream.report(who, report).await {
            Ok(acknowledged) => acknowledged,
            Err(why) => {
                self.recalls.again(recalled);
                return Err(why);
            }
        };
        self.recalls.arrived(recalls_answered);
        self.pulse.reports.fetch_add(1, Ordering::Relaxed);
        self.acknowledge(acknowledged);
        if !recounts.is_empty() {
            self.counted(who.epoch.generation, &recounts);
        }
        Ok(more)
    }

    /// Totals that run ahead of their records would show a run twice or not at all: they come with those. A recall is
    /// answered in any case; of an account that is not in memory, nothing is held.
    fn totals_of(&self, account: &AccountId, through: u64, answers: bool) -> Option<LeaseTotals> {
        let told = self.shards.visit(account, |desk| {
            let whole = desk.slot.told <= through || answers;
            whole.then(|| desk.slot.wallet.totals())
        });
        match told {
            Some(told) => told.ok()?,
            None => answers.then(LeaseTotals::default),
        }
    }
}
