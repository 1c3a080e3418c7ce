//! The account's single write path. It decides nothing: an entry says all that moved.

use jiff::tz::TimeZone;

use super::apply_lease;
use super::entry::{Alarm, Booked, Entry, Source, What};
use super::state::Account;
use crate::credit::hold::{self, Draw};
use crate::credit::pool::Sorting;
use crate::credit::price::PeriodOverage;
use crate::credit::{Block, CapKey, Change, Column, Move, Place, RunEvent};
use crate::engine::contract::{Contract, Playbooks};
use crate::playbook::allowance::Recurs;
use crate::playbook::draw_order::Species;
use crate::playbook::overage::{Link, Prices};
use crate::types::calendar::{self, Stretch};
use crate::types::{BlockId, Credits, Length, Timestamp};

/// How long after the last time at which it could be committed a run's final answer is kept: a week for late commits and
/// a day more.
const FINAL_KEPT: Length = Length::days(15);

/// Ended runs that an account remembers at most, lest one account fill the process.
const FINALS_MAX: usize = 5_000_000;

impl Account {
    pub fn apply(&mut self, entry: &Entry, playbooks: &Playbooks) {
        let at = entry.at;
        match &entry.what {
            What::Subscribed { plan, version, zone, key } => {
                self.zone.clone_from(zone);
                self.key = *key;
                self.contract = contract(playbooks, *version, plan.as_str(), at, zone);
                if let Some(contract) = &self.contract {
                    self.book.sort_by(Sorting::of(&contract.plan));
                    self.allowances = contract.plan.allowances.iter().map(|_| Some(at)).collect();
                    self.chain = contract.plan.overage.iter().map(|_| Some(at)).collect();
                }
                self.period = Stretch { start: at, end: at };
            }
            What::Suspended => self.set_suspended(true),
            What::Resumed => self.set_suspended(false),
            What::OverageLimited(credits) => {
                if let Some(contract) = &mut self.contract {
                    contract.overage_limit = Some(*credits);
                }
            }
            What::PeriodStarted { start, end, version } => {
                self.start_period(*start, *end, *version, playbooks)
            }
            What::Granted { block, source } => self.grant(block, *source),
            What::Lapsed(moves) | What::Voided(moves) => self.shift_all(moves),
            What::Unpaid(moves) => {
                self.shift_all(moves);
                let parts: Vec<_> = moves.iter().map(|step| (step.block, -step.amount)).collect();
                apply_lease::add(&mut self.repaid, &parts);
            }
            What::Repaid { pool, paid, moves } => {
                self.shift_all(moves);
                let parts: Vec<_> = moves.iter().map(|step| (step.block, step.amount)).collect();
                apply_lease::add(&mut self.repaid, &parts);
                self.book.pool_mut(pool).debt -= *paid;
            }
            What::Leased(leased) => self.lease(leased, at),
            What::GrantLost { sidecar } => self.grant_lost(*sidecar),
            What::Reclaimed { sidecar, .. } => self.reclaim(*sidecar, at),
            What::Reconciled { block, amount } => {
                *self.reconciled.entry(*block).or_default() += *amount;
                self.owe(*amount, false);
            }
            What::Absorbed(absorbed) => self.absorb(absorbed, at),
            What::Run(event) => self.run(event),
            What::Started { sidecar, epoch } => {
                self.sidecars.entry(*sidecar).or_default().starts(*epoch);
            }
            What::Unsealed { sidecar, slices, rooms } => self.unseal(*sidecar, slices, rooms, at),
            What::Unexplained(unexplained) => self.unexplained(unexplained),
            What::Recounted(recounted) => self.recounted(recounted, at),
            What::Raised(alarm) => self.raise(at, alarm),
            What::Cleared(alarm) => {
                self.raised.remove(alarm);
            }
        }
        if let Some(answered) = &entry.request {
            self.requests.insert(answered.id.clone(), answered.clone());
        }
        self.book.archive(at);
        self.book.forget(at, FINALS_MAX);
        self.number = entry.number;
        self.link = entry.link;
        self.clock = self.clock.max(at);
    }

