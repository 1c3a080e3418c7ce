//! The ledger's door, as `ledger/sidecars.rs`, `ledger/api.rs` and `ledger/reporting.rs` have it: who may ask, attachments,
//! watches, and reports, each record of which is applied exactly once and in order.

use std::collections::{BTreeMap, BTreeSet};

use super::ledger::{Known, Outgoing, Watch};
use super::message::{Answers, Asks, Batch, Question, Refusal, Sender, Told};
use super::world::World;
use crate::engine::account::Report;
use crate::lease::{LeaseTotals, WalletEvent};
use crate::types::{AccountId, Epoch, Planted};

impl World {
    pub fn serve(&mut self, question: Question) {
        let Question { from, rpc, who, what } = question;
        let refusal = match (&what, self.ledger.is_current(who)) {
            (Asks::Attach, _) | (_, Some(true)) => None,
            (_, Some(false)) => Some(Refusal::Fenced),
            (_, None) => Some(Refusal::NotAttached),
        };
        if let Some(refusal) = refusal {
            return self.answer_node(from, rpc, Answers::Refused(refusal));
        }
        match what {
            Asks::Attach => {
                let answer = self.attach(who);
                self.write(vec![Outgoing::Answer(from, rpc, answer)]);
            }
            Asks::Watch => {
                let number = self.numbers.next();
                self.ledger.watches.insert(who.sidecar, Watch { to: from, number, epoch: who.epoch });
                self.answer_node(from, rpc, Answers::Watching(number));
                self.begin_watch(who, number, from);
            }
            Asks::Lease(account, ask, wait) => self.lease_asked((from, rpc), who, account, ask, wait),
            Asks::Decide(account, ask, wait) => self.decide_asked((from, rpc), who, account, ask, wait),
            Asks::Report(batch) => {
                let answer = self.take_report(who, *batch);
                self.write(vec![Outgoing::Answer(from, rpc, answer)]);
            }
        }
    }

    fn attach(&mut self, who: Sender) -> Answers {
        let before = self.ledger.sidecars.get(&who.sidecar).copied().unwrap_or_default();
        if who.epoch < before.epoch {
            return Answers::Refused(Refusal::Fenced);
        }
        if who.epoch > before.epoch {
            self.ledger.stand(who.sidecar, Known { epoch: who.epoch, ..before });
            self.ledger.watches.retain(|sidecar, watch| *sidecar != who.sidecar || watch.epoch >= who.epoch);
        }
        let at = self.ledger.time.now(self.now);
        Answers::Attached { epoch: who.epoch, acknowledged: before.taken, at }
    }

    /// Tells a new watch what it may have missed.
    fn begin_watch(&mut self, who: Sender, number: u64, to: super::message::Address) {
        let told = self.ledger.slots.iter().filter(|(_, slot)| {
            slot.told.contains(&who.sidecar) || slot.account.leases.contains_key(&who.sidecar)
        });
        let told: Vec<Told> = told
            .map(|(account, slot)| match slot.account.terms() {
                Some(terms) => Told::Terms(account.clone(), Box::new(terms)),
                None => Told::Unknown(account.clone()),
            })
            .collect();
        for change in told {
            self.tell_node(to, number, change);
        }
    }

    fn take_report(&mut self, who: Sender, batch: Batch) -> Answers {
        let before = self.ledger.sidecars.get(&who.sidecar).copied().unwrap_or_default();
        let last = batch.records.last().map_or(before.taken, |(number, _, _)| (*number).max(before.taken));
        let mut answering: BTreeSet<AccountId> = batch.totals.iter().map(|(id, _)| id.clone()).collect();
        let mut shares: BTreeMap<AccountId, (Vec<Report>, Option<LeaseTotals>)> = BTreeMap::new();
        for (number, start, record) in batch.records {
            if number <= before.taken || Planted::OlderEpochDropped.is_here() && start < who.epoch.start {
                continue;
            }
            if matches!(record.event, WalletEvent::Returned(_)) {
                answering.insert(record.account.clone());
            }
            let epoch = Epoch { generation: who.epoch.generation, start };
            let report = Report { epoch, number, event: record.event };
            shares.entry(record.account).or_default().0.push(report);
        }
        for (account, totals) in batch.totals {
            shares.entry(account).or_default().1 = Some(totals);
        }
        let sidecar = who.sidecar;
        for (account, (reports, totals)) in shares {
            if !self.ledger.slots.contains_key(&account) {
                self.fail(format!("a report names account {account}, which nobody subscribed"));
                continue;
            }
            self.at_ledger(&account, |work| {
                if let Some(totals) = totals {
                    work.hear_totals(sidecar, totals);
                }
                for report in reports {
                    work.absorb(sidecar, report);
                }
            });
        }
        if last > before.taken {
            self.ledger.stand(sidecar, Known { taken: last, ..before });
        }
        for account in answering {
            if let Some(slot) = self.ledger.slots.get_mut(&account) {
                slot.silent.remove(&sidecar);
                let newest = slot.answered.entry(sidecar).or_default();
                *newest = batch.recalls_seen.max(*newest);
            }
            self.recall_answered(&account);
        }
        Answers::Reported(last)
    }
}
