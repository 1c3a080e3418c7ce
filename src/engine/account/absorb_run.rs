//! A sidecar's record of a run: what it spent of its lease is spent here, what it could not have from there is drawn anew.

use std::collections::BTreeMap;

use super::absorb::moved;
use super::absorb_purse::{Holder, Purse, column};
use super::entry::{Booked, Effects};
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::path::debtor;
use crate::credit::{Change, Column, Final, Flow, Place, PoolId, Reservation, RunEvent, State};
use crate::engine::commit::room_back;
use crate::lease::WalletEvent;
use crate::lease::recount::charges;
use crate::types::{BlockId, Credits, ReservationId, SidecarId};

impl Work<'_> {
    pub(super) fn absorb_run(&self, sidecar: SidecarId, run: RunEvent) -> (WalletEvent, Effects) {
        let kept = self.progress_kept(sidecar, &run);
        let (event, mut effects) = self.absorb_flows(sidecar, run, &kept);
        let WalletEvent::Run(run) = &event else { return (event, effects) };
        if self.account.owners.get(&run.id) == Some(&sidecar) {
            return (event, effects);
        }
        let open = self.account.book.runs.get(&run.id);
        let before = self.account.book.finals.get(&run.id);
        match (&run.change, open, before) {
            (Change::Ended(ended), Some(open), _) => self.meets_open(run.id, open, ended, &mut effects),
            (Change::Ended(_), None, Some(before)) if before.provisional == Some(sidecar) => {
                self.settlers_word(sidecar, run.id, before, &mut effects);
            }
            (Change::Ended(ended), None, Some(before)) => {
                self.meets_final(run, (before, &kept), ended, &mut effects);
            }
            (Change::Progressed { .. }, None, Some(before)) if before.provisional == Some(sidecar) => {
                self.late_progress(sidecar, run.id, before, &mut effects);
            }
            _ => {}
        }
        (event, effects)
    }

    /// Two sidecars held one request: the first commit is the run's, and what the other held and was charged goes back.
    fn meets_open(&self, id: ReservationId, open: &Reservation, ended: &Final, effects: &mut Effects) {
        // Of a hold whose answer was lost on its way, nobody but this caller knows: his release is the run's. A commit
        // counts after it as after any other.
        let unheard = !self.account.owners.contains_key(&id) && open.spent.is_empty() && open.debt.is_zero();
        let released = ended.state == State::Released && unheard;
        if ended.state != State::Settled && !released {
            // The hold that is still open says what the run costs.
            if let Some((_, charged)) = effects.ended.take() {
                self.give_back_charge(&charged.spent, charged.debt, effects);
                self.uncount(&charged, charged.charged(), effects);
            }
            return;
        }
        for draw in &open.held {
            effects.moves.push(moved(draw, Column::Held, Column::Available));
        }
        self.give_back_charge(&open.spent, open.debt, effects);
        for hold in &open.caps {
            effects.counters.push((hold.key.clone(), -hold.held, -hold.spent));
        }
    }

    /// The run was settled, here or by another: that stands, unless it only lapsed or was released.
    fn meets_final(
        &self,
        run: &RunEvent,
        (before, kept): (&Final, &Booked),
        ended: &Final,
        effects: &mut Effects,
    ) {
        let known = effects.ended.take();
        let late = matches!(before.state, State::Lapsed | State::Released) && ended.state == State::Settled;
        // An event's commit only records its result.
        let nothing = known.as_ref().is_none_or(|(_, charged)| charged.charged().is_zero());
        let recorded = nothing && run.flows.is_empty() && run.debt.is_zero() && before.asked.is_none();
        if late && before.refunded.is_some() {
            // A refund closed the run: its result is recorded, and what its sidecar charged goes back.
            if let Some((_, charged)) = known {
                self.give_back_charge(&charged.spent, charged.debt, effects);
                self.uncount(&charged, charged.charged(), effects);
                let (result, asked) = (charged.result, charged.asked.clone());
                let recorded = Final { state: charged.state, result, asked, ..before.clone() };
                effects.ended = Some((run.id, Box::new(recorded)));
            }
        } else if late {
            let (mut more, owed) = (before.spent.clone(), before.debt - kept.debt);
            for draw in &kept.spent {
                hold::remove(&mut more, draw);
            }
            self.give_back_charge(&more, owed, effects);
            self.uncount(before, hold::total(&more) + owed, effects);
            effects.ended = known;
        } else if recorded {
            let known = Final { result: ended.result, asked: ended.asked.clone(), ..before.clone() };
            effects.ended = Some((run.id, Box::new(known)));
        } else if let Some((_, charged)) = known {
            self.give_back_charge(&charged.spent, charged.debt, effects);
            self.uncount(&charged, charged.charged(), effects);
        }
    }

    /// Takes `amount` of a charge that is given back out of the caps that it was counted in.
    pub(super) fn uncount(&self, ended: &Final, amount: Credits, effects: &mut Effects) {
        let Some(frame) = self.frame().filter(|_| amount.is_positive()) else { return };
        for flow in room_back(&frame, ended, amount) {
            effects.counters.push((flow.key, Credits::ZERO, -flow.amount));
        }
    }

    /// Undoes a charge that another replaces.
    pub(super) fn give_back_charge(&self, spent: &[Draw], debt: Credits, effects: &mut Effects) {
        effects.moves.extend(spent.iter().map(|draw| moved(draw, Column::Spent, Column::Available)));
        effects.debt -= debt;
    }

    fn absorb_flows(&self, sidecar: SidecarId, mut run: RunEvent, kept: &Booked) -> (WalletEvent, Effects) {
        let mut effects = Effects { debt: run.debt, ..Effects::default() };
        let named: Vec<(BlockId, Credits)> = charges(&run).collect();
        let path = self.path_of(&run);
        effects.debt_pool = Some(debtor(&path));
        let (mut booked, lowered) = self.split_booked(sidecar, run.id);
        booked.add(kept);
        let known = !booked.spent.is_empty() || !lowered.is_empty();
        let runs = self.promoted_holds(sidecar, &run);
        let mut purse = Purse { lease: self.out(sidecar), runs, spent: booked.spent, lowered };
        let mut late = Credits::ZERO;
        let mut flows = Vec::with_capacity(run.flows.len());
        for flow in &run.flows {
            let (from, to) = (self.holder(sidecar, &run, flow.from), self.holder(sidecar, &run, flow.to));
            if from == to {
                continue;
            }
            let leased =
                self.account.leases.contains_key(&sidecar) && !(run.handing && flow.to == Place::Free);
            let rest = if from == Holder::Spent {
                let given = self.give_again(flow, &mut purse, to, leased, &mut effects);
                Flow { amount: flow.amount - given, ..*flow }
            } else {
                *flow
            };
            // What is spent comes first out of what did not roll over, what is given back out of what did.
            let mut line = self.account.line(flow.block);
            if to == Holder::Lapsed {
                line.reverse();
            }
            let parts = purse.take(from, &rest, &line);
            if to == Holder::Spent {
                late += flow.amount - hold::total(&parts);
            }
            if from == Holder::Spent {
                // What no block could pay when it was reported is owed no more.
                let unpaid = rest.amount - hold::total(&parts);
                effects.debt -= unpaid.min((booked.debt + effects.debt).or_zero());
            }
            for part in parts {
                self.move_part(part, (from, to), leased, &mut purse, &mut effects);
                flows.push(Flow { block: part.block, species: part.species, amount: part.amount, ..*flow });
            }
        }
        run.flows = flows;
        self.absorb_caps(sidecar, &mut run, &mut effects);
        if matches!(run.change, Change::Ended(_)) {
            // Its settler's word charges it again.
            late += hold::total(&purse.lowered);
        }
        let own = self.account.owners.get(&run.id) == Some(&sidecar);
        let drawn = self.draw_late(&path, late, &mut effects);
        drawn.iter().for_each(|draw| hold::add(&mut purse.spent, *draw));
        if matches!(run.change, Change::Progressed { .. }) {
            if own {
                // The account holds the run: what paid in fact is part of its charge so far.
                run.flows.extend(drawn.iter().map(anew));
                run.debt = effects.debt;
            } else if known || !purse.spent.is_empty() || !effects.debt.is_zero() {
                effects.booked = Some((run.id, purse.booked(booked.debt + effects.debt)));
            }
        }
        effects.charged = beyond(named, charges(&run));
        let forgotten = self.is_forgotten(run.id);
        note_end(&mut run, (booked.debt, forgotten), purse, &mut effects);
        if own && matches!(run.change, Change::Ended(_)) {
            self.give_back_room(&run, &mut effects);
        }
        (WalletEvent::Run(run), effects)
    }

    fn is_forgotten(&self, id: ReservationId) -> bool {
        let book = &self.account.book;
        !book.runs.contains_key(&id) && !book.finals.contains_key(&id)
    }

    /// What the promoted runs of a record hold.
    fn promoted_holds(&self, sidecar: SidecarId, run: &RunEvent) -> BTreeMap<ReservationId, Vec<Draw>> {
        let others = run.flows.iter().flat_map(|flow| [flow.from, flow.to]).filter_map(|place| match place {
            Place::Other(id) => Some(id),
            _ => None,
        });
        let own = others.chain([run.id]).filter(|id| self.account.owners.get(id) == Some(&sidecar));
        let held = |id| self.account.book.runs.get(&id).map(|run| run.held.clone()).unwrap_or_default();
        own.map(|id| (id, held(id))).collect()
    }

    /// Part of a flow, as it moves here.
    fn move_part(
        &self,
        part: Draw,
        (from, to): (Holder, Holder),
        leased: bool,
        purse: &mut Purse,
        effects: &mut Effects,
    ) {
        if from == Holder::Lease {
            effects.lease.push((part.block, -part.amount));
        }
        let ended = self.account.book.block(part.block).is_some_and(|b| b.has_ended(self.at));
        let column = match to {
            Holder::Lease if !leased => Column::Available,
            // It ended where its run is settled; here it has rolled over.
            Holder::Lapsed if !ended => Column::Available,
            to => column(to),
        };
        if to == Holder::Lease && leased {
            effects.lease.push((part.block, part.amount));
        }
        if column != self::column(from) {
            effects.moves.push(moved(&part, self::column(from), column));
        }
        purse.give(to, part);
    }

    /// What its settler takes back of a charge that was given back here already: free it is, and where its block still has
    /// it, it is the lease's, as the settler believes. Answers how much of the flow that is.
    fn give_again(
        &self,
        flow: &Flow,
        purse: &mut Purse,
        to: Holder,
        leased: bool,
        effects: &mut Effects,
    ) -> Credits {
        let whole = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        let given = whole.amount - hold::remove(&mut purse.lowered, &whole);
        if to == Holder::Lease && leased {
            let block = self.account.book.block(flow.block);
            let used = effects.moves.iter().filter(|step| step.block == flow.block);
            let used: Credits =
                used.filter(|step| step.from == Column::Available).map(|step| step.amount).sum();
            let free = block.map_or(Credits::ZERO, |block| block.available.saturating_sub(used));
            let part = Draw { amount: given.min(free), ..whole };
            if part.amount.is_positive() {
                effects.lease.push((part.block, part.amount));
                effects.moves.push(moved(&part, Column::Available, Column::Held));
                purse.give(to, part);
            }
        }
        given
    }

    /// Use reported after its lease was reclaimed: drawn like a new reservation, as debt where it must be. Answers what
    /// paid.
    pub(super) fn draw_late(&self, path: &[PoolId], late: Credits, effects: &mut Effects) -> Vec<Draw> {
        if !late.is_positive() {
            return Vec::new();
        }
        // What the same record took is not there any more.
        let mut pools = self.account.book.pools.clone();
        for step in effects.moves.iter().filter(|step| step.from == Column::Available) {
            let block = pools.iter_mut().find_map(|pool| pool.block_mut(step.block));
            if let Some(block) = block {
                block.available = block.available.saturating_sub(step.amount);
            }
        }
        let drawn = draw::draw(&pools, late, Limits::late(path, self.at));
        effects.debt += drawn.missing;
        effects.moves.extend(drawn.draws.iter().map(|part| moved(part, Column::Available, Column::Spent)));
        drawn.draws
    }

    /// What a run that this sidecar settles was charged so far.
    pub(super) fn booked(&self, sidecar: SidecarId, id: ReservationId) -> Booked {
        if self.account.owners.get(&id) == Some(&sidecar) {
            let run = self.account.book.runs.get(&id);
            return run
                .map_or_else(Booked::default, |run| Booked { spent: run.spent.clone(), debt: run.debt });
        }
        self.account.booked.get(&(sidecar, id)).cloned().unwrap_or_default()
    }

    pub(super) fn holder(&self, sidecar: SidecarId, run: &RunEvent, place: Place) -> Holder {
        let own = |id| self.account.owners.get(id) == Some(&sidecar);
        let known = |id| match own(id) {
            true => Holder::Run(*id),
            false if run.handing => Holder::Nobody,
            false => Holder::Lease,
        };
        match place {
            Place::Free => Holder::Lease,
            Place::Held => known(&run.id),
            Place::Other(id) => known(&id),
            Place::Spent => Holder::Spent,
            Place::Lapsed => Holder::Lapsed,
        }
    }
}

