//! The sidecars that ever attached: whose epoch is the current one, and how far each has reported.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::Known;
use super::store::{LedgerStore, Ticket};
use super::writes::store_error;
use crate::grpc::ledger_api::{LedgerError, Sender};
use crate::lease::Acting;
use crate::types::{AccountId, Epoch, SidecarId, Timestamp};

#[derive(Debug, Default)]
pub struct Sidecars(Mutex<HashMap<SidecarId, Arc<Sidecar>>>);

#[derive(Debug, Default)]
pub struct Sidecar {
    standing: Mutex<Standing>,
    acting: Mutex<Arc<Acting>>,
    /// Reports are applied one after the other.
    pub reporting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// The current start.
    pub epoch: Epoch,
    /// Everything through this record was taken.
    pub taken: u64,
    /// Whether the store says how far that is.
    said: bool,
    /// The write that makes all of that durable.
    pub ticket: Ticket,
}

impl Sidecars {
    /// What the store says.
    pub fn found(&self, known: Known) {
        self.entry(known.sidecar).learns(known);
    }

    /// What an account's entries say of how far a sidecar has reported. Nothing where the store says it by itself: reports
    /// are taken account by account, and the last record of one says nothing of the others.
    pub fn reported(&self, sidecar: SidecarId, number: u64) {
        self.entry(sidecar).with(|standing| standing.taken = standing.taken.max(number));
    }

    /// Nothing that was known holds any more.
    pub fn forget(&self) {
        self.0.lock().clear();
    }

    /// Sidecars of which the store does not say how far their reports are whole.
    pub fn unsaid(&self, at: Timestamp) -> Vec<Known> {
        let mut unsaid = Vec::new();
        for (sidecar, entry) in self.0.lock().iter() {
            entry.with(|standing| {
                if !std::mem::replace(&mut standing.said, true) {
                    let acknowledged = Some(standing.taken);
                    let (sidecar, epoch) = (*sidecar, standing.epoch);
                    unsaid.push(Known { sidecar, epoch, at, acknowledged, acting: None });
                }
            });
        }
        unsaid
    }

    /// A process of the sidecar has started, or lost its connection: its epoch is the current one from here on.
    ///
    /// Errors: `Fenced`: a later start has attached, or the journal was copied or set back. `NotItsJournal`.
    pub async fn attach<S: LedgerStore>(
        &self,
        sidecar: SidecarId,
        epoch: Epoch,
        acting: &Acting,
        at: Timestamp,
        store: &S,
    ) -> Result<Standing, LedgerError> {
        let entry = self.entry(sidecar);
        let before = entry.with(|standing| *standing);
        if epoch < before.epoch {
            return Err(LedgerError::Fenced);
        }
        if S::SHARED || epoch > before.epoch || *entry.acting() != *acting {
            entry.yields_to(acting, sidecar, store).await?;
            // A shared store knows best how far reports are whole; it may have been set back.
            let acknowledged = Some(if S::SHARED { 0 } else { before.taken });
            let known = Known { sidecar, epoch, at, acknowledged, acting: Some(acting.clone()) };
            let stands = store.stand(known).await.map_err(store_error)?.ok_or(LedgerError::Fenced)?;
            entry.learns(stands);
        }
        let standing = entry.with(|standing| *standing);
        // Another start may have come first while this one waited for the disk.
        if epoch < standing.epoch { Err(LedgerError::Fenced) } else { Ok(standing) }
    }

    /// The sidecar of a call.
    ///
    /// Errors: `Fenced`, `NotAttached`.
    pub async fn current<S: LedgerStore>(&self, who: Sender, store: &S) -> Result<Arc<Sidecar>, LedgerError> {
        let known = self.0.lock().get(&who.sidecar).cloned();
        let is_behind = |known: &Arc<Sidecar>| known.with(|standing| standing.epoch < who.epoch);
        let known = match known {
            Some(known) if !is_behind(&known) => known,
            // It may have attached at another process.
            _ => {
                let stands = store.standing(who.sidecar).await.map_err(store_error)?;
                self.found(stands.ok_or(LedgerError::NotAttached)?);
                self.entry(who.sidecar)
            }
        };
        let epoch = known.with(|standing| standing.epoch);
        if who.epoch < epoch {
            return Err(LedgerError::Fenced);
        }
        if who.epoch > epoch { Err(LedgerError::NotAttached) } else { Ok(known) }
    }

    fn entry(&self, sidecar: SidecarId) -> Arc<Sidecar> {
        Arc::clone(self.0.lock().entry(sidecar).or_default())
    }
}

impl Standing {
    fn learns(&mut self, known: &Known) {
        self.epoch = self.epoch.max(known.epoch);
        if let Some(acknowledged) = known.acknowledged {
            // The store's word replaces what was gathered from entries.
            self.taken = if self.said { self.taken.max(acknowledged) } else { acknowledged };
            self.said = true;
        }
    }
}

impl Sidecar {
    /// Takes the store's word. What an earlier start said of itself holds no more.
    fn learns(&self, known: Known) {
        let current = self.with(|standing| {
            let current = known.epoch >= standing.epoch;
            standing.learns(&known);
            current
        });
        if let (true, Some(acting)) = (current, known.acting) {
            *self.acting.lock() = Arc::new(acting);
        }
    }

    /// Errors: `NotItsJournal`.
    async fn yields_to<S: LedgerStore>(
        &self,
        acting: &Acting,
        sidecar: SidecarId,
        store: &S,
    ) -> Result<(), LedgerError> {
        if acting.certificate.is_none() {
            return Ok(());
        }
        // It may have attached at another process.
        if S::SHARED
            && let Some(known) = store.standing(sidecar).await.map_err(store_error)?
        {
            self.learns(known);
        }
        let before = self.acting();
        if acting.may_follow(&before) {
            return Ok(());
        }
        Err(LedgerError::NotItsJournal(before.certificate.clone().unwrap_or_default()))
    }

    pub fn acting(&self) -> Arc<Acting> {
        Arc::clone(&self.acting.lock())
    }

    /// Errors: `AccountNotAllowed`.
    pub fn may(&self, account: &AccountId) -> Result<(), LedgerError> {
        let may = self.acting().accounts.have(account);
        if may { Ok(()) } else { Err(LedgerError::AccountNotAllowed(account.clone())) }
    }

    pub fn with<T>(&self, act: impl FnOnce(&mut Standing) -> T) -> T {
        act(&mut self.standing.lock())
    }
}
