//! The account's single write path. It decides nothing: an entry says all that moved.

use jiff::tz::TimeZone;

use super::apply_lease;
use super::entry::{Alarm, Booked, Entry, Source, What};
use super::state::Account;
use crate::credit::counters::Counting;
use crate::credit::hold::{self, Draw};
use crate::credit::pool::Sorting;
use crate::credit::{Block, CapKey, Change, Column, Counter, Final, Flow, Move, Place, PoolId, RunEvent};
use crate::engine::contract::{Contract, Playbooks, Since};
use crate::playbook::allowance::Recurs;
use crate::playbook::draw_order::Species;
use crate::playbook::overlay::Overlay;
use crate::types::calendar::{self, Stretch};
use crate::types::{BlockId, Credits, Length, Name, ReservationId, Timestamp};

/// How long after its end a run's final answer is kept: a week for late commits, and eight days for what a sidecar accepted in
/// that week to be heard.
const FINAL_KEPT: Length = Length::days(15);

/// A month of a refund's window may be longer than its mean.
const DAY_MICROS: i64 = 86_400_000_000;

/// How long after its last use the budget of a `run_id` is remembered at least: a worker that resumes comes sooner.
const BUDGET_KEPT: Length = Length::days(31);

/// Ended runs that an account remembers at most, lest one account fill the process.
const FINALS_MAX: usize = 5_000_000;

/// More runs than one entry brings.
const ENTRY_RUNS: u64 = 1 << 20;

impl Account {
    pub fn apply(&mut self, entry: &Entry, playbooks: &Playbooks) {
        let at = entry.at;
        match &entry.what {
            What::Subscribed { plan, version, zone, key } => {
                self.zone.clone_from(zone);
                self.key = *key;
                self.contract = contract(playbooks, *version, plan, at, zone);
                self.begin(at);
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
            What::Lapsed(moves) => self.shift_all(moves),
            What::Voided(moves) => {
                self.shift_all(moves);
                self.unbill(moves, at);
            }
            What::Unpaid(moves) => {
                self.shift_all(moves);
                let parts: Vec<_> = moves.iter().map(|step| (step.block, -step.amount)).collect();
                apply_lease::add(&mut self.repaid, &parts);
            }
            What::Repaid { pool, paid, moves } => self.repay(pool, *paid, moves),
            What::Leased(leased) => self.lease(leased, at),
            What::GrantLost { sidecar } => self.grant_lost(*sidecar),
            What::Reclaimed { sidecar, .. } => self.reclaim(*sidecar, at),
            What::Reconciled { block, amount } => {
                *self.reconciled.entry(*block).or_default() += *amount;
                if self.book.block(*block).is_some_and(|block| block.species == Species::Borrowed) {
                    // It was consumed when it was borrowed.
                    self.burn.note(-*amount);
                }
                self.owe(&PoolId::Account, *amount, false);
            }
            What::Absorbed(absorbed) => self.absorb(absorbed, entry),
            What::Run(event) => self.run(event, entry.number),
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
            other => self.apply_contract(other, at, playbooks),
        }
        if let Some(answered) = &entry.request {
            self.requests.insert(answered.id.clone(), answered.clone());
        }
        self.burn.book(at);
        self.book.archive(at);
        self.book.forget(at, FINALS_MAX);
        self.number = entry.number;
        self.link = entry.link;
        self.clock = self.clock.max(at);
    }

    /// Credits of a pool pay its debt.
    fn repay(&mut self, pool: &PoolId, paid: Credits, moves: &[Move]) {
        self.shift_all(moves);
        let parts: Vec<_> = moves.iter().map(|step| (step.block, step.amount)).collect();
        apply_lease::add(&mut self.repaid, &parts);
        self.burn.note(-paid);
        self.book.pool_mut(pool).debt -= paid;
    }

    fn set_suspended(&mut self, suspended: bool) {
        if let Some(contract) = &mut self.contract {
            contract.suspended = suspended;
        }
    }

    fn start_period(&mut self, start: Timestamp, end: Timestamp, version: u32, playbooks: &Playbooks) {
        self.period = Stretch { start, end };
        self.allotted = None;
        let Some(old) = self.contract.take() else { return };
        let mut new = old.clone();
        if version != old.playbook.version
            && let Some(contract) = contract(playbooks, version, &old.plan.name, old.origin, &self.zone)
        {
            let moved = contract.plan.allowances.len() != old.plan.allowances.len()
                || contract.plan.overage.len() != old.plan.overage.len();
            if moved {
                self.allowances = contract.plan.allowances.iter().map(|_| Some(start)).collect();
                self.chain = contract.plan.overage.iter().map(|link| link.species().map(|_| start)).collect();
            }
            new = Contract { suspended: old.suspended, overage_limit: old.overage_limit, ..contract };
            self.book.sort_by(Sorting::of(&new.plan));
        }
        new.period_ends = end;
        self.seated.clear();
        self.seat_shares.clear();
        self.topped_up = 0;
        self.awarded.clear();
        self.book.overage_by.clear();
        self.contract = Some(new);
        // Counters of windows that are over can't change a decision any more, nor do those of runs long gone.
        let since = start.plus_micros(-BUDGET_KEPT.approximate_micros());
        let goes_on = |counter: &Counter| counter.ends_at.map_or(counter.used_at > since, |end| end > start);
        self.book.counters.retain(|counter| counter.held.is_positive() || goes_on(counter));
    }

    fn grant(&mut self, block: &Block, source: Source) {
        self.next_block = self.next_block.max(block.id.0 + 1);
        if matches!(source, Source::Allowance(_) | Source::Changed) {
            let book = &self.book;
            self.allotments.retain(|id| !book.archive.contains_key(id));
            self.allotments.insert(block.id);
        }
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
            Source::Seats(share) => {
                self.seat_shares.insert(block.id, share);
            }
            Source::Administrator | Source::Emergency | Source::Changed | Source::Refund => {}
        }
        self.book.insert(block.clone());
    }

