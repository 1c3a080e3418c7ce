//! What sidecars report: each record is applied exactly once, in order, whatever has become of the lease it was made on.

use std::collections::BTreeMap;

use super::entry::{Absorbed, Effects, What};
use super::state::Lease;
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::settle::PATH;
use crate::credit::{Change, Column, Flow, Move, Place, Reservation, RunEvent, ScopeKey, State};
use crate::lease::event::{PassedCall, Returned};
use crate::lease::{Passed, WalletEvent};
use crate::types::{BlockId, Credits, Epoch, SidecarId};

/// One record of a sidecar's journal.
#[derive(Clone, Debug)]
pub struct Report {
    pub epoch: Epoch,
    pub number: u64,
    pub event: WalletEvent,
}

/// Who holds credits of a flow, seen from the account.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holder {
    /// The lease: idle there, or in a run that only the sidecar knows.
    Lease,
    /// A run that the account holds: a promoted one.
    Run,
    Spent,
    Lapsed,
}

impl Work<'_> {
    /// Applies a record; one that was applied before changes nothing.
    pub fn absorb(&mut self, sidecar: SidecarId, report: Report) {
        if self.account.sidecars.get(&sidecar).is_some_and(|seen| report.number <= seen.number) {
            return;
        }
        let Report { epoch, number, event } = report;
        let (event, effects) = match event {
            WalletEvent::Run(run) => self.absorb_run(sidecar, run),
            WalletEvent::Returned(returned) => {
                let effects = self.absorb_returned(sidecar, &returned);
                (WalletEvent::Returned(returned), effects)
            }
            WalletEvent::Sealed(sealed) => {
                let effects = self.absorb_sealed(sidecar, &sealed);
                (WalletEvent::Sealed(sealed), effects)
            }
            WalletEvent::Promoted(runs) => self.absorb_promoted(sidecar, runs),
            other => (other, Effects::default()),
        };
        let passed = match &event {
            WalletEvent::PassedOn(passed) => Some(passed.clone()),
            _ => None,
        };
        self.emit(What::Absorbed(Box::new(Absorbed { sidecar, epoch, number, event, effects })));
        if let Some(passed) = passed {
            self.passed_on(&passed);
        }
        self.lapse_ended();
        self.repay();
    }

    fn absorb_run(&self, sidecar: SidecarId, run: RunEvent) -> (WalletEvent, Effects) {
        let (event, mut effects) = self.absorb_flows(sidecar, run);
        let WalletEvent::Run(run) = &event else { return (event, effects) };
        let Change::Ended(ended) = &run.change else { return (event, effects) };
        let own = self.account.owners.get(&run.id) == Some(&sidecar);
        if let Some(open) = self.account.book.runs.get(&run.id).filter(|_| !own) {
            // Two sidecars held one request: the first commit is the run's, and the other hold goes back.
            if ended.state == State::Settled {
                for draw in &open.held {
                    effects.moves.push(moved(draw, Column::Held, Column::Available));
                }
                for hold in &open.caps {
                    effects.counters.push((hold.key.clone(), -hold.held, Credits::ZERO));
                }
            } else {
                effects.ended = None;
            }
        } else if let Some(before) = self.account.book.finals.get(&run.id).filter(|_| !own) {
            let recorded = run.flows.is_empty() && run.debt.is_zero() && before.charged() == ended.charged();
            let late =
                matches!(before.state, State::Lapsed | State::Released) && ended.state == State::Settled;
            if late {
                self.give_back_charge(&before.spent, before.debt, &mut effects);
            } else if !recorded {
                // The request was settled before, here or by another: that stands, and this is no charge.
                self.give_back_charge(&ended.spent, ended.debt, &mut effects);
                effects.ended = None;
            }
        }
        (event, effects)
    }

    /// Undoes a charge that another replaces.
    fn give_back_charge(&self, spent: &[Draw], debt: Credits, effects: &mut Effects) {
        effects.moves.extend(spent.iter().map(|draw| moved(draw, Column::Spent, Column::Available)));
        effects.debt -= debt;
    }

    fn absorb_flows(&self, sidecar: SidecarId, run: RunEvent) -> (WalletEvent, Effects) {
        let mut effects = Effects { debt: run.debt, ..Effects::default() };
        let mut late = Credits::ZERO;
        let mut left = self.out(sidecar);
        for flow in &run.flows {
            let (from, to) = (self.holder(sidecar, &run, flow.from), self.holder(sidecar, &run, flow.to));
            let column = |holder| match holder {
                Holder::Lease | Holder::Run => Column::Held,
                Holder::Spent => Column::Spent,
                Holder::Lapsed => Column::Lapsed,
            };
            let mut amount = flow.amount;
            if from == Holder::Lease && to != Holder::Lease {
                // A lease that was reclaimed holds nothing any more: what was used of it is drawn anew.
                let have = left.get(&flow.block).copied().unwrap_or_default();
                let part = have.min(amount);
                if to == Holder::Spent {
                    late += amount - part;
                }
                amount = part;
                left.insert(flow.block, have - part);
                effects.lease.push((flow.block, -part));
            }
            if to == Holder::Lease && from != Holder::Lease {
                if self.account.leases.contains_key(&sidecar) {
                    effects.lease.push((flow.block, amount));
                    *left.entry(flow.block).or_default() += amount;
                } else {
                    self.shift(&mut effects, flow, column(from), Column::Available, amount);
                    continue;
                }
            }
            self.shift(&mut effects, flow, column(from), column(to), amount);
        }
        self.absorb_caps(sidecar, &run, &mut effects);
        let mut run = run;
        if late.is_positive() {
            self.draw_late(&mut run, late, &mut effects);
        }
        if let Change::Ended(ended) = &run.change {
            effects.ended = Some((run.id, ended.clone()));
        }
        (WalletEvent::Run(run), effects)
    }

    /// Use reported after its lease was reclaimed: drawn like a new reservation, as debt where it must be.
    fn draw_late(&self, run: &mut RunEvent, late: Credits, effects: &mut Effects) {
        let limits = Limits { at: self.at, basic: true, overage: None };
        let drawn = draw::draw(&self.account.book.pools, PATH, late, limits);
        for part in &drawn.draws {
            let step =
                Move { block: part.block, from: Column::Available, to: Column::Spent, amount: part.amount };
            effects.moves.push(step);
        }
        effects.debt += drawn.missing;
        if let Change::Ended(ended) = &mut run.change {
            // The account's books say which blocks paid in fact.
            let kept = hold::total(&ended.spent).saturating_sub(late);
            let (mut spent, _) = hold::first(&ended.spent, kept);
            for part in drawn.draws {
                hold::add(&mut spent, part);
            }
            ended.spent = spent;
            ended.debt += drawn.missing;
        }
    }

    fn shift(&self, effects: &mut Effects, flow: &Flow, from: Column, to: Column, amount: Credits) {
        if from != to && amount.is_positive() {
            effects.moves.push(Move { block: flow.block, from, to, amount });
        }
    }

    fn holder(&self, sidecar: SidecarId, run: &RunEvent, place: Place) -> Holder {
        let own = |id| self.account.owners.get(id) == Some(&sidecar);
        let known = |id| if own(id) { Holder::Run } else { Holder::Lease };
        match place {
            Place::Free => Holder::Lease,
            Place::Held => known(&run.id),
            Place::Other(id) => known(&id),
            Place::Spent => Holder::Spent,
            Place::Lapsed => Holder::Lapsed,
        }
    }

    /// Room: what a run used of leased room is used at the account; what was used past it counts there too.
    fn absorb_caps(&self, sidecar: SidecarId, run: &RunEvent, effects: &mut Effects) {
        let mut left = self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for flow in &run.caps {
            let (from, to) = (self.holder(sidecar, run, flow.from), self.holder(sidecar, run, flow.to));
            let leased = !matches!(flow.key.scope, ScopeKey::Root(_));
            let mut held = Credits::ZERO;
            let mut spent = Credits::ZERO;
            match from {
                Holder::Lease if leased && to != Holder::Lease => {
                    let part = take(&mut left, &flow.key, flow.amount);
                    effects.room.push((flow.key.clone(), -part));
                    held -= part;
                }
                Holder::Run => held -= flow.amount,
                Holder::Spent => spent -= flow.amount,
                _ => {}
            }
            match to {
                Holder::Lease if leased && from != Holder::Lease => {
                    if self.account.leases.contains_key(&sidecar) {
                        effects.room.push((flow.key.clone(), flow.amount));
                        *left.entry(flow.key.clone()).or_default() += flow.amount;
                        held += flow.amount;
                    }
                }
                Holder::Run => held += flow.amount,
                Holder::Spent => spent += flow.amount,
                _ => {}
            }
            if !held.is_zero() || !spent.is_zero() {
                effects.counters.push((flow.key.clone(), held, spent));
            }
        }
    }

    fn absorb_returned(&self, sidecar: SidecarId, returned: &Returned) -> Effects {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        for (block, amount) in &returned.slices {
            let part = take(&mut left, block, *amount);
            if part.is_positive() {
                let step = Move { block: *block, from: Column::Held, to: Column::Available, amount: part };
                effects.moves.push(step);
                effects.lease.push((*block, -part));
            }
        }
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for (key, amount) in &returned.rooms {
            let part = take(&mut rooms, key, *amount);
            if part.is_positive() {
                effects.room.push((key.clone(), -part));
                effects.counters.push((key.clone(), -part, Credits::ZERO));
            }
        }
        effects
    }

    /// What is sealed stays held, but no longer by the lease.
    fn absorb_sealed(&self, sidecar: SidecarId, sealed: &Returned) -> Effects {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        for (block, amount) in &sealed.slices {
            effects.lease.push((*block, -take(&mut left, block, *amount)));
        }
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        for (key, amount) in &sealed.rooms {
            effects.room.push((key.clone(), -take(&mut rooms, key, *amount)));
        }
        effects
    }

    /// Promoted runs: what they hold moves from the lease to the account's own runs.
    fn absorb_promoted(&self, sidecar: SidecarId, runs: Vec<Reservation>) -> (WalletEvent, Effects) {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        let mut taken: BTreeMap<BlockId, Credits> = BTreeMap::new();
        let mut promoted = Vec::new();
        for mut run in runs {
            if self.account.book.runs.contains_key(&run.id) || self.account.book.finals.contains_key(&run.id)
            {
                continue;
            }
            let mut missing = Credits::ZERO;
            let mut held: Vec<Draw> = Vec::new();
            for draw in &run.held {
                let part = take(&mut left, &draw.block, draw.amount);
                effects.lease.push((draw.block, -part));
                missing += draw.amount - part;
                if part.is_positive() {
                    held.push(Draw { amount: part, ..*draw });
                }
            }
            // The lease was reclaimed meanwhile: the run is held anew, as far as there are credits.
            for draw in self.hold_anew(missing, &mut taken) {
                let step = Move {
                    block: draw.block,
                    from: Column::Available,
                    to: Column::Held,
                    amount: draw.amount,
                };
                effects.moves.push(step);
                hold::add(&mut held, draw);
            }
            run.held = held;
            for counter in &run.caps {
                let leased = !matches!(counter.key.scope, ScopeKey::Root(_));
                let part = if leased { take(&mut rooms, &counter.key, counter.held) } else { Credits::ZERO };
                if part.is_positive() {
                    effects.room.push((counter.key.clone(), -part));
                }
                // Room that no lease held (a root's own budget) is held from here on.
                effects.counters.push((counter.key.clone(), counter.held - part, Credits::ZERO));
            }
            promoted.push(run);
        }
        (WalletEvent::Promoted(promoted), effects)
    }

    fn hold_anew(&self, amount: Credits, taken: &mut BTreeMap<BlockId, Credits>) -> Vec<Draw> {
        if !amount.is_positive() {
            return Vec::new();
        }
        let already: Credits = taken.values().copied().sum();
        let limits = Limits { at: self.at, basic: true, overage: None };
        let all = draw::draw(&self.account.book.pools, PATH, amount + already, limits).draws;
        let (before, _) = hold::first(&all, already);
        let mut rest = all;
        for draw in &before {
            hold::remove(&mut rest, draw);
        }
        for draw in &rest {
            *taken.entry(draw.block).or_default() += draw.amount;
        }
        rest
    }

    /// A call that was answered `ACCEPTED`: settled now. Where the run was settled meanwhile, the settler's word stands.
    fn passed_on(&mut self, passed: &Passed) {
        let Some(handle) = self.open_handle(&passed.handle) else { return };
        let _ = match &passed.commit {
            PassedCall::Commit { result, quantities, completion, verified, request_id } => self.commit(
                &crate::engine::Commit {
                    id: handle.id,
                    result: *result,
                    quantities: quantities.clone(),
                    completion: *completion,
                    verified: *verified,
                    request_id: request_id.clone(),
                },
                Some(&handle),
            ),
            PassedCall::Release => self.release(&crate::engine::Release { id: handle.id }, Some(&handle)),
        };
    }

    fn out(&self, sidecar: SidecarId) -> BTreeMap<BlockId, Credits> {
        self.account.leases.get(&sidecar).map(|lease: &Lease| lease.out.clone()).unwrap_or_default()
    }
}

fn moved(draw: &Draw, from: Column, to: Column) -> Move {
    Move { block: draw.block, from, to, amount: draw.amount }
}

/// Takes up to `amount` of what a map has left; answers how much.
fn take<K: Ord + Clone>(left: &mut BTreeMap<K, Credits>, key: &K, amount: Credits) -> Credits {
    let have = left.get(key).copied().unwrap_or_default();
    let part = have.min(amount);
    if part.is_positive() {
        left.insert(key.clone(), have - part);
    }
    part
}
