//! The ledger as one value: accounts under their locks, and what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;
use tokio::sync::mpsc;

use super::learning::{Learning, Life};
use super::news::Telling;
use super::record::Identity;
use super::shelf::Shelf;
use super::sidecars::Sidecars;
use super::slot::Slot;
use super::store::{Foundation, LedgerStore, StoreError, Ticket};
use super::time::LedgerTime;
use super::timers::Timers;
use super::watchers::Watchers;
use super::writes::store_error;
use crate::engine::account::Account;
use crate::grpc::ledger_api::LedgerError;
use crate::lease::terms::HandleKey;
use crate::runtime::{Clock, Shutdown};
use crate::types::{AccountId, Timestamp};

/// Accounts whose time has come that are looked at in one go, before others get their turn.
const DUE_AT_ONCE: usize = 256;

/// The timers are looked at this often in any case: the wall clock may have been set, or the machine suspended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An account whose turn could not be taken is tried again after so long.
const TRY_AGAIN_MICROS: i64 = 1_000_000;

/// The key that handles of this build are made with.
const KEY_ID: u32 = 1;

/// A ledger over its store: cheap to clone.
#[derive(Debug)]
pub struct Ledger<S>(Arc<Inner<S>>);

/// What every handle shares.
#[derive(Debug)]
pub struct Inner<S> {
    pub(super) store: S,
    pub(super) clock: LedgerTime,
    /// The accounts' keys are derived from it.
    pub(super) secret: [u8; 32],
    pub(super) learning: Learning,
    pub(super) accounts: RwLock<BTreeMap<AccountId, Arc<Slot>>>,
    /// Accounts are opened one after the other.
    pub(super) opening: tokio::sync::Mutex<()>,
    shelf: RwLock<Arc<Shelf>>,
    /// Versions are published one after the other.
    pub(super) publishing: tokio::sync::Mutex<()>,
    pub(super) sidecars: Sidecars,
    pub(super) watchers: Watchers,
    pub(super) timers: Timers,
    /// Commands in all lanes.
    pub(super) waiting: AtomicUsize,
    /// News on their way to other processes.
    pub(super) telling: mpsc::UnboundedSender<Telling>,
    /// How many there were.
    pub(super) tellings: AtomicU64,
}

/// What `keep_up` goes on from.
#[derive(Debug)]
pub struct Background {
    told: mpsc::UnboundedReceiver<Telling>,
    from: u64,
}

impl<S> Clone for Ledger<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S> std::ops::Deref for Ledger<S> {
    type Target = Inner<S>;

    fn deref(&self) -> &Inner<S> {
        &self.0
    }
}

impl<S: LedgerStore> Ledger<S> {
    /// Reads what the store has to be read at the start: each account there is replayed and checked.
    ///
    /// Errors: the store cannot be read, or holds a playbook that this build refuses. A broken account is no error.
    pub async fn open(store: S, clock: Clock) -> anyhow::Result<(Self, Background)> {
        let mut foundation = store.foundation().await.context("the ledger's store can't be read")?;
        let identity = match foundation.identity {
            Some(identity) => identity,
            None => store.found(drawn()?).await?,
        };
        let shelf = Shelf::found(&foundation.playbooks).map_err(anyhow::Error::msg)?;
        let sidecars = Sidecars::default();
        let (timers, mut accounts) = (Timers::default(), BTreeMap::new());
        let mut latest = latest(&foundation);
        for (id, entries) in store.resident().await? {
            let slot = Slot::replayed(id.clone(), &entries, &shelf.playbooks);
            slot.with(|state| {
                latest = latest.max(state.account.clock);
                timers.set(&id, None, state.timer);
                for (sidecar, seen) in &state.account.sidecars {
                    sidecars.reported(*sidecar, seen.number);
                }
            });
            accounts.insert(id, Arc::new(slot));
        }
        for unapplied in &foundation.unapplied {
            sidecars.reported(unapplied.sidecar, unapplied.number);
        }
        for known in std::mem::take(&mut foundation.sidecars) {
            sidecars.found(known);
        }
        // Journals of earlier builds do not say how far reports are whole: there, the last record taken says it.
        for known in sidecars.unsaid(latest) {
            store.stand(known).await?;
        }
        let asked = clock.boottime();
        let heard = store.news(None).await.context("the ledger's store can't be read")?;
        let clock = if S::SHARED && !clock.is_manual() {
            LedgerTime::shared(clock, asked, heard.at)
        } else {
            LedgerTime::own(clock, latest)
        };
        let numbers = u64::try_from(clock.now().micros()).unwrap_or_default();
        let (telling, told) = mpsc::unbounded_channel();
        let ledger = Self(Arc::new(Inner {
            store,
            clock,
            secret: identity.secret,
            learning: Learning::new(Life::of(identity)),
            accounts: RwLock::new(accounts),
            opening: tokio::sync::Mutex::new(()),
            shelf: RwLock::new(Arc::new(shelf)),
            publishing: tokio::sync::Mutex::new(()),
            sidecars,
            watchers: Watchers::new(numbers),
            timers,
            waiting: AtomicUsize::new(0),
            telling,
            tellings: AtomicU64::new(0),
        }));
        Ok((ledger, Background { told, from: heard.last }))
    }

    /// Lets time do its work on the accounts until the signal to stop, and hears news of other processes until it is dropped.
    pub async fn keep_up(self, background: Background, shutdown: Shutdown) {
        let news = self.clone().keep_news(background.told, background.from);
        tokio::join!(news, self.keep_time(shutdown));
    }

