//! What sidecars ask: leases, decisions, and the recalls that come before the ledger says no.

use std::sync::Arc;
use std::time::Duration;

use super::news::News;
use super::service::Ledger;
use super::slot::{Slot, State};
use super::store::LedgerStore;
use crate::engine::account::{Leasing, RunAsk, RunReply, Work};
use crate::engine::handle::Handle;
use crate::engine::{Authorize, Fault};
use crate::grpc::ledger_api::{Leased, LedgerError, Sender};
use crate::lease::Ask;
use crate::types::{AccountId, ReservationId, SidecarId};

/// A recall waits for its answers at most so long, whatever the plan says.
const RECALL_WITHIN: Duration = Duration::from_secs(1);

/// Of what the asker waits, the part that a recall may take: the answer must still reach it.
const RECALL_PART: (u32, u32) = (3, 4);

/// A sidecar that did not answer a recall is not asked again for so long, in microseconds, unless it reports: else every
/// refusal would wait for it.
const SILENT_MICROS: i64 = 5_000_000;

impl<S: LedgerStore> Ledger<S> {
    pub(super) async fn leased(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Leased, LedgerError> {
        self.sidecars.current(who, &self.store).await?;
        let Some(slot) = self.slot(account).await? else { return Ok(Leased::Unknown) };
        // Remembered before it is told, so that no change of terms falls in between.
        slot.with(|state| state.tells(who.sidecar, self.clock.now()));
        // What a recall brings goes to the ask that waits for it, in order of arrival; mere renewals need not queue.
        let needs = ask.credits.is_positive() || !ask.caps.is_empty();
        let patience = self.patience(&slot).min(wait * RECALL_PART.0 / RECALL_PART.1);
        let turn = if needs { tokio::time::timeout(patience, slot.turn.lock()).await.ok() } else { None };
        // Whoever waited in vain for its turn takes what there is.
        let mut recalled = needs && turn.is_none();
        let ask = Arc::new(ask.clone());
        let (leasing, ticket) = loop {
            let asks = Arc::clone(&ask);
            let worked =
                self.work(&slot, move |work| work.lease(who.sidecar, who.epoch, &asks, recalled)).await?;
            match worked.answer {
                Leasing::Recall(holders) if !recalled => {
                    recalled = true;
                    self.recall(&slot, &holders, patience).await;
                }
                other => break (other, worked.ticket),
            }
        };
        drop(turn);
        self.durable(ticket).await?;
        match leasing {
            Leasing::Granted(grant) => Ok(Leased::Granted(grant)),
            Leasing::Unknown => Ok(Leased::Unknown),
            Leasing::Fenced => Err(LedgerError::Fenced),
            // Nobody waits for this answer any more, or nothing more is recalled for it.
            Leasing::Overtaken | Leasing::Recall(_) => Err(LedgerError::Overloaded),
        }
    }

    pub(super) async fn decided(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        wait: Duration,
    ) -> Result<RunReply, LedgerError> {
        self.sidecars.current(who, &self.store).await?;
        let slot = self.slot(account).await?.ok_or(Fault::AccountUnknown)?;
        let patience = self.patience(&slot).min(wait * RECALL_PART.0 / RECALL_PART.1);
        let turn = match ask {
            RunAsk::Authorize(_) | RunAsk::Record(_) => {
                tokio::time::timeout(patience, slot.turn.lock()).await.ok()
            }
            _ => None,
        };
        if let Some((run, holders)) = self.wanted(&slot, ask, who.sidecar) {
            self.fetch(&slot, run, &holders, patience).await;
        }
        let ask = Arc::new(ask.clone());
        let mut recalled = false;
        let (answer, ticket) = loop {
            let asks = Arc::clone(&ask);
            let deciding = move |work: &mut Work<'_>| {
                let recalls = !recalled && work.lacks(&asks, who.sidecar);
                (!recalls).then(|| work.decide(&asks, who.sidecar))
            };
            let worked = self.work(&slot, deciding).await?;
            if let Some(answer) = worked.answer {
                break (answer, worked.ticket);
            }
            recalled = true;
            let holders = slot.with(|state| state.holders(self.clock.now()));
            self.recall(&slot, &holders, patience).await;
        };
        drop(turn);
        // A fault, too, may tell of what is not durable yet.
        self.durable(ticket).await?;
        Ok(answer?)
    }

    /// How long a recall of this account may take.
    pub(super) fn patience(&self, slot: &Slot) -> Duration {
        let micros = slot
            .with(|state| state.account.contract.as_ref().map(|c| c.plan.offline.wait.approximate_micros()))
            .and_then(|micros| u64::try_from(micros).ok());
        micros.map_or(RECALL_WITHIN, Duration::from_micros).min(RECALL_WITHIN)
    }

