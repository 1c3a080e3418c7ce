//! A sidecar's record of a run: what it spent of its lease is spent here, what it could not have from there is drawn anew.

use std::collections::BTreeMap;

use super::absorb::{moved, take};
use super::entry::{Booked, Effects};
use super::work::Work;
use crate::credit::draw::{self, Emergency, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::settle::PATH;
use crate::credit::{Change, Column, Final, Flow, Place, Reservation, RunEvent, State};
use crate::engine::commit::late_caps;
use crate::lease::WalletEvent;
use crate::lease::recount::charges;
use crate::types::{BlockId, Credits, ReservationId, SidecarId};

/// Who holds credits of a flow, seen from the account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// The lease: idle there, or in a run that only the sidecar knows.
    Lease,
    /// A run that this sidecar promoted.
    Run(ReservationId),
    Spent,
    Lapsed,
    /// Nobody: the account ended a run that its sidecar was handing over, and freed what it held.
    Nobody,
}

/// What the lease and the promoted runs still hold while the flows of one record are read.
struct Purse {
    lease: BTreeMap<BlockId, Credits>,
    runs: BTreeMap<ReservationId, Vec<Draw>>,
    /// What the run was charged so far, by the blocks that paid in fact.
    spent: Vec<Draw>,
    /// What its settler reported as charged, and a commit from the handle alone gave back since.
    lowered: Vec<Draw>,
}

impl Purse {
    /// Takes what there is of a flow's amount, from its own block first; answers the parts.
    fn take(&mut self, holder: Holder, flow: &Flow) -> Vec<Draw> {
        let whole = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        match holder {
            Holder::Lapsed => vec![whole],
            Holder::Nobody => Vec::new(),
            Holder::Spent => from(&mut self.spent, whole),
            Holder::Lease => {
                let part = take(&mut self.lease, &flow.block, flow.amount);
                if part.is_positive() { vec![Draw { amount: part, ..whole }] } else { Vec::new() }
            }
            Holder::Run(id) => from(self.runs.entry(id).or_default(), whole),
        }
    }