    fn set_suspended(&mut self, suspended: bool) {
        if let Some(contract) = &mut self.contract {
            contract.suspended = suspended;
        }
    }

    fn start_period(&mut self, start: Timestamp, end: Timestamp, version: u32, playbooks: &Playbooks) {
        self.period = Stretch { start, end };
        let Some(old) = self.contract.take() else { return };
        let mut new = old.clone();
        if version != old.playbook.version
            && let Some(contract) =
                contract(playbooks, version, old.plan.name.as_str(), old.origin, &self.zone)
        {
            let moved = contract.plan.allowances.len() != old.plan.allowances.len()
                || contract.plan.overage.len() != old.plan.overage.len();
            if moved {
                self.allowances = contract.plan.allowances.iter().map(|_| Some(start)).collect();
                self.chain = contract.plan.overage.iter().map(|_| Some(start)).collect();
            }
            new = Contract { suspended: old.suspended, overage_limit: old.overage_limit, ..contract };
            self.book.sort_by(Sorting::of(&new.plan));
        }
        new.period_ends = end;
        self.contract = Some(new);
        // Counters of windows that are over: nothing in them can change a decision.
        self.book
            .counters
            .retain(|_, counter| counter.held.is_positive() || counter.ends_at.is_none_or(|end| end > start));
    }

    fn grant(&mut self, block: &Block, source: Source) {
        self.next_block = self.next_block.max(block.id.0 + 1);
        match source {
            Source::Allowance(index) => {
                let recurs = self
                    .contract
                    .as_ref()
                    .and_then(|contract| contract.plan.allowances.get(index as usize))
                    .map(|allowance| allowance.recurs);
                if let Some(due) = self.allowances.get_mut(index as usize) {
                    *due = match recurs {
                        Some(Recurs::Every(_)) => block.expires_at,
                        Some(Recurs::Once { .. }) | None => None,
                    };
                }
            }
            Source::Chain(index) => {
                if let Some(due) = self.chain.get_mut(index as usize) {
                    *due = block.expires_at;
                }
            }
            Source::Administrator | Source::Emergency => {}
        }
        self.book.insert(block.clone());
    }

    /// A run that the account itself settles.
    fn run(&mut self, event: &RunEvent) {
        for flow in &event.caps {
            self.born(&flow.key, event.at);
        }
        let spent: Vec<(BlockId, Credits)> = event
            .flows
            .iter()
            .filter(|flow| flow.species == Species::Overage)
            .map(|flow| {
                let into = if flow.to == Place::Spent { flow.amount } else { Credits::ZERO };
                let from = if flow.from == Place::Spent { flow.amount } else { Credits::ZERO };
                (flow.block, into - from)
            })
            .collect();
        let keep = match &event.change {
            Change::Ended(ended) => kept(ended.expires_at),
            _ => event.at,
        };
        let mut event = event.clone();
        // Repaid debt cannot be cancelled: a lowered charge beyond what is owed is given back by the moves.
        let debt = std::mem::take(&mut event.debt);
        let observed = match &event.change {
            Change::Ended(ended) => ended.observed,
            _ => self.book.runs.get(&event.id).is_some_and(|run| run.observed),
        };
        let id = event.id;
        let was_known = self.book.runs.contains_key(&id) || self.book.finals.contains_key(&id);
        let taken_over = (!was_known).then(|| booked_before(&event, debt)).flatten();
        self.book.apply(event, keep);
        if !self.book.runs.contains_key(&id) {
            self.owners.remove(&id);
        }
        let ended = self.book.finals.get(&id);
        if let Some(taken_over) =
            taken_over.filter(|_| ended.is_some_and(|ended| ended.provisional.is_none()))
        {
            // Where its settler's word may still come, that counts from there. Whatever else is booked under this id is a
            // second hold's, which its own sidecar ends.
            let part =
                self.booked.iter().find(|((_, run), booked)| *run == id && booked.is_same_as(&taken_over));
            let part = part.map(|(key, _)| *key);
            part.and_then(|key| self.booked.remove(&key));
        }
        if let (Some(run), false) = (self.book.runs.get_mut(&id), debt.is_zero()) {
            run.debt += debt;
        }
        self.owe(debt, observed);
        for (block, amount) in spent {
            self.note_overage(block, amount);
        }
    }

