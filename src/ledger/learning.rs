//! A ledger that was restored from a backup. A sidecar that saw more acknowledged than the ledger has, or holds grants that it
//! never gave, shows it: the ledger draws a new generation, and leases nothing new until every lease that could be out has
//! ended. Sidecars meanwhile send again what they retained, and count their slices.

use parking_lot::Mutex;

use super::news::News;
use super::record::Identity;
use super::service::Ledger;
use super::store::LedgerStore;
use super::writes::store_error;
use crate::grpc::ledger_api::{Hello, LedgerError, Sender};
use crate::types::Timestamp;

/// Which life of the store this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    pub generation: u32,
    pub learning_until: Option<Timestamp>,
}

#[derive(Debug)]
pub struct Learning {
    life: Mutex<Life>,
    /// New generations are drawn one after the other.
    drawing: tokio::sync::Mutex<()>,
}

impl Life {
    pub fn of(identity: Identity) -> Self {
        Self { generation: identity.generation, learning_until: identity.learning_until }
    }
}

impl Learning {
    pub fn new(life: Life) -> Self {
        Self { life: Mutex::new(life), drawing: tokio::sync::Mutex::default() }
    }
}

impl<S: LedgerStore> Ledger<S> {
    pub(super) fn life(&self) -> Life {
        *self.learning.life.lock()
    }

    /// Another process, or this one, has drawn a generation. Sidecars attach again and hear of it.
    pub(super) fn take_life(&self, new: Life) {
        let mut life = self.learning.life.lock();
        if new.generation > life.generation {
            *life = new;
            drop(life);
            self.watchers.end_all();
        }
    }

    /// Errors: `Learning`: nothing new is leased yet.
    pub(super) fn has_learned(&self) -> Result<(), LedgerError> {
        match self.life().learning_until {
            Some(until) if self.clock.now() < until => Err(LedgerError::Learning { until }),
            _ => Ok(()),
        }
    }

    /// Whether a sidecar shows that this ledger was restored. One that is not done with the present generation yet shows
    /// nothing new: its past is what that generation learns.
    pub(super) fn is_behind(&self, hello: &Hello, taken: u64) -> bool {
        let generation = self.life().generation;
        hello.generation > generation || (hello.generation == generation && hello.acknowledged > taken)
    }

    /// Draws a generation after `judged`, under which it was seen that one is needed, and after `seen` by a sidecar.
    pub(super) async fn renew(&self, judged: u32, seen: u32) -> Result<(), LedgerError> {
        let _turn = self.learning.drawing.lock().await;
        if self.life().generation > judged.max(seen) {
            return Ok(());
        }
        let from = self.life().generation;
        let generation = from.max(seen).saturating_add(1);
        let learning_until = Some(self.clock.now().plus_micros(self.longest_lease()));
        let identity = Identity { secret: self.secret, generation, learning_until };
        let stands = Life::of(self.store.renew(from, identity).await.map_err(store_error)?);
        tracing::error!(
            generation = stands.generation,
            learning_until = ?stands.learning_until,
            "the ledger was restored from a backup: it leases nothing new until every lease has ended, while sidecars send \
             again what they retained"
        );
        self.take_life(stands);
        if S::SHARED {
            let Life { generation, learning_until } = stands;
            self.tell(News::Renewed { generation, learning_until });
        }
        Ok(())
    }

    /// A sidecar calls about grants that were never given here: it must attach anew.
    pub(super) async fn renewed_by(&self, who: Sender) -> LedgerError {
        match self.renew(who.epoch.generation, who.epoch.generation).await {
            Ok(()) => LedgerError::NotAttached,
            Err(error) => error,
        }
    }

    /// The store is older than what this process knows: its memory of sidecars is worth nothing.
    pub(super) fn was_set_back(&self) {
        self.sidecars.forget();
        let ledger = self.clone();
        tokio::spawn(async move {
            let known = ledger.life().generation;
            if let Err(error) = ledger.renew(known, known).await {
                tracing::error!(%error, "a new generation could not be drawn; sidecars that attach show that it is needed");
            }
            ledger.watchers.end_all();
        });
    }

    /// How long a lease that was given just before may last, with the ledger's margin, in microseconds.
    fn longest_lease(&self) -> i64 {
        let shelf = self.shelf();
        let plans = shelf.playbooks.all().flat_map(|playbook| playbook.plans.values());
        let longest = plans.map(|plan| plan.offline.lease.approximate_micros()).max().unwrap_or_default();
        longest + longest / 2
    }
}
