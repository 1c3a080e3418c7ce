//! Staying in touch with the ledger: attach, watch, and again after each loss.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_stream::StreamExt;

use super::core::{Core, Standing};
use super::pace::Pace;
use super::recalls::CarriedOut;
use super::upstream::Upstream;
use crate::grpc::lease_client::{Attached, LinkError, Sender, Told};
use crate::runtime::{Backoff, Shutdown};
use crate::types::AccountId;

/// Between two tries to reach the ledger.
const AGAIN_FIRST: Duration = Duration::from_millis(100);
const AGAIN_MOST: Duration = Duration::from_secs(5);

/// Tries after a loss before the ledger counts as away: one that is restarted behind its service is followed by another within
/// a second, and calls wait as long as their plan lets them.
const TRIES_AFTER_LOSS: u32 = 4;

/// An attach that takes longer has failed, as far as calls are concerned.
const ATTACH_WITHIN: Duration = Duration::from_secs(5);

/// How a time in touch ended.
enum End {
    Lost,
    /// A question had no answer.
    Suspected,
}

impl<U: Upstream> Core<U> {
    /// Keeps the link until the shutdown.
    pub async fn keep_link(self: Arc<Self>, shutdown: Shutdown) {
        tokio::select! {
            () = shutdown.requested() => {}
            () = self.link_forever() => {}
        }
        self.link.set(Standing::Down);
    }

    async fn link_forever(&self) {
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        let mut tries = 0;
        loop {
            match self.linked().await {
                Ok(End::Suspected) => {
                    // Whoever asks meanwhile still may: only a failed attach says that the ledger is away.
                    tokio::time::sleep(AGAIN_FIRST).await;
                    continue;
                }
                Ok(End::Lost) => {
                    self.link.set(Standing::Trying);
                    backoff.reset();
                    tries = TRIES_AFTER_LOSS;
                }
                Err(LinkError::Fenced) => {
                    self.link.set(Standing::Down);
                    tracing::error!(
                        "a later start of this sidecar is at work; the ledger hears this process no more"
                    );
                }
                Err(why) if tries > 1 => {
                    tries -= 1;
                    tracing::debug!(%why, "the ledger is not back yet");
                }
                Err(why) => {
                    self.link.set(Standing::Down);
                    tracing::warn!(%why, "the ledger is out of reach");
                }
            }
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    /// One time in touch: ends well where it had begun well.
    async fn linked(&self) -> Result<End, LinkError> {
        let asked = self.shards.clock.clock().boottime();
        // Reports over the connection before this one may be acknowledged while the ledger is asked.
        let knew = self.shards.outbox.acknowledged();
        let attached = tokio::time::timeout(ATTACH_WITHIN, self.upstream.attach(&self.hello()))
            .await
            .unwrap_or_else(|_| Err(LinkError::Unreachable("no answer in time".to_owned())))?;
        self.learn(asked, attached.now);
        for source in &attached.playbooks {
            self.publish(source);
        }
        let who = Sender { sidecar: self.id, epoch: attached.epoch };
        self.pulse.heard.store(0, Ordering::Relaxed);
        let mut told = self.upstream.watch(who).await?;
        self.attached(&attached, knew).await;
        self.link.set(Standing::Up(who));
        tracing::info!(
            epoch = attached.epoch.start,
            generation = attached.generation,
            "in touch with the ledger"
        );
        loop {
            let next = tokio::select! {
                next = told.next() => next,
                () = self.link.suspected() => {
                    tracing::debug!("a question had no answer: the link is looked at");
                    return Ok(End::Suspected);
                }
            };
            match next {
                Some(Ok(change)) => {
                    self.told(change);
                    self.pulse.heard.fetch_add(1, Ordering::Relaxed);
                }
                Some(Err(why)) => {
                    tracing::warn!(%why, "the ledger is out of reach");
                    return Ok(End::Lost);
                }
                None => return Ok(End::Lost),
            }
        }
    }

    /// `knew`: what the ledger had acknowledged when it was asked.
    async fn attached(&self, attached: &Attached, knew: u64) {
        if attached.acknowledged < knew {
            // Restored from a backup: what it lost is still in the journal, and is read again from there.
            tracing::error!(
                knows = attached.acknowledged,
                knew,
                "the ledger knows less than it did; what is retained is sent again"
            );
            self.shards.parted.notify_one();
            return;
        }
        self.acknowledge(attached.acknowledged);
        let mut pace = Pace::default();
        for account in self.shards.accounts() {
            pace.step().await;
            self.acknowledged_to(&account, attached.acknowledged);
        }
        self.enter(attached.generation);
        self.note_attached(attached.epoch);
    }

    /// The ledger has everything through this record.
    pub fn acknowledge(&self, through: u64) {
        for account in self.shards.outbox.acknowledge(through) {
            self.acknowledged_to(&account, through);
        }
    }

    fn acknowledged_to(&self, account: &AccountId, through: u64) {
        let _known = self.shards.visit(account, |desk| {
            desk.slot.wallet.acknowledged(through, desk.here, desk.tape);
        });
    }

    fn told(&self, change: Told) {
        match change {
            Told::Playbook(source) => self.publish(&source),
            Told::Terms(account, terms) => {
                let _known = self.shards.visit(&account, |desk| {
                    desk.slot.wallet.changed(&terms, desk.here, desk.tape);
                });
                self.carried_out(account, 0);
            }
            Told::Unknown(account) => {
                let _known = self.shards.visit(&account, |desk| desk.slot.wallet.closed());
            }
            Told::Promote(account, runs, number) => {
                let _known = self.shards.visit(&account, |desk| {
                    for run in runs {
                        desk.slot.wallet.promote(run, desk.here, desk.tape);
                    }
                });
                self.carried_out(account, number);
            }
            Told::Recall(account, number) => {
                let _known = self.shards.visit(&account, |desk| {
                    desk.slot.wallet.give_back(desk.here, desk.tape);
                });
                self.carried_out(account, number);
            }
        }
    }

    /// A report is to tell what was given back or, where nothing was, the account's totals. After it was done: a report
    /// that is being made meanwhile does not claim it.
    fn carried_out(&self, account: AccountId, number: u64) {
        let record = self.shards.outbox.last().unwrap_or_default();
        self.recalls.add(CarriedOut { account, number, record });
        self.shards.outbox.ring();
    }
}
