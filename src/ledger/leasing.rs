//! What sidecars ask: leases, decisions, and the recalls that come before the ledger says no.

use std::sync::Arc;
use std::time::Duration;

use super::fetching::named_in;
use super::news::News;
use super::service::Ledger;
use super::slot::Slot;
use super::store::LedgerStore;
use crate::engine::Fault;
use crate::engine::account::{Leasing, RunAsk, RunReply, Work};
use crate::grpc::ledger_api::{Leased, LedgerError, NamedRun, Sender};
use crate::lease::Ask;
use crate::types::{AccountId, SidecarId};

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
        self.acts(who, account).await?;
        let Some(slot) = self.slot(account).await? else { return Ok(Leased::Unknown) };
        let learned = self.has_learned();
        // Terms take nothing from the account, and whoever knows them decides by its plan.
        let introduction = ask.is_introduction() && !slot.with(|state| state.holds(who.sidecar));
        if !introduction {
            learned?;
        }
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
            let leasing = move |work: &mut Work<'_>| {
                let less = work.knows_less(who.sidecar, &asks);
                (!less).then(|| work.lease(who.sidecar, who.epoch, &asks, recalled))
            };
            let worked = self.work(&slot, leasing).await?;
            match worked.answer {
                None => return Err(self.renewed_by(who).await),
                Some(Leasing::Recall(holders)) if !recalled => {
                    recalled = true;
                    self.recall(&slot, &holders, patience).await;
                }
                Some(other) => break (other, worked.ticket),
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
        named: &[NamedRun],
        wait: Duration,
    ) -> Result<RunReply, LedgerError> {
        self.acts(who, account).await?;
        let slot = self.slot(account).await?.ok_or(Fault::AccountUnknown)?;
        if takes_credits(ask) {
            self.has_learned()?;
        }
        let patience = self.patience(&slot).min(wait * RECALL_PART.0 / RECALL_PART.1);
        self.fetch(&slot, who.sidecar, named_in(ask, named), patience).await?;
        let turn = match ask {
            RunAsk::Authorize(_) | RunAsk::Record(_) => {
                tokio::time::timeout(patience, slot.turn.lock()).await.ok()
            }
            _ => None,
        };
        let unfound = self.within_hold(who, ask);
        let ask = Arc::new(ask.clone());
        let mut recalled = false;
        let (answer, ticket) = loop {
            let asks = Arc::clone(&ask);
            let deciding = move |work: &mut Work<'_>| {
                let recalls = !recalled && work.lacks(&asks);
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
        match (answer, unfound) {
            (Err(Fault::ReservationUnknown(_)), Some(answer)) => Ok(answer),
            (answer, _) => Ok(answer?),
        }
    }

    /// Errors: `Fenced`, `NotAttached`: only the current epoch acts, of the ledger's present generation;
    /// `AccountNotAllowed`.
    async fn acts(&self, who: Sender, account: &AccountId) -> Result<(), LedgerError> {
        self.sidecars.current(who, &self.store).await?.may(account)?;
        let current = who.epoch.generation == self.life().generation;
        if current { Ok(()) } else { Err(LedgerError::NotAttached) }
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
        let at = self.clock.now();
        let listening = |sidecar: &SidecarId| self.may_answer(slot, *sidecar);
        let asked: Vec<SidecarId> = holders.iter().copied().filter(listening).collect();
        if asked.is_empty() {
            return false;
        }
        let news = News::Recall { account: slot.id.clone(), sidecars: asked.clone() };
        let told = tokio::time::timeout(patience, self.tell_numbered(news)).await;
        let Ok(Some(number)) = told else { return false };
        let answers = async {
            loop {
                let rung = slot.bell.notified();
                tokio::pin!(rung);
                rung.as_mut().enable();
                if self.unanswered(slot, &asked, number).is_empty() {
                    return;
                }
                rung.await;
            }
        };
        if tokio::time::timeout(patience, answers).await.is_err() {
            for sidecar in self.unanswered(slot, &asked, number) {
                tracing::debug!(account = %slot.id, %sidecar, "a recall was not answered in time");
                slot.with(|state| state.silent.insert(sidecar, at));
            }
        }
        true
    }

    /// Whether a sidecar is worth asking: it listens, and was not silent just now.
    pub(super) fn may_answer(&self, slot: &Slot, sidecar: SidecarId) -> bool {
        let at = self.clock.now();
        let silent = slot.with(|state| state.silent.get(&sidecar).copied());
        let heard_lately = silent.is_none_or(|since| at.micros_since(since) > SILENT_MICROS);
        // Whether it listens at another process is not known here.
        heard_lately && (S::SHARED || self.watchers.is_watching(sidecar))
    }

    fn unanswered(&self, slot: &Slot, asked: &[SidecarId], number: u64) -> Vec<SidecarId> {
        slot.with(|state| {
            let answered =
                |sidecar: &SidecarId| state.answered.get(sidecar).is_some_and(|last| *last >= number);
            let waits = |sidecar: &SidecarId| !answered(sidecar) && state.holds(*sidecar);
            asked.iter().copied().filter(waits).collect()
        })
    }
}

/// Whether a call may take credits that a restored ledger believes to be free. Work that is done is booked in any case.
fn takes_credits(ask: &RunAsk) -> bool {
    match ask {
        RunAsk::Authorize(call) => !call.validate_only,
        RunAsk::Progress(..) => true,
        RunAsk::Commit(..)
        | RunAsk::Release(..)
        | RunAsk::Record(_)
        | RunAsk::State(..)
        | RunAsk::Balance(..) => false,
    }
}