    async fn keep_time(self, shutdown: Shutdown) {
        if self.clock.clock().is_manual() {
            return shutdown.requested().await;
        }
        let mut looked = self.clock.clock().boottime();
        while !shutdown.is_requested() {
            let mut due = self.timers.take(self.clock.now(), DUE_AT_ONCE);
            let now = self.clock.clock().boottime();
            if S::SHARED && due.is_empty() && now.since(looked) >= LOOK_EVERY {
                looked = now;
                // Accounts that no process has in memory, or whose process is gone.
                due = self.store.due(self.clock.now(), DUE_AT_ONCE).await.unwrap_or_default();
            }
            let mut passing = tokio::task::JoinSet::new();
            for account in due {
                let ledger = self.clone();
                passing.spawn(async move { ledger.pass_time(&account).await });
            }
            if !passing.is_empty() {
                passing.join_all().await;
                continue;
            }
            let until = self.timers.first().map_or(LOOK_EVERY, |first| {
                let micros = u64::try_from(first.micros_since(self.clock.now())).unwrap_or_default();
                Duration::from_micros(micros).min(LOOK_EVERY)
            });
            tokio::select! {
                () = tokio::time::sleep(until) => {}
                () = self.timers.earlier.notified() => {}
                () = shutdown.requested() => {}
            }
        }
    }

    pub(super) async fn pass_time(&self, account: &AccountId) {
        let slot = self.slot_of(account);
        let error = match self.work(&slot, |work| !work.account.sent.is_empty()).await {
            // A process stopped between two accounts: what it left half-way goes on.
            Ok(passed) if passed.answer => match self.handed_over(&slot).await {
                Err(error) => error,
                Ok(()) => return,
            },
            Ok(_) => return,
            Err(error) => error,
        };
        // It was said when the account broke, or the store failed; both end only with a restart.
        tracing::debug!(%account, %error, "time stands still for an account");
        if matches!(error, LedgerError::Overloaded | LedgerError::StoreAway(_)) {
            let again = self.clock.now().plus_micros(TRY_AGAIN_MICROS);
            slot.with(|state| {
                let before = state.timer.replace(again);
                self.timers.set(account, before, Some(again));
            });
        }
    }

    pub(super) async fn durable(&self, ticket: Ticket) -> Result<(), LedgerError> {
        self.store.durable(ticket).await.map_err(store_error)
    }

    /// An account, if there is one.
    pub(super) async fn slot(&self, account: &AccountId) -> Result<Option<Arc<Slot>>, LedgerError> {
        if let Some(slot) = self.resident(account) {
            return Ok(Some(slot));
        }
        let knows = self.store.knows(account).await.map_err(store_error)?;
        Ok(knows.then(|| self.slot_of(account)))
    }

    /// An account that is in memory.
    pub(super) fn resident(&self, account: &AccountId) -> Option<Arc<Slot>> {
        self.accounts.read().get(account).cloned()
    }

    /// The place of an account that exists; its first turn reads it.
    pub(super) fn slot_of(&self, account: &AccountId) -> Arc<Slot> {
        if let Some(slot) = self.resident(account) {
            return slot;
        }
        let mut accounts = self.accounts.write();
        let new = || Arc::new(Slot::new(Account::new(account.clone())));
        Arc::clone(accounts.entry(account.clone()).or_insert_with(new))
    }

    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read())
    }

    /// Answers the newest version of the shelf before. An older shelf replaces no newer one.
    pub(super) fn put_shelf(&self, shelf: Shelf) -> u32 {
        let mut held = self.shelf.write();
        let before = held.newest();
        if shelf.newest() > before {
            *held = Arc::new(shelf);
            drop(held);
            self.retime(before);
        }
        before
    }

    /// Accounts look when a version that is new here takes effect: some of them move to it then.
    fn retime(&self, known: u32) {
        let shelf = self.shelf();
        let new = shelf.playbooks.all().filter(|playbook| playbook.version > known);
        let Some(from) = new.filter_map(|new| shelf.playbooks.in_force_from(new.version)).min() else {
            return;
        };
        for slot in self.accounts.read().values() {
            slot.with(|state| {
                let before = state.timer;
                let after = Some(before.map_or(from, |before| before.min(from)));
                state.timer = after;
                self.timers.set(&slot.id, before, after);
            });
        }
    }

    /// The account's own key for handles and reservation ids; it never changes.
    pub(super) fn key(&self, account: &AccountId) -> HandleKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(b"handles of an account\0").update(account.as_str().as_bytes());
        HandleKey { id: KEY_ID, secret: *hasher.finalize().as_bytes() }
    }

    /// Resolves when the store takes nothing more: the process must end.
    pub async fn failed(&self) -> StoreError {
        self.store.failed().await
    }

    /// Writes what is queued and frees the store. Every call is refused from now on.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }

    /// How many accounts there are.
    pub fn len(&self) -> usize {
        self.accounts.read().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The identity of a new ledger.
fn drawn() -> anyhow::Result<Identity> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("the machine has no randomness to draw the ledger's secret from")?;
    Ok(Identity { secret, generation: 1, learning_until: None })
}

fn latest(foundation: &Foundation) -> Timestamp {
    let published = foundation.playbooks.iter().map(|playbook| playbook.at);
    let attached = foundation.sidecars.iter().map(|known| known.at);
    let unapplied = foundation.unapplied.iter().map(|unapplied| unapplied.at);
    published.chain(attached).chain(unapplied).max().unwrap_or_default()
}