    /// Asks sidecars for what they hold idle, and waits until each has answered or `patience` is over. Whether anybody
    /// was asked.
    pub(super) async fn recall(&self, slot: &Slot, holders: &[SidecarId], patience: Duration) -> bool {
        let asked = self.listening(slot, holders);
        if asked.is_empty() {
            return false;
        }
        let news = News::Recall { account: slot.id.clone(), sidecars: asked.clone() };
        // Whoever holds nothing any more has answered.
        self.answered(slot, news, &asked, patience, |state, sidecar| state.holds(sidecar)).await
    }

    /// Asks the sidecars that may hold a run open to hand it over, where it is not the account's already: the account
    /// settles it then. Where none does, it is settled by what is known of it.
    pub(super) async fn fetch(
        &self,
        slot: &Slot,
        run: ReservationId,
        holders: &[SidecarId],
        patience: Duration,
    ) {
        let known = |state: &mut State| {
            state.account.book.runs.contains_key(&run) || state.account.book.finals.contains_key(&run)
        };
        if slot.with(known) {
            return;
        }
        let asked = self.listening(slot, holders);
        if !asked.is_empty() {
            let news = News::HandOver { account: slot.id.clone(), sidecars: asked.clone(), run };
            self.answered(slot, news, &asked, patience, |_, _| true).await;
        }
    }

    /// Those of the sidecars that are worth asking.
    fn listening(&self, slot: &Slot, sidecars: &[SidecarId]) -> Vec<SidecarId> {
        let at = self.clock.now();
        let heard_lately = |sidecar: &SidecarId| {
            slot.with(|state| {
                state.silent.get(sidecar).is_none_or(|since| at.micros_since(*since) > SILENT_MICROS)
            })
        };
        // Whether it listens at another process is not known here.
        let listening =
            |sidecar: &SidecarId| heard_lately(sidecar) && (S::SHARED || self.watchers.is_watching(*sidecar));
        sidecars.iter().copied().filter(listening).collect()
    }

    /// Tells the news and waits until each of the asked has answered, unless it need not. Whether it was told.
    async fn answered(
        &self,
        slot: &Slot,
        news: News,
        asked: &[SidecarId],
        patience: Duration,
        must: fn(&State, SidecarId) -> bool,
    ) -> bool {
        let at = self.clock.now();
        let told = tokio::time::timeout(patience, self.tell_numbered(news)).await;
        let Ok(Some(number)) = told else { return false };
        let unanswered = || {
            slot.with(|state| {
                let last = |sidecar: &SidecarId| state.answered.get(sidecar).copied().unwrap_or_default();
                let waits = |sidecar: &SidecarId| last(sidecar) < number && must(state, *sidecar);
                asked.iter().copied().filter(waits).collect::<Vec<_>>()
            })
        };
        let answers = async {
            loop {
                let rung = slot.bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if unanswered().is_empty() {
                    return;
                }
                rung.await;
            }
        };
        if tokio::time::timeout(patience, answers).await.is_err() {
            for sidecar in unanswered() {
                tracing::debug!(account = %slot.id, %sidecar, "the ledger was not answered in time");
                slot.with(|state| state.silent.insert(sidecar, at));
            }
        }
        true
    }

    /// What a call names that another sidecar may hold open: the run, and those who may.
    fn wanted(
        &self,
        slot: &Slot,
        ask: &RunAsk,
        asking: SidecarId,
    ) -> Option<(ReservationId, Vec<SidecarId>)> {
        let of_handle = |handle: &Option<Box<Handle>>| {
            // A sidecar that does not know its own run has lost sight of it.
            let handle = handle.as_ref().filter(|handle| handle.settler != asking)?;
            Some((handle.id, vec![handle.settler]))
        };
        let of_parent = |call: &Authorize| {
            let leased = slot.with(|state| state.account.leases.keys().copied().collect::<Vec<_>>());
            Some((call.parent?, leased.into_iter().filter(|sidecar| *sidecar != asking).collect()))
        };
        match ask {
            RunAsk::Authorize(call) => of_parent(call),
            RunAsk::Record(call) => of_parent(&call.authorize),
            RunAsk::Progress(_, handle)
            | RunAsk::Commit(_, handle)
            | RunAsk::Release(_, handle)
            | RunAsk::State(_, handle) => of_handle(handle),
            RunAsk::Balance(_) => None,
        }
    }
}