    pub(super) fn remember(&mut self, id: crate::types::ReservationId, ended: &crate::credit::Final) {
        self.book.remember(id, ended.clone(), kept(ended.expires_at));
    }

    pub(super) fn owe(&mut self, debt: Credits, observed: bool) {
        let pool = self.book.pool_mut(&crate::credit::PoolId::Account);
        pool.debt = (pool.debt + debt).or_zero();
        if observed {
            pool.observed_debt += debt;
        }
        pool.observed_debt = pool.observed_debt.or_zero().min(pool.debt);
    }

    fn raise(&mut self, at: Timestamp, alarm: &Alarm) {
        self.raised.insert(alarm.clone());
        self.alerts.push((at, alarm.clone()));
    }

    fn shift_all(&mut self, moves: &[Move]) {
        for step in moves {
            self.shift(*step);
        }
    }

    pub(super) fn shift(&mut self, step: Move) {
        let species = self.book.block(step.block).map(|block| block.species);
        self.book.shift(&step);
        if species == Some(Species::Overage) {
            if step.to == Column::Spent {
                self.note_overage(step.block, step.amount);
            }
            if step.from == Column::Spent {
                self.note_overage(step.block, -step.amount);
            }
        }
    }

    fn note_overage(&mut self, block: BlockId, amount: Credits) {
        let Some(start) = self.book.block(block).map(|block| block.effective_at) else { return };
        let prices = self.contract.as_ref().map_or_else(
            || Prices(Vec::new()),
            |contract| {
                let soft = contract.plan.overage.iter().find_map(|link| match link {
                    Link::Soft { price, .. } => Some(price.clone()),
                    Link::Degraded { .. } => None,
                });
                soft.unwrap_or_else(|| Prices::flat(contract.plan.price))
            },
        );
        let index = self.overage.iter().position(|period| period.start == start).unwrap_or_else(|| {
            self.overage.push(PeriodOverage::new(start));
            self.overage.len() - 1
        });
        if let Some(period) = self.overage.get_mut(index) {
            period.add(amount, &prices);
        }
    }

    pub(super) fn count(&mut self, key: &CapKey, held: Credits, spent: Credits, at: Timestamp) {
        self.born(key, at);
        if let Some(counter) = self.book.counters.get_mut(key) {
            counter.held = (counter.held + held).or_zero();
            counter.spent = (counter.spent + spent).or_zero();
            counter.used_at = at;
        }
    }

    fn born(&mut self, key: &CapKey, at: Timestamp) {
        if !self.book.counters.contains_key(key)
            && let Some(counter) = self.contract.as_ref().and_then(|contract| contract.counter(key, at))
        {
            self.book.counters.insert(key.clone(), counter);
        }
    }
}

fn kept(expires_at: Timestamp) -> Timestamp {
    expires_at.plus_micros(FINAL_KEPT.approximate_micros())
}

fn contract(
    playbooks: &Playbooks,
    version: u32,
    plan: &str,
    origin: Timestamp,
    zone: &str,
) -> Option<Contract> {
    let playbook = playbooks.version(version)?;
    Some(Contract {
        plan: playbook.plans.get(plan)?.clone(),
        playbook: playbook.clone(),
        origin,
        zone: TimeZone::get(zone).unwrap_or(TimeZone::UTC),
        suspended: false,
        overage_limit: None,
        period_ends: calendar::plus(origin, Length::Months(1), &TimeZone::UTC),
    })
}

/// What a run that was settled from its handle alone had been charged before, by its sidecar's reports.
fn booked_before(event: &RunEvent, debt: Credits) -> Option<Booked> {
    let Change::Ended(ended) = &event.change else { return None };
    let mut spent = ended.spent.clone();
    for flow in &event.flows {
        let draw = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        if flow.to == Place::Spent {
            hold::remove(&mut spent, &draw);
        } else if flow.from == Place::Spent {
            hold::add(&mut spent, draw);
        }
    }
    let booked = Booked { spent, debt: ended.debt - debt };
    (!booked.total().is_zero()).then_some(booked)
}