/// How a run ended by the account's books: these say which blocks paid in fact. What the account holds for it beyond what
/// its sidecar knew goes back.
fn note_end(run: &mut RunEvent, (owed, forgotten): (Credits, bool), mut purse: Purse, effects: &mut Effects) {
    let Change::Ended(ended) = &mut run.change else { return };
    let told = ended.charged();
    ended.debt = (owed + effects.debt).or_zero();
    ended.spent = purse.spent;
    for draw in purse.runs.remove(&run.id).unwrap_or_default() {
        effects.moves.push(moved(&draw, Column::Held, Column::Available));
    }
    // A result alone, of a run that was charged so long ago that it is forgotten, is no news of its charge.
    let result_alone = run.flows.is_empty() && told.is_positive() && ended.charged().is_zero();
    if !(forgotten && result_alone) {
        effects.ended = Some((run.id, ended.clone()));
    }
}

fn anew(draw: &Draw) -> Flow {
    Flow {
        block: draw.block,
        species: draw.species,
        amount: draw.amount,
        from: Place::Free,
        to: Place::Spent,
    }
}

/// What was named beyond what is shown, by block.
fn beyond(
    named: Vec<(BlockId, Credits)>,
    shown: impl Iterator<Item = (BlockId, Credits)>,
) -> Vec<(BlockId, Credits)> {
    let mut beyond: BTreeMap<BlockId, Credits> = BTreeMap::new();
    for (block, amount) in named.into_iter().chain(shown.map(|(block, amount)| (block, -amount))) {
        *beyond.entry(block).or_default() += amount;
    }
    beyond.into_iter().filter(|(_, amount)| !amount.is_zero()).collect()
}