    /// A run that the account itself settles.
    fn run(&mut self, event: &RunEvent, number: u64) {
        if matches!(event.change, Change::Reserved(_)) {
            self.arrivals.insert(event.id, arrival(number, 0));
        }
        let spent: Vec<(BlockId, Credits)> = event
            .flows
            .iter()
            .filter(|flow| flow.species == Species::Overage)
            .map(|flow| (flow.block, spends(flow)))
            .collect();
        let consumed = event.flows.iter().filter(|flow| flow.species != Species::Emergency).map(spends).sum();
        let keep = match &event.change {
            Change::Ended(ended) => self.kept(ended.expires_at),
            _ => event.at,
        };
        let mut event = event.clone();
        // Repaid debt cannot be cancelled: a lowered charge beyond what is owed is given back by the moves.
        let debt = std::mem::take(&mut event.debt);
        let observed = match &event.change {
            Change::Ended(ended) => ended.observed,
            _ => self.book.runs.get(&event.id).is_some_and(|run| run.observed),
        };
        let (id, pool) = (event.id, event.debt_pool.clone());
        let was_known = self.book.runs.contains_key(&id) || self.book.finals.contains_key(&id);
        let taken_over = (!was_known).then(|| booked_before(&event, debt)).flatten();
        self.book.apply(event, keep, &Whole(self.contract.as_ref()));
        if !self.book.runs.contains_key(&id) {
            self.owners.remove(&id);
            self.arrivals.remove(&id);
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
        self.owe(&pool, debt, observed);
        self.burn.note(consumed);
        let user = self.user_of(id);
        for (block, amount) in spent {
            self.note_overage(block, amount, user.as_ref());
        }
    }

    /// Remembers how a run ended, from when that is heard of: others may report of it as late as its own sidecar did.
    pub(super) fn remember(&mut self, id: ReservationId, ended: &Final, heard: Timestamp) {
        self.book.remember(id, ended.clone(), self.kept(ended.expires_at.max(ended.ended_at).max(heard)));
    }

    /// Until when an ended run is remembered: for late commits, and for as long as the plan refunds charges.
    pub(super) fn kept(&self, expires_at: Timestamp) -> Timestamp {
        let refunds = self.contract.as_ref().and_then(|contract| contract.plan.refunds.charges);
        let refunds = refunds.map_or(0, |rule| rule.within.approximate_micros());
        expires_at.plus_micros(FINAL_KEPT.approximate_micros().max(refunds.saturating_add(DAY_MICROS)))
    }

    pub(super) fn owe(&mut self, pool: &PoolId, debt: Credits, observed: bool) {
        if debt.is_zero() {
            return;
        }
        let pool = self.book.pool_mut(pool);
        pool.debt = (pool.debt + debt).or_zero();
        self.burn.note(debt);
        if observed {
            pool.observed_debt += debt;
        }
        pool.observed_debt = pool.observed_debt.or_zero().min(pool.debt);
    }

    fn raise(&mut self, at: Timestamp, alarm: &Alarm) {
        self.raised.insert(alarm.clone());
        self.alerts.push((at, alarm.clone()));
    }

    pub(super) fn shift_all(&mut self, moves: &[Move]) {
        for step in moves {
            self.shift(*step);
        }
    }

    pub(super) fn shift(&mut self, step: Move) {
        self.shift_for(step, None);
    }

    /// The same, for the run of a user.
    pub(super) fn shift_for(&mut self, step: Move, user: Option<&Name>) {
        let species = self.book.block(step.block).map(|block| block.species);
        self.book.shift(&step);
        let into = if step.to == Column::Spent { step.amount } else { Credits::ZERO };
        let from = if step.from == Column::Spent { step.amount } else { Credits::ZERO };
        let spent = into - from;
        // What was spent of an emergency allowance counts once it has become debt.
        if species != Some(Species::Emergency) {
            self.burn.note(spent);
        }
        if species == Some(Species::Overage) && !spent.is_zero() {
            self.note_overage(step.block, spent, user);
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
            && let Some(counter) = Whole(self.contract.as_ref()).born(key, at)
        {
            self.book.counters.insert(key.clone(), counter);
        }
    }
}

/// How the account itself counts.
struct Whole<'a>(Option<&'a Contract>);

impl Counting for Whole<'_> {
    fn born(&self, key: &CapKey, at: Timestamp) -> Option<Counter> {
        self.0?.counter(key, at)
    }
}

/// The place of a run among all that the account came to hold: by its entry, and inside that.
pub(super) fn arrival(entry: u64, index: usize) -> u64 {
    entry.saturating_mul(ENTRY_RUNS) + index as u64
}

/// What a flow spends, or (negative) gives back.
fn spends(flow: &Flow) -> Credits {
    let into = if flow.to == Place::Spent { flow.amount } else { Credits::ZERO };
    let from = if flow.from == Place::Spent { flow.amount } else { Credits::ZERO };
    into - from
}

fn contract(
    playbooks: &Playbooks,
    version: u32,
    plan: &Name,
    origin: Timestamp,
    zone: &str,
) -> Option<Contract> {
    let contract =
        Contract::of(playbooks.version(version)?, plan, Overlay::default(), Since { origin, zone })?;
    let period_ends = calendar::plus(origin, Length::Months(1), &TimeZone::UTC);
    Some(Contract { period_ends, ..contract })
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
