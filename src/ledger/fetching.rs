//! Runs that a live sidecar settles and another was called about: their settler hands them to the account itself, which then
//! decides the call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::news::News;
use super::service::Ledger;
use super::slot::Slot;
use super::store::LedgerStore;
use crate::engine::account::{RunAsk, RunReply};
use crate::engine::answer::ProgressAnswer;
use crate::engine::handle::Handle;
use crate::grpc::ledger_api::{LedgerError, NamedRun, Sender};
use crate::types::{ReservationId, SidecarId};

impl<S: LedgerStore> Ledger<S> {
    /// Asks the settlers of runs that the account does not have for them, and waits until each has answered or `patience` is
    /// over. Without an answer the call is decided on what is known here.
    pub(super) async fn fetch(
        &self,
        slot: &Arc<Slot>,
        asking: SidecarId,
        mut named: Vec<NamedRun>,
        patience: Duration,
    ) -> Result<(), LedgerError> {
        named.retain(|run| run.settler != asking && self.may_answer(slot, run.settler));
        if named.is_empty() {
            return Ok(());
        }
        // In a turn: another process may have heard of them.
        let unknown = self.work(slot, move |work| {
            let book = &work.account.book;
            let known =
                |run: &&NamedRun| !book.runs.contains_key(&run.id) && !book.finals.contains_key(&run.id);
            named.iter().filter(known).copied().collect::<Vec<_>>()
        });
        let mut wanted: BTreeMap<SidecarId, Vec<ReservationId>> = BTreeMap::new();
        for NamedRun { id, settler } in unknown.await?.answer {
            wanted.entry(settler).or_default().push(id);
        }
        let settlers: Vec<SidecarId> = wanted.keys().copied().collect();
        let asked = async {
            for (sidecar, runs) in wanted {
                let news = News::Promote { account: slot.id.clone(), sidecar, runs };
                let Some(number) = self.tell_numbered(news).await else { return };
                self.answered(slot, sidecar, number).await;
            }
        };
        if tokio::time::timeout(patience, asked).await.is_err() {
            let at = self.clock.now();
            for sidecar in settlers {
                tracing::debug!(account = %slot.id, %sidecar, "the settler of a run did not answer in time");
                slot.with(|state| state.silent.insert(sidecar, at));
            }
        }
        Ok(())
    }

    /// Waits until a sidecar has answered what it was asked under this number.
    async fn answered(&self, slot: &Slot, sidecar: SidecarId, number: u64) {
        loop {
            let rung = slot.bell.notified();
            tokio::pin!(rung);
            rung.as_mut().enable();
            if slot.with(|state| state.answered.get(&sidecar).is_some_and(|last| *last >= number)) {
                return;
            }
            rung.await;
        }
    }

    /// What a run is told whose settler is out of reach: nobody here knows what it holds, and it must end within that. Only
    /// where its handle says that another settles it, and that its time is not over.
    pub(super) fn within_hold(&self, who: Sender, ask: &RunAsk) -> Option<RunReply> {
        let RunAsk::Progress(_, Some(handle)) = ask else { return None };
        let open = handle.settler != who.sidecar && handle.expires_at > self.clock.now();
        open.then(|| RunReply::Progress(Box::new(ProgressAnswer::within_hold(handle.expires_at))))
    }
}

/// Every run that a call names: its own, by its handle, and others.
pub(super) fn named_in(ask: &RunAsk, others: &[NamedRun]) -> Vec<NamedRun> {
    let own = match ask {
        RunAsk::Progress(_, handle)
        | RunAsk::Commit(_, handle)
        | RunAsk::Release(_, handle)
        | RunAsk::State(_, handle) => handle.as_deref(),
        RunAsk::Authorize(_) | RunAsk::Record(_) | RunAsk::Balance(..) => None,
    };
    own.map(of_handle).into_iter().chain(others.iter().copied()).collect()
}

pub(super) fn of_handle(handle: &Handle) -> NamedRun {
    NamedRun { id: handle.id, settler: handle.settler }
}
