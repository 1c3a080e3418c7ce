//! Leases and decisions at the ledger, as `ledger/leasing.rs` has it: asks that may need a recall wait for their turn, and
//! what a recall brings goes to the one that has it.

use super::agenda::Event;
use super::ledger::Outgoing;
use super::message::{Address, Answers, Refusal, Sender, Told};
use super::world::{Rpc, World};
use crate::engine::Fault;
use crate::engine::account::{Leasing, RunAsk};
use crate::lease::Ask;
use crate::types::{AccountId, Planted, SidecarId};

/// A recall waits for its answers at most so long, and so much of what the asker waits.
const RECALL_WITHIN: i64 = 1_000_000;
const RECALL_PART: (i64, i64) = (3, 4);

/// A sidecar that did not answer a recall is not asked again for so long, unless it reports.
const SILENT: i64 = 5_000_000;

/// An ask at work.
#[derive(Debug)]
pub struct Job {
    back: (Address, u64),
    who: Sender,
    account: AccountId,
    what: What,
    patience: i64,
    /// When it has waited long enough.
    until: i64,
    /// Whether it had its turn, or waited for it in vain.
    in_turn: bool,
    /// The recall that it waits for, and who was asked.
    recall: Option<Recall>,
    recalled: bool,
}

/// Its number, how much was lent when it began, and who was asked.
#[derive(Debug)]
struct Recall {
    number: u64,
    lent: u64,
    asked: Vec<SidecarId>,
}

#[derive(Debug)]
enum What {
    Lease(Box<Ask>),
    Decide(Box<RunAsk>),
}

impl World {
    pub fn lease_asked(
        &mut self,
        back: (Address, u64),
        who: Sender,
        account: AccountId,
        ask: Box<Ask>,
        wait: i64,
    ) {
        let Some(slot) = self.ledger.slots.get_mut(&account) else {
            return self.answer_node(back.0, back.1, Answers::Leased(None));
        };
        // Remembered before it is told, so that no change of terms falls in between.
        slot.told.insert(who.sidecar);
        let needs = ask.credits.is_positive() || !ask.caps.is_empty();
        self.begin_job(back, who, account, What::Lease(ask), wait, needs);
    }

    pub fn decide_asked(
        &mut self,
        back: (Address, u64),
        who: Sender,
        account: AccountId,
        ask: Box<RunAsk>,
        wait: i64,
    ) {
        if !self.ledger.slots.contains_key(&account) {
            let unknown = Answers::Decided(Box::new(Err(Fault::AccountUnknown)));
            return self.answer_node(back.0, back.1, unknown);
        }
        let needs = matches!(*ask, RunAsk::Authorize(_) | RunAsk::Record(_));
        self.begin_job(back, who, account, What::Decide(ask), wait, needs);
    }

    fn patience(&self, account: &AccountId) -> i64 {
        let contract = self.ledger.slots.get(account).and_then(|slot| slot.account.contract.as_ref());
        let wait = contract.map(|contract| contract.plan.offline.wait.approximate_micros());
        wait.unwrap_or(RECALL_WITHIN).min(RECALL_WITHIN)
    }

    fn begin_job(
        &mut self,
        back: (Address, u64),
        who: Sender,
        account: AccountId,
        what: What,
        wait: i64,
        needs: bool,
    ) {
        if let Some(Rpc::Call { call }) = self.rpcs.get(&back.1).filter(|_| needs)
            && let Some(run) = self.calls.get(call).and_then(|call| call.wish.id())
        {
            self.auditor.arrived(*call, run, self.now);
        }
        let id = self.numbers.next();
        let patience = self.patience(&account).min(wait * RECALL_PART.0 / RECALL_PART.1);
        let Some(slot) = self.ledger.slots.get_mut(&account) else { return };
        let queues = needs && !Planted::RecallGivenToAnother.is_here();
        let waits = queues && slot.turn.is_some();
        if waits {
            slot.waiting.push_back(id);
        } else if queues {
            slot.turn = Some(id);
        }
        let until = self.now + patience;
        let job =
            Job { back, who, account, what, patience, until, in_turn: !waits, recall: None, recalled: false };
        self.ledger.jobs.insert(id, job);
        if waits {
            self.agenda.plan(self.now + patience, Event::JobOver(self.ledger.life, id));
        } else {
            self.work_job(id);
        }
    }

    /// It waited long enough: whoever waited in vain for its turn, or for answers, takes what there is.
    pub fn job_over(&mut self, life: u64, id: u64) {
        if self.ledger.life != life || !self.ledger.is_up {
            return;
        }
        let at = self.ledger.time.now(self.now);
        let Some(job) = self.ledger.jobs.get_mut(&id).filter(|job| job.until <= self.now) else { return };
        let Some(slot) = self.ledger.slots.get_mut(&job.account) else { return };
        if !job.in_turn {
            slot.waiting.retain(|waits| *waits != id);
            job.in_turn = true;
            job.recalled = matches!(job.what, What::Lease(_));
        } else if let Some(recall) = job.recall.take() {
            slot.gathered = slot.gathered.max((recall.number, recall.lent));
            for sidecar in recall.asked {
                let answered = slot.answered.get(&sidecar).is_some_and(|last| *last >= recall.number);
                if !answered && slot.holds(sidecar) {
                    slot.silent.insert(sidecar, at);
                }
            }
        } else {
            return;
        }
        self.work_job(id);
    }

