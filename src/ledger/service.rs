//! The ledger as one value: accounts under their locks, and what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use parking_lot::RwLock;

use super::record::{Identity, LedgerRecord};
use super::shelf::Shelf;
use super::sidecars::Sidecars;
use super::slot::{Part, Slot, Worked};
use super::store::{Foundation, LedgerStore, StoreError, Ticket};
use super::timers::Timers;
use super::watchers::Watchers;
use super::writes::store_error;
use crate::engine::account::Work;
use crate::grpc::ledger_api::{Change, LedgerError};
use crate::lease::terms::HandleKey;
use crate::runtime::{Clock, OwnClock, Shutdown};
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
    pub(super) clock: OwnClock,
    pub(super) identity: Identity,
    pub(super) accounts: RwLock<BTreeMap<AccountId, Arc<Slot>>>,
    shelf: RwLock<Arc<Shelf>>,
    /// Versions are published one after the other.
    pub(super) publishing: tokio::sync::Mutex<()>,
    pub(super) sidecars: Sidecars,
    pub(super) watchers: Watchers,
    pub(super) timers: Timers,
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
    /// Reads everything that the store has: each account is replayed and checked.
    ///
    /// Errors: the store cannot be read, or holds a playbook that this build refuses. A broken account is no error.
    pub async fn open(store: S, clock: Clock) -> anyhow::Result<Self> {
        let foundation = store.foundation().await.context("the ledger's store can't be read")?;
        let identity = match foundation.identity {
            Some(identity) => identity,
            None => begin(&store).await?,
        };
        let shelf = Shelf::found(&foundation.playbooks).map_err(anyhow::Error::msg)?;
        let sidecars = Sidecars::default();
        let (timers, mut accounts) = (Timers::default(), BTreeMap::new());
        let mut latest = latest(&foundation);
        for id in store.accounts().await? {
            let entries = store.read(&id).await?;
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
        for known in foundation.sidecars {
            sidecars.found(known);
        }
        for unapplied in &foundation.unapplied {
            sidecars.reported(unapplied.sidecar, unapplied.number);
        }
        let clock = OwnClock::new(clock, latest);
        let recalls = u64::try_from(clock.now().micros()).unwrap_or_default();
        Ok(Self(Arc::new(Inner {
            store,
            clock,
            identity,
            accounts: RwLock::new(accounts),
            shelf: RwLock::new(Arc::new(shelf)),
            publishing: tokio::sync::Mutex::new(()),
            sidecars,
            watchers: Watchers::new(recalls),
            timers,
        })))
    }

    /// Lets time do its work on the accounts until the signal to stop.
    pub async fn keep_time(self, shutdown: Shutdown) {
        while !shutdown.is_requested() {
            let due = self.timers.take(self.clock.now(), DUE_AT_ONCE);
            for account in &due {
                self.pass_time(account);
            }
            if !due.is_empty() {
                tokio::task::yield_now().await;
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

    fn pass_time(&self, account: &AccountId) {
        let Some(slot) = self.slot(account) else { return };
        match self.work(&slot, |_| ()) {
            Ok(_) => {}
            Err(LedgerError::Overloaded) => {
                let again = self.clock.now().plus_micros(TRY_AGAIN_MICROS);
                slot.with(|state| {
                    let before = state.timer.replace(again);
                    self.timers.set(account, before, Some(again));
                });
            }
            // It was said when the account broke, or the store failed; both end only with a restart.
            Err(error) => tracing::debug!(%account, %error, "time stands still for an account"),
        }
    }

    /// Does one write to an account: entries stored in order, timers moved, sidecars told. Durable once the ticket is.
    pub(super) fn work<T>(
        &self,
        slot: &Slot,
        act: impl FnOnce(&mut Work<'_>) -> T,
    ) -> Result<Worked<T>, LedgerError> {
        self.work_part(slot, Part::Whole, act)
    }

    /// The same, for a write that may be a part of a batch.
    pub(super) fn work_part<T>(
        &self,
        slot: &Slot,
        part: Part,
        act: impl FnOnce(&mut Work<'_>) -> T,
    ) -> Result<Worked<T>, LedgerError> {
        let shelf = self.shelf();
        let worked = slot.work(&self.store, &shelf.playbooks, || self.clock.now(), part, act)?;
        let (before, after) = worked.timer;
        self.timers.set(&slot.id, before, after);
        if worked.refresh {
            self.tell_terms(slot);
        }
        Ok(worked)
    }

    /// Tells the account's terms to every sidecar that holds a lease of it or was told them before. Said under the lock,
    /// so that no sidecar hears older terms last.
    pub(super) fn tell_terms(&self, slot: &Slot) {
        slot.with(|state| {
            let Some(terms) = state.account.terms() else { return };
            let holders = state.account.leases.keys();
            let told: std::collections::BTreeSet<_> = state.told.keys().chain(holders).copied().collect();
            for sidecar in told {
                self.watchers.tell(sidecar, Change::Terms(slot.id.clone(), Box::new(terms.clone())));
            }
        });
    }

    pub(super) async fn durable(&self, ticket: Ticket) -> Result<(), LedgerError> {
        self.store.durable(ticket).await.map_err(store_error)
    }

    pub(super) fn slot(&self, account: &AccountId) -> Option<Arc<Slot>> {
        self.accounts.read().get(account).cloned()
    }

    pub(super) fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.shelf.read())
    }

    pub(super) fn put_shelf(&self, shelf: Shelf) {
        *self.shelf.write() = Arc::new(shelf);
    }

    /// The account's own key for handles and reservation ids; it never changes.
    pub(super) fn key(&self, account: &AccountId) -> HandleKey {
        let mut hasher = blake3::Hasher::new_keyed(&self.identity.secret);
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

/// A new ledger: its identity is drawn, and durable before anything rests on it.
async fn begin<S: LedgerStore>(store: &S) -> anyhow::Result<Identity> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("the machine has no randomness to draw the ledger's secret from")?;
    let identity = Identity { secret, generation: 1 };
    let ticket = store.append(&LedgerRecord::Identity(identity))?;
    store.durable(ticket).await?;
    Ok(identity)
}

fn latest(foundation: &Foundation) -> Timestamp {
    let published = foundation.playbooks.iter().map(|playbook| playbook.at);
    let attached = foundation.sidecars.iter().map(|known| known.at);
    let unapplied = foundation.unapplied.iter().map(|unapplied| unapplied.at);
    published.chain(attached).chain(unapplied).max().unwrap_or_default()
}