    fn give(&mut self, holder: Holder, draw: Draw) {
        match holder {
            Holder::Lease => *self.lease.entry(draw.block).or_default() += draw.amount,
            Holder::Run(id) => hold::add(self.runs.entry(id).or_default(), draw),
            Holder::Spent => hold::add(&mut self.spent, draw),
            Holder::Lapsed | Holder::Nobody => {}
        }
    }
}

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
            (Change::Ended(ended), Some(open), _) => self.meets_open(open, ended, &mut effects),
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
    fn meets_open(&self, open: &Reservation, ended: &Final, effects: &mut Effects) {
        if ended.state != State::Settled {
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
        if late {
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
        for flow in late_caps(&frame, ended, amount) {
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
        let (mut booked, lowered) = self.split_booked(sidecar, run.id);
        booked.debt += kept.debt;
        kept.spent.iter().for_each(|draw| hold::add(&mut booked.spent, *draw));
        let known = !booked.spent.is_empty() || !lowered.is_empty();
        let mut purse =
            Purse { lease: self.out(sidecar), runs: BTreeMap::new(), spent: booked.spent, lowered };
        let others = run.flows.iter().flat_map(|flow| [flow.from, flow.to]).filter_map(|place| match place {
            Place::Other(id) => Some(id),
            _ => None,
        });
        for id in others.chain([run.id]).filter(|id| self.account.owners.get(id) == Some(&sidecar)) {
            let held = self.account.book.runs.get(&id).map(|run| run.held.clone());
            purse.runs.insert(id, held.unwrap_or_default());
        }
        let mut late = Credits::ZERO;
        let mut flows = Vec::with_capacity(run.flows.len());
        for flow in &run.flows {
            late +=
                self.follow_flow(sidecar, &run, flow, booked.debt, (&mut purse, &mut flows, &mut effects));
        }
        run.flows = flows;
        effects.charged = beyond(named, charges(&run));
        self.absorb_caps(sidecar, &run, &mut effects);
        if matches!(run.change, Change::Ended(_)) {
            // Its settler's word charges it again.
            late += hold::total(&purse.lowered);
        }
        if late.is_positive() {
            self.draw_late(late, &mut purse.spent, &mut effects);
        }
        let own = self.account.owners.get(&run.id) == Some(&sidecar);
        if matches!(run.change, Change::Progressed { .. })
            && !own
            && (known || !purse.spent.is_empty() || !effects.debt.is_zero())
        {
            let mut spent = purse.spent.clone();
            purse.lowered.iter().for_each(|draw| hold::add(&mut spent, *draw));
            effects.booked = Some((run.id, Booked { spent, debt: booked.debt + effects.debt }));
        }
        if let Change::Ended(ended) = &mut run.change {
            // The account's books say which blocks paid in fact.
            ended.debt = (booked.debt + effects.debt).or_zero();
            ended.spent = purse.spent;
            // What the account holds for it beyond what its sidecar knew goes back.
            for draw in purse.runs.remove(&run.id).unwrap_or_default() {
                effects.moves.push(moved(&draw, Column::Held, Column::Available));
            }
            effects.ended = Some((run.id, ended.clone()));
        }
        if own && matches!(run.change, Change::Ended(_)) {
            self.give_back_room(&run, &mut effects);
        }
        (WalletEvent::Run(run), effects)
    }

    /// Credits of one flow change hands, as far as the account's books have them where the sidecar believes them. Answers
    /// what was spent beyond that. `owed`: of the run's charge so far, by the books.
    fn follow_flow(
        &self,
        sidecar: SidecarId,
        run: &RunEvent,
        flow: &Flow,
        owed: Credits,
        (purse, flows, effects): (&mut Purse, &mut Vec<Flow>, &mut Effects),
    ) -> Credits {
        let (from, to) = (self.holder(sidecar, run, flow.from), self.holder(sidecar, run, flow.to));
        if from == to {
            return Credits::ZERO;
        }
        let has_lease = self.account.leases.contains_key(&sidecar);
        let leased = has_lease && !(run.handing && flow.to == Place::Free);
        let rest = if from == Holder::Spent {
            let given = self.give_again(flow, purse, to, leased, effects);
            Flow { amount: flow.amount - given, ..*flow }
        } else {
            *flow
        };
        let parts = purse.take(from, &rest);
        let late = if to == Holder::Spent { flow.amount - hold::total(&parts) } else { Credits::ZERO };
        if from == Holder::Spent {
            // What no block could pay when it was reported is owed no more.
            let unpaid = rest.amount - hold::total(&parts);
            effects.debt -= unpaid.min((owed + effects.debt).or_zero());
        }
        for part in parts {
            if from == Holder::Lease {
                effects.lease.push((part.block, -part.amount));
            }
            let column = match to {
                Holder::Lease if !leased => Column::Available,
                to => column(to),
            };
            if to == Holder::Lease && leased {
                effects.lease.push((part.block, part.amount));
            }
            if column != self::column(from) {
                effects.moves.push(moved(&part, self::column(from), column));
            }
            purse.give(to, part);
            flows.push(Flow { block: part.block, species: part.species, amount: part.amount, ..*flow });
        }
        late
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

    /// Use reported after its lease was reclaimed: drawn like a new reservation, as debt where it must be.
    pub(super) fn draw_late(&self, late: Credits, spent: &mut Vec<Draw>, effects: &mut Effects) {
        let limits = Limits { at: self.at, basic: true, overage: None, emergency: Emergency::Never };
        // What the same record took is not there any more.
        let mut pools = self.account.book.pools.clone();
        for step in effects.moves.iter().filter(|step| step.from == Column::Available) {
            let block = pools.iter_mut().find_map(|pool| pool.block_mut(step.block));
            if let Some(block) = block {
                block.available = block.available.saturating_sub(step.amount);
            }
        }
        let drawn = draw::draw(&pools, PATH, late, limits);
        effects.debt += drawn.missing;
        for part in drawn.draws {
            effects.moves.push(moved(&part, Column::Available, Column::Spent));
            hold::add(spent, part);
        }
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

/// Takes a draw out, from its own block first: held anew after a reclaim, a run may hold and have spent other blocks than
/// its sidecar knows.
fn from(draws: &mut Vec<Draw>, whole: Draw) -> Vec<Draw> {
    let missing = hold::remove(draws, &whole);
    let mut parts = Vec::new();
    if whole.amount > missing {
        parts.push(Draw { amount: whole.amount - missing, ..whole });
    }
    for other in hold::last(draws, missing).0 {
        hold::remove(draws, &other);
        parts.push(other);
    }
    parts
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

fn column(holder: Holder) -> Column {
    match holder {
        Holder::Lease | Holder::Run(_) => Column::Held,
        Holder::Spent => Column::Spent,
        Holder::Lapsed => Column::Lapsed,
        Holder::Nobody => Column::Available,
    }
}