    /// A sidecar has answered: whoever waited for the last answer goes on.
    pub fn recall_answered(&mut self, account: &AccountId) {
        if Planted::RecallGivenToAnother.is_here() {
            return;
        }
        let Some(slot) = self.ledger.slots.get(account) else { return };
        let waits = |number: u64, sidecar: &SidecarId| {
            slot.answered.get(sidecar).is_none_or(|last| *last < number) && slot.holds(*sidecar)
        };
        let ready = self.ledger.jobs.iter().filter(|(_, job)| job.account == *account);
        let ready = ready.filter(|(_, job)| {
            job.recall
                .as_ref()
                .is_some_and(|recall| !recall.asked.iter().any(|sidecar| waits(recall.number, sidecar)))
        });
        let ready: Vec<u64> = ready.map(|(id, _)| *id).collect();
        for id in ready {
            let Some(recall) = self.ledger.jobs.get_mut(&id).and_then(|job| job.recall.take()) else {
                continue;
            };
            if let Some(slot) = self.ledger.slots.get_mut(account) {
                slot.gathered = slot.gathered.max((recall.number, recall.lent));
            }
            self.work_job(id);
        }
    }

    /// Asks sidecars for what they hold idle. Whether anybody was asked.
    fn recall(&mut self, id: u64, holders: &[SidecarId]) -> bool {
        let at = self.ledger.time.now(self.now);
        let Some(job) = self.ledger.jobs.get(&id) else { return false };
        let (account, patience) = (job.account.clone(), job.patience);
        let Some(slot) = self.ledger.slots.get(&account) else { return false };
        let listens = |sidecar: &SidecarId| {
            let silent = slot.silent.get(sidecar).is_some_and(|since| at.micros_since(*since) <= SILENT);
            !silent && self.ledger.watches.contains_key(sidecar)
        };
        let asked: Vec<SidecarId> = holders.iter().copied().filter(listens).collect();
        if asked.is_empty() {
            return false;
        }
        let lent = slot.account.lent;
        let number = self.numbers.next();
        for sidecar in &asked {
            if let Some(watch) = self.ledger.watches.get(sidecar).copied() {
                self.tell_node(watch.to, watch.number, Told::Recall(account.clone(), number));
            }
        }
        if let (Some(fleet), Some(job)) = (&mut self.fleet, self.ledger.jobs.get(&id)) {
            fleet.recalls(job.back.1, self.now, asked.len());
        }
        if Planted::RecallCountedEarly.is_here() {
            return false;
        }
        if let Some(job) = self.ledger.jobs.get_mut(&id) {
            job.recall = Some(Recall { number, lent, asked });
            job.until = self.now + patience;
        }
        self.agenda.plan(self.now + patience, Event::JobOver(self.ledger.life, id));
        // One that was told over a broken watch may hold nothing any more.
        self.recall_answered(&account);
        true
    }

    fn work_job(&mut self, id: u64) {
        let Some(job) = self.ledger.jobs.get(&id) else { return };
        let (who, account, recalled) = (job.who, job.account.clone(), job.recalled);
        // A recall that began after this came brought what there was, unless it was lent since.
        let gathered = self.ledger.slots.get(&account).map(|slot| slot.gathered);
        let gathered = gathered.filter(|(number, _)| id < *number).map(|(_, lent)| lent);
        match &job.what {
            What::Lease(ask) => {
                let ask = ask.clone();
                let leasing = self.at_ledger(&account, |work| {
                    let recalled =
                        recalled || gathered == Some(work.account.lent) && !work.account.knows_idle(work.at);
                    work.lease(who.sidecar, who.epoch, &ask, recalled)
                });
                match leasing {
                    Leasing::Recall(holders) if !recalled => {
                        if let Some(job) = self.ledger.jobs.get_mut(&id) {
                            job.recalled = true;
                        }
                        if !self.recall(id, &holders) {
                            self.work_job(id);
                        }
                    }
                    Leasing::Granted(grant) => self.end_job(id, Answers::Leased(Some(grant))),
                    Leasing::Unknown => self.end_job(id, Answers::Leased(None)),
                    Leasing::Fenced => self.end_job(id, Answers::Refused(Refusal::Fenced)),
                    Leasing::Overtaken | Leasing::Recall(_) => {
                        self.end_job(id, Answers::Refused(Refusal::Overloaded));
                    }
                }
            }
            What::Decide(ask) => {
                let ask = ask.clone();
                let decided = self.at_ledger(&account, |work| {
                    let recalled =
                        recalled || gathered == Some(work.account.lent) && !work.account.knows_idle(work.at);
                    let recalls = !recalled && work.lacks(&ask);
                    (!recalls).then(|| work.decide(&ask, who.sidecar))
                });
                if let Some(decided) = decided {
                    return self.end_job(id, Answers::Decided(Box::new(decided)));
                }
                if let Some(job) = self.ledger.jobs.get_mut(&id) {
                    job.recalled = true;
                }
                let at = self.ledger.time.now(self.now);
                let holders =
                    self.ledger.slots.get(&account).map(|slot| slot.holders(at)).unwrap_or_default();
                if !self.recall(id, &holders) {
                    self.work_job(id);
                }
            }
        }
    }

    fn end_job(&mut self, id: u64, answer: Answers) {
        let Some(job) = self.ledger.jobs.remove(&id) else { return };
        let mut next = None;
        if let Some(slot) = self.ledger.slots.get_mut(&job.account)
            && slot.turn == Some(id)
        {
            slot.turn = slot.waiting.pop_front();
            next = slot.turn;
        }
        self.write(vec![Outgoing::Answer(job.back.0, job.back.1, answer)]);
        if let Some(job) = next.and_then(|next| self.ledger.jobs.get_mut(&next)) {
            job.in_turn = true;
            self.work_job(next.unwrap_or_default());
        }
    }
}
