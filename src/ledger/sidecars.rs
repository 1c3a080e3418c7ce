//! The sidecars that ever attached: whose epoch is the current one, and how far each has reported.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::record::{Known, LedgerRecord};
use super::store::{LedgerStore, Ticket};
use super::writes::store_error;
use crate::grpc::ledger_api::{LedgerError, Sender};
use crate::types::{Epoch, SidecarId, Timestamp};

#[derive(Debug, Default)]
pub struct Sidecars(Mutex<HashMap<SidecarId, Arc<Sidecar>>>);

#[derive(Debug, Default)]
pub struct Sidecar {
    standing: Mutex<Standing>,
    /// Reports are applied one after the other.
    pub reporting: tokio::sync::Mutex<()>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// The current start.
    pub epoch: Epoch,
    /// The highest record that was taken.
    pub taken: u64,
    /// The append that makes all of that durable.
    pub ticket: Ticket,
}

impl Sidecars {
    /// What the journal says.
    pub fn found(&self, known: Known) {
        self.entry(known.sidecar).with(|standing| standing.epoch = standing.epoch.max(known.epoch));
    }

    /// What an account's entries say of how far a sidecar has reported.
    pub fn reported(&self, sidecar: SidecarId, number: u64) {
        self.entry(sidecar).with(|standing| standing.taken = standing.taken.max(number));
    }

    /// A process of the sidecar has started, or lost its connection: its epoch is the current one once this is durable.
    ///
    /// Errors: `Fenced`: a later start has attached, or the journal was copied or set back.
    pub fn attach<S: LedgerStore>(
        &self,
        sidecar: SidecarId,
        epoch: Epoch,
        at: Timestamp,
        store: &S,
    ) -> Result<Standing, LedgerError> {
        self.entry(sidecar).with(|standing| {
            if epoch < standing.epoch {
                return Err(LedgerError::Fenced);
            }
            if epoch > standing.epoch {
                let record = LedgerRecord::Attached(Known { sidecar, epoch, at });
                standing.ticket = store.append(&record).map_err(store_error)?;
                standing.epoch = epoch;
            }
            Ok(*standing)
        })
    }

    /// The sidecar of a call.
    ///
    /// Errors: `Fenced`, `NotAttached`.
    pub fn current(&self, who: Sender) -> Result<Arc<Sidecar>, LedgerError> {
        let sidecar = self.0.lock().get(&who.sidecar).cloned().ok_or(LedgerError::NotAttached)?;
        let epoch = sidecar.with(|standing| standing.epoch);
        if who.epoch < epoch {
            return Err(LedgerError::Fenced);
        }
        if who.epoch > epoch { Err(LedgerError::NotAttached) } else { Ok(sidecar) }
    }

    fn entry(&self, sidecar: SidecarId) -> Arc<Sidecar> {
        Arc::clone(self.0.lock().entry(sidecar).or_default())
    }
}

impl Sidecar {
    pub fn with<T>(&self, act: impl FnOnce(&mut Standing) -> T) -> T {
        act(&mut self.standing.lock())
    }
}
