//! Promoted runs: from the acknowledgement on the account itself holds them.

use std::collections::BTreeMap;

use super::absorb::{moved, take, take_along};
use super::entry::Effects;
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::{CapKey, Column, Move, Reservation, ScopeKey, Subject};
use crate::lease::WalletEvent;
use crate::types::{BlockId, Credits, SidecarId};

impl Work<'_> {
    /// Promoted runs: what they hold moves from the lease to the account's own runs.
    pub(super) fn absorb_promoted(
        &self,
        sidecar: SidecarId,
        runs: Vec<Reservation>,
    ) -> (WalletEvent, Effects) {
        let mut effects = Effects::default();
        let mut left = self.out(sidecar);
        let mut rooms =
            self.account.leases.get(&sidecar).map(|lease| lease.rooms.clone()).unwrap_or_default();
        let mut taken: BTreeMap<BlockId, Credits> = BTreeMap::new();
        let mut promoted = Vec::new();
        for mut run in runs {
            if self.account.book.runs.contains_key(&run.id) || self.account.book.finals.contains_key(&run.id)
            {
                self.superseded_hold(sidecar, &run, (&mut left, &mut rooms), &mut effects);
                continue;
            }
            let mut missing = Credits::ZERO;
            let mut held: Vec<Draw> = Vec::new();
            for draw in &run.held {
                let mut lacks = draw.amount;
                for (block, part) in take_along(&mut left, &self.account.line(draw.block), draw.amount) {
                    effects.lease.push((block, -part));
                    lacks -= part;
                    let species = self.account.book.block(block).map_or(draw.species, |b| b.species);
                    held.push(Draw { block, species, amount: part });
                }
                missing += lacks;
            }
            // The lease was reclaimed meanwhile: the run is held anew, as far as there are credits.
            for draw in self.hold_anew(&run.run.subject, missing, &mut taken) {
                let step = Move {
                    block: draw.block,
                    from: Column::Available,
                    to: Column::Held,
                    amount: draw.amount,
                };
                effects.moves.push(step);
                hold::add(&mut held, draw);
            }
            *run.held_mut() = held;
            if let Some(booked) = self.account.booked.get(&(sidecar, run.id)) {
                run.spent = booked.spent.clone();
                run.debt = booked.debt;
            }
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

    fn hold_anew(
        &self,
        subject: &Subject,
        amount: Credits,
        taken: &mut BTreeMap<BlockId, Credits>,
    ) -> Vec<Draw> {
        if !amount.is_positive() {
            return Vec::new();
        }
        let already: Credits = taken.values().copied().sum();
        let path = self.path(subject);
        let limits = Limits::late(&path, self.at);
        let all = draw::draw(&self.account.book.pools, amount + already, limits).draws;
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

    /// Of two runs under one id the account keeps one; the other's hold and charge go back.
    fn superseded_hold(
        &self,
        sidecar: SidecarId,
        run: &Reservation,
        (left, rooms): (&mut BTreeMap<BlockId, Credits>, &mut BTreeMap<CapKey, Credits>),
        effects: &mut Effects,
    ) {
        // What a settler had reported is part of what was settled in its silence; it may still have its word.
        let ended = self.account.book.finals.get(&run.id);
        let own = ended.is_some_and(|ended| ended.provisional == Some(sidecar));
        if let Some(booked) = self.account.booked.get(&(sidecar, run.id)).filter(|_| !own) {
            self.give_back_charge(&booked.spent, booked.debt, effects);
            effects.superseded.push(run.id);
        }
        for draw in &run.held {
            for (block, part) in self.taken_back(left, draw.block, draw.amount) {
                effects.lease.push((block, -part));
                let given = Draw { block, amount: part, ..*draw };
                effects.moves.push(moved(&given, Column::Held, Column::Available));
            }
        }
        for counter in &run.caps {
            let part = take(rooms, &counter.key, counter.held);
            effects.room.push((counter.key.clone(), -part));
            effects.counters.push((counter.key.clone(), -part, Credits::ZERO));
        }
    }
}
