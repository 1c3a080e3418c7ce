//! What an account's runs were charged, by who caused them: read from its journal, where every run's end is.

use std::collections::BTreeMap;

use super::service::Ledger;
use super::store::LedgerStore;
use super::writes::store_error;
use crate::credit::{Change, Column, Final, Run, State};
use crate::engine::account::entry::What;
use crate::engine::account::{AdminRefusal, Entry};
use crate::grpc::ledger_api::{LedgerError, Usage, UsageAsk, UsageBy};
use crate::playbook::draw_order::Species;
use crate::types::{AccountId, BlockId, Credits, Name, ReservationId};

/// Entries read from the store at once.
const ENTRIES_AT_ONCE: usize = 1000;

impl<S: LedgerStore> Ledger<S> {
    /// By group; `None` = runs without one. A run counts when it ended, with what it was charged since.
    pub(super) async fn used(
        &self,
        account: &AccountId,
        ask: &UsageAsk,
    ) -> Result<BTreeMap<Option<Name>, Usage>, LedgerError> {
        if self.slot(account).await?.is_none() {
            return Err(AdminRefusal::AccountUnknown.into());
        }
        let mut reading = Reading::new(ask);
        let mut after = 0;
        loop {
            let entries = self.store.history(account, after, ENTRIES_AT_ONCE).await.map_err(store_error)?;
            let Some(last) = entries.last() else { break };
            after = last.number;
            entries.iter().for_each(|entry| reading.read(entry));
            tokio::task::yield_now().await;
        }
        Ok(reading.groups())
    }
}

/// What is known of the journal so far.
struct Reading {
    ask: UsageAsk,
    /// Of every block that paid.
    species: BTreeMap<BlockId, Species>,
    runs: BTreeMap<ReservationId, (Option<Name>, Usage)>,
}

impl Reading {
    fn new(ask: &UsageAsk) -> Self {
        Self { ask: ask.clone(), species: BTreeMap::new(), runs: BTreeMap::new() }
    }

    fn read(&mut self, entry: &Entry) {
        match &entry.what {
            What::Run(event) => self.changed(event.id, &event.change),
            What::Absorbed(absorbed) => {
                // What the ledger booked is what was charged: other blocks may have paid than the sidecar named, and where
                // another sidecar's commit stands, this one charged nothing.
                if let Some((id, ended)) = &absorbed.effects.ended {
                    self.ended(*id, ended);
                }
            }
            What::Refunded(refunded) => {
                if let Some((_, usage)) = self.runs.get_mut(&refunded.run) {
                    usage.charged -= refunded.credits;
                    usage.debt -= refunded.debt;
                    for step in refunded.moves.iter().filter(|step| step.from == Column::Spent) {
                        if let Some(species) = self.species.get(&step.block) {
                            *usage.paid_by.entry(*species).or_default() -= step.amount;
                        }
                    }
                }
            }
            _ => {}
        }
    }

    fn changed(&mut self, id: ReservationId, change: &Change) {
        if let Change::Ended(ended) = change {
            self.ended(id, ended);
        }
    }

    fn ended(&mut self, id: ReservationId, ended: &Final) {
        let within = self.ask.from.is_none_or(|from| ended.ended_at >= from)
            && self.ask.to.is_none_or(|to| ended.ended_at < to);
        if !within || ended.state == State::Released {
            self.runs.remove(&id);
            return;
        }
        let mut paid_by: BTreeMap<Species, Credits> = BTreeMap::new();
        for draw in &ended.spent {
            self.species.insert(draw.block, draw.species);
            *paid_by.entry(draw.species).or_default() += draw.amount;
        }
        let usage = Usage { runs: 1, charged: ended.charged(), debt: ended.debt, paid_by };
        self.runs.insert(id, (group(&self.ask.by, &ended.run), usage));
    }

    fn groups(self) -> BTreeMap<Option<Name>, Usage> {
        let mut groups: BTreeMap<Option<Name>, Usage> = BTreeMap::new();
        for (group, usage) in self.runs.into_values() {
            groups.entry(group).or_default().add(&usage);
        }
        groups
    }
}

fn group(by: &UsageBy, run: &Run) -> Option<Name> {
    match by {
        UsageBy::Nothing => None,
        UsageBy::User => run.subject.user.clone(),
        UsageBy::Team => run.subject.team.clone(),
        UsageBy::Agent => run.subject.agent.clone(),
        UsageBy::Action => Some(run.action.clone()),
        UsageBy::Dimension(dimension) => run.dimensions.get(dimension).cloned(),
    }
}
