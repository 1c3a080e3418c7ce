//! A settler's word on a run that was settled from its handle alone while the settler was silent. At every step what the
//! blocks spent for the run is the charge that the account remembers of it.

use super::entry::{Booked, Effects};
use super::work::Work;
use crate::credit::hold::{self, Draw};
use crate::credit::{Change, Column, Final, Flow, Place, RunEvent, State};
use crate::types::{Credits, ReservationId, SidecarId};

impl Work<'_> {
    /// What was settled from its handle alone, while its settler was silent: the settler's word replaces it, but for a
    /// release or a lapse, after which a commit counts.
    pub(super) fn settlers_word(
        &self,
        sidecar: SidecarId,
        id: ReservationId,
        before: &Final,
        effects: &mut Effects,
    ) {
        let Some((_, mut ended)) = effects.ended.take() else { return };
        let (kept, _) = self.split_booked(sidecar, id);
        let (stands, goes) = if before.state == State::Settled && ended.state != State::Settled {
            (before, &*ended)
        } else {
            (&*ended, before)
        };
        // What its settler had reported so far is part of both.
        let mut more = goes.spent.clone();
        let missing: Credits = kept.spent.iter().map(|draw| hold::remove(&mut more, draw)).sum();
        let owed = goes.debt - kept.debt;
        self.give_back_charge(&more, owed, effects);
        self.uncount(goes, hold::total(&more) + owed, effects);
        let mut stands = stands.clone();
        if missing.is_positive() {
            // It was charged less than that meanwhile.
            let (lowered, _) = hold::last(&stands.spent, missing);
            for draw in &lowered {
                hold::remove(&mut stands.spent, draw);
            }
            let debt = effects.debt;
            let path = self.path(&stands.run.subject);
            let drawn = self.draw_late(&path, missing, effects);
            drawn.into_iter().for_each(|draw| hold::add(&mut stands.spent, draw));
            stands.debt += effects.debt - debt;
        }
        stands.provisional = None;
        *ended = stands;
        effects.ended = Some((id, ended));
    }

    /// Progress that was acknowledged before the run was settled elsewhere, and is heard after: part of that charge, which
    /// it neither raises nor lowers where it fits in.
    pub(super) fn late_progress(
        &self,
        sidecar: SidecarId,
        id: ReservationId,
        before: &Final,
        effects: &mut Effects,
    ) {
        let (kept, _) = self.split_booked(sidecar, id);
        let (mut own, mut known) = (before.spent.clone(), before.clone());
        for draw in &kept.spent {
            hold::remove(&mut own, draw);
        }
        let (mut more, mut less) = (effects.debt, Credits::ZERO);
        known.debt += effects.debt;
        for step in &effects.moves {
            let Some(block) = self.account.book.block(step.block) else { continue };
            let draw = Draw { block: step.block, species: block.species, amount: step.amount };
            if step.from == Column::Spent {
                hold::remove(&mut known.spent, &draw);
                less += step.amount;
            } else if step.to == Column::Spent {
                hold::add(&mut known.spent, draw);
                more += step.amount;
            }
        }
        if less > more {
            let debt = effects.debt;
            let path = self.path(&known.run.subject);
            let drawn = self.draw_late(&path, less - more, effects);
            drawn.into_iter().for_each(|draw| hold::add(&mut known.spent, draw));
            known.debt += effects.debt - debt;
        } else {
            let again = more - less;
            let owed = again.min(before.debt - kept.debt);
            let (twice, _) = hold::last(&own, again - owed);
            for draw in &twice {
                hold::remove(&mut known.spent, draw);
            }
            known.debt -= owed;
            self.give_back_charge(&twice, owed, effects);
            self.uncount(before, hold::total(&twice) + owed, effects);
        }
        effects.ended = Some((id, Box::new(known)));
    }

    /// What its sidecar's progress had charged of a run that lapsed or was released at the account meanwhile: a commit that
    /// the sidecar acknowledged before it heard of that raises or lowers this.
    pub(super) fn progress_kept(&self, sidecar: SidecarId, run: &RunEvent) -> Booked {
        let Change::Ended(ended) = &run.change else { return Booked::default() };
        let Some(before) = self.account.book.finals.get(&run.id) else { return Booked::default() };
        let late = matches!(before.state, State::Lapsed | State::Released) && ended.state == State::Settled;
        // What a refund gave back is part of no charge any more.
        if !late || before.provisional.is_some() || before.refunded.is_some() {
            return Booked::default();
        }
        let heard_since = self.booked(sidecar, run.id).total();
        let sum = |is: fn(&Flow) -> bool| -> Credits {
            run.flows.iter().filter(|flow| is(flow)).map(|flow| flow.amount).sum()
        };
        let charged = run.debt + sum(|flow| flow.to == Place::Spent) - sum(|flow| flow.from == Place::Spent);
        let (spent, missing) =
            hold::first(&before.spent, (ended.charged() - charged - heard_since).or_zero());
        Booked { spent, debt: missing.min(before.debt) }
    }

    /// What a sidecar reported as charged for a run that was settled in its silence, or not at all: what of it is still part
    /// of that charge, and what was given back since.
    pub(super) fn split_booked(&self, sidecar: SidecarId, id: ReservationId) -> (Booked, Vec<Draw>) {
        let booked = self.booked(sidecar, id);
        let before = self.account.book.finals.get(&id).filter(|ended| ended.provisional == Some(sidecar));
        let Some(before) = before else { return (booked, Vec::new()) };
        let (mut charged, mut kept, mut lowered) = (before.spent.clone(), Vec::new(), Vec::new());
        for draw in booked.spent {
            let missing = hold::remove(&mut charged, &draw);
            if draw.amount > missing {
                kept.push(Draw { amount: draw.amount - missing, ..draw });
            }
            if missing.is_positive() {
                lowered.push(Draw { amount: missing, ..draw });
            }
        }
        (Booked { spent: kept, debt: booked.debt }, lowered)
    }
}
