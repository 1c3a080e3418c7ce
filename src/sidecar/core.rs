//! What all parts of the sidecar share between two openings of its journal.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::entry::{Elsewhere, Entry};
use super::ids::Ids;
use super::past::Past;
use super::recalls::Recalls;
use super::shard::Shards;
use super::upstream::Upstream;
use crate::engine::contract::Playbooks;
use crate::grpc::lease_client::Sender;
use crate::lease::Acting;
use crate::playbook;
use crate::runtime::{BootId, Boottime};
use crate::storage::{JournalError, Urgency};
use crate::types::{AccountId, ReservationId, SidecarId, Timestamp};

#[derive(Debug)]
pub struct Core<U> {
    pub id: SidecarId,
    pub shards: Shards,
    pub link: Link,
    pub upstream: U,
    pub ids: Ids,
    /// The number of the next ask. An account's asks are sent one at a time, so that they arrive with rising numbers or
    /// not at all.
    pub asks: AtomicU64,
    /// Which boot this is, where the machine tells.
    pub boot: Option<BootId>,
    pub keeping: Keeping,
    /// Who it is, and for whom it acts.
    pub acting: Acting,
    /// What is known of the ledger's past.
    pub past: Mutex<Past>,
    /// Accounts whose slices a restored ledger is still to be told.
    pub recounting: Mutex<BTreeSet<AccountId>>,
    /// The first record that the next start needs besides those of accounts: playbooks and the last attachment.
    pub facts_from: Mutex<u64>,
    /// Rung when a playbook was published.
    pub published: Notify,
    /// What the ledger asked of accounts, until it is told.
    pub recalls: Recalls,
    pub pulse: Pulse,
}

/// How often what goes on in the background has come round: what a test's clock settles by.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Looks at whether there is anything to report.
    pub looks: AtomicU64,
    /// Reports that the ledger took.
    pub reports: AtomicU64,
    /// Changes heard over the present watch.
    pub heard: AtomicU64,
}

/// How long records are kept after the ledger has them.
#[derive(Clone, Copy, Debug)]
pub struct Keeping {
    pub retain: Duration,
    pub bytes_max: u64,
}

/// Whether the ledger is in reach, and as whom.
#[derive(Debug)]
pub struct Link {
    now: watch::Sender<Standing>,
    online: AtomicBool,
    suspect: Notify,
}

/// What is known of the way to the ledger.
#[derive(Clone, Copy, Debug)]
pub enum Standing {
    /// Not yet, or just lost: whoever has patience waits for what comes of it.
    Trying,
    Up(Sender),
    /// The last try failed.
    Down,
}

impl Default for Link {
    fn default() -> Self {
        let now = watch::channel(Standing::Trying).0;
        Self { now, online: AtomicBool::new(false), suspect: Notify::new() }
    }
}

impl Link {
    pub fn is_online(&self) -> bool {
        self.online.load(Ordering::Relaxed)
    }

    /// Who this sidecar is to the ledger; `None` while that is out of reach.
    pub fn sender(&self) -> Option<Sender> {
        match *self.now.borrow() {
            Standing::Up(who) => Some(who),
            Standing::Trying | Standing::Down => None,
        }
    }

    pub fn set(&self, standing: Standing) {
        self.online.store(matches!(standing, Standing::Up(_)), Ordering::Relaxed);
        self.now.send_replace(standing);
    }

    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.now.subscribe()
    }

    /// Waits until the ledger is in reach.
    pub async fn up(&self) -> Option<Sender> {
        let mut now = self.now.subscribe();
        let up = now.wait_for(|standing| matches!(standing, Standing::Up(_))).await.ok()?;
        match *up {
            Standing::Up(who) => Some(who),
            Standing::Trying | Standing::Down => None,
        }
    }

    /// Waits until it is known whether the ledger is in reach.
    pub async fn settled(&self) {
        let mut now = self.now.subscribe();
        // The sender lives as long as the link.
        let _gone = now.wait_for(|standing| !matches!(standing, Standing::Trying)).await;
    }

    /// A question had no answer: whether the ledger is still there is looked at anew.
    pub fn suspect(&self) {
        self.suspect.notify_one();
    }

    pub async fn suspected(&self) {
        self.suspect.notified().await;
    }
}

impl<U: Upstream> Core<U> {
    /// Learns the ledger's clock from an answer.
    pub fn learn(&self, asked: Boottime, ledger: Timestamp) {
        let clock = &self.shards.clock;
        clock.learn(asked, clock.clock().boottime(), ledger);
    }

    /// Takes a playbook in. Bad remote data changes nothing, and is said loudly.
    pub fn publish(&self, source: &str) {
        let playbook = match playbook::load(source) {
            Ok(playbook) => playbook,
            Err(_) => {
                tracing::error!(
                    "the ledger sent a playbook that this build can't read; the last good one stays"
                );
                return;
            }
        };
        let version = playbook.version;
        if self.shards.playbooks.load().version(version).is_some() {
            return;
        }
        // Journaled before the first record that names it.
        let entry = Entry::Playbook(source);
        if let Err(why) = self.note(entry) {
            tracing::error!(%why, version, "a playbook could not be journaled");
            self.shards.parted.notify_one();
            return;
        }
        let mut playbooks = Playbooks::clone(&self.shards.playbooks.load());
        playbooks.publish(playbook);
        self.shards.playbooks.store(Arc::new(playbooks));
        self.published.notify_waiters();
        tracing::info!(version, "a playbook came");
    }

    /// Journals what a start needs besides wallets.
    pub fn note(&self, entry: Entry<'_>) -> Result<(), JournalError> {
        let mut facts_from = self.facts_from.lock();
        let number = self.shards.journal.append(&entry.bytes(), Urgency::Soon)?;
        *facts_from = number.min(*facts_from);
        Ok(())
    }

    /// Remembers, durably, that the ledger settles a run: before its answer goes out, or the same request might be held
    /// here anew after a crash.
    pub async fn settled_elsewhere(
        &self,
        account: &AccountId,
        id: ReservationId,
        until: Timestamp,
    ) -> Result<(), JournalError> {
        let noted = self.shards.visit(account, |desk| {
            if desk.slot.is_elsewhere(id) || until <= desk.here.at {
                return Ok(0);
            }
            let elsewhere = Elsewhere { account: account.clone(), id, until };
            let number = self.shards.journal.append(&Entry::Elsewhere(&elsewhere).bytes(), Urgency::Now)?;
            desk.slot.settles_elsewhere(id, until, desk.here.at);
            desk.slot.needed_from = desk.slot.needed_from.or(Some(number));
            desk.slot.last = number;
            Ok(number)
        });
        match noted {
            Some(Ok(number)) => self.durable(number?).await,
            // The account is broken or gone: nothing of it is held here anew.
            Some(Err(_)) | None => Ok(()),
        }
    }

    /// Waits until a version of the playbook is known here.
    pub async fn known(&self, version: u32) {
        loop {
            let published = self.published.notified();
            if self.shards.playbooks.load().version(version).is_some() {
                return;
            }
            published.await;
        }
    }

    /// Waits until a record is durable; 0 = none.
    pub async fn durable(&self, number: u64) -> Result<(), JournalError> {
        if number <= self.shards.journal.durable() {
            return Ok(());
        }
        self.shards.journal.wait(number).await
    }
}
