//! A book: the pools, counters and runs of one account. At the ledger it is the whole account, at a sidecar the slice
//! that it leased; the grammar is the same. This file is its single write path.

use std::collections::{BTreeMap, BTreeSet};

use super::block::{Block, Move};
use super::counters::{Counters, Counting};
use super::event::{CapFlow, Change, Flow, Place, RunEvent};
use super::hold::{self, Draw};
use super::pool::{Pool, PoolId, Sorting};
use super::reservation::{Final, Reservation, State};
use super::retry::Chain;
use super::tally::Tally;
use crate::playbook::charge::Quantities;
use crate::types::{BlockId, ById, Credits, Name, ReservationId, Timestamp};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Book {
    pub pools: Vec<Pool>,
    pub(super) tally: Tally,
    pub sorting: Sorting,
    pub counters: Counters,
    /// Open runs. Boxed, as the ended ones: a map of large values moves kilobytes as it grows.
    pub runs: ById<Box<Reservation>>,
    /// Ended runs that are still remembered.
    pub finals: ById<Box<Final>>,
    pub chains: BTreeMap<ReservationId, Chain>,
    /// Blocks that have ended and hold nothing: their totals still count, their credits may come back by a refund.
    pub archive: BTreeMap<BlockId, Block>,
    /// When open runs end.
    pub deadlines: BTreeSet<(Timestamp, ReservationId)>,
    /// What each user's runs spent of overage in this period; kept at the ledger alone.
    pub overage_by: BTreeMap<Name, Credits>,
    /// Until when ended runs are remembered; one that ended more than once stands here as often.
    pub remembered: BTreeSet<(Timestamp, ReservationId)>,
    /// How often more than once.
    again: BTreeMap<ReservationId, u32>,
    /// Descendants of a root, where it has any.
    pub families: BTreeMap<ReservationId, BTreeSet<ReservationId>>,
    /// How many open runs count in the budget of a root that is not theirs: retries, and their children.
    guests: BTreeMap<ReservationId, u32>,
}

impl Book {
    pub fn pool(&self, id: &PoolId) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.id == *id)
    }

    pub fn pool_mut(&mut self, id: &PoolId) -> &mut Pool {
        let index = match self.pools.iter().position(|pool| pool.id == *id) {
            Some(index) => index,
            None => {
                self.pools.push(Pool::new(id.clone()));
                self.pools.len() - 1
            }
        };
        #[expect(clippy::indexing_slicing, reason = "the index was just found or pushed")]
        &mut self.pools[index]
    }

    /// Evolves by what happened to a run, and answers what moved in caps. `keep` says until when an ended run is remembered.
    pub fn apply(&mut self, event: RunEvent, keep: Timestamp, counting: &impl Counting) -> Vec<CapFlow> {
        let RunEvent { id, at, mut change, flows, caps, debt, debt_pool, handing: _ } = event;
        let mut open = None;
        // The run is at hand while it changes: the maps are searched once.
        let mut run = match &mut change {
            Change::Reserved(run) => Some(&mut **run),
            _ => {
                open = self.runs.remove(&id);
                open.as_deref_mut()
            }
        };
        for flow in &flows {
            self.flow(run.as_deref_mut(), flow);
        }
        let mut likely = 0;
        for flow in &caps {
            self.counters.count(flow, at, counting);
            likely = self.cap_flow(run.as_deref_mut(), likely, flow);
        }
        let observed = run.is_some_and(|run| run.observed);
        if !debt.is_zero() {
            let pool = self.pool_mut(&debt_pool);
            pool.debt += debt;
            if observed || matches!(&change, Change::Ended(ended) if ended.observed) {
                pool.observed_debt += debt;
            }
        }
        match (change, open) {
            (Change::Reserved(mut run), _) => {
                run.first = None;
                self.open(run);
            }
            (Change::Progressed { reported, expires_at }, Some(run)) => {
                self.progressed(run, debt, reported, expires_at);
            }
            (Change::Awaiting { asked, reported, until }, Some(mut run)) => {
                run.state = State::AwaitingOutcome;
                run.awaiting = Some(asked);
                self.progressed(run, debt, Some(reported), until);
            }
            (Change::Progressed { .. } | Change::Awaiting { .. }, None) => {}
            (Change::Ended(ended), run) => {
                if let Some(run) = run {
                    self.closed(&run);
                }
                self.remember(id, ended, keep);
            }
        }
        caps
    }

    /// Adds an open run that holds what its fields say.
    pub fn open(&mut self, reservation: impl Into<Box<Reservation>>) {
        let reservation = reservation.into();
        self.deadlines.insert((reservation.expires_at, reservation.id));
        if reservation.root != reservation.id {
            self.families.entry(reservation.root).or_default().insert(reservation.id);
        }
        if reservation.budget != reservation.root {
            *self.guests.entry(reservation.budget).or_default() += 1;
        }
        if let Some(link) = reservation.chain {
            let first = self.finals.get(&link.first).map(|ended| ended.charged());
            let chain = self.chains.entry(link.first).or_default();
            if chain.members.is_empty() {
                chain.note(link.first, first.unwrap_or(link.others));
            }
            chain.note(reservation.id, reservation.charged());
        }
        self.runs.insert(reservation.id, reservation);
    }

    /// Takes an open run out, with what it holds.
    pub fn close(&mut self, id: ReservationId) -> Option<Box<Reservation>> {
        let run = self.runs.remove(&id)?;
        self.closed(&run);
        Some(run)
    }

    /// Forgets the places of a run that was taken out.
    fn closed(&mut self, run: &Reservation) {
        self.deadlines.remove(&(run.expires_at, run.id));
        if run.root != run.id
            && let Some(family) = self.families.get_mut(&run.root)
        {
            family.remove(&run.id);
            if family.is_empty() {
                self.families.remove(&run.root);
                self.forget_budget(run.root);
            }
        }
        if run.budget != run.root
            && let Some(guests) = self.guests.get_mut(&run.budget)
        {
            *guests -= 1;
            if *guests == 0 {
                self.guests.remove(&run.budget);
                self.forget_budget(run.budget);
            }
        }
    }

    /// Forgets a root's budget, unless somebody may still count in it.
    pub fn forget_budget(&mut self, root: ReservationId) {
        let known = self.runs.contains_key(&root)
            || self.finals.contains_key(&root)
            || self.families.contains_key(&root)
            || self.guests.contains_key(&root);
        if !known {
            self.counters.forget_root(root);
        }
    }

    /// Open runs of a family: the root, if open, and its open descendants.
    pub fn family(&self, root: ReservationId) -> Vec<ReservationId> {
        let descendants = self.families.get(&root).into_iter().flatten().copied();
        self.runs.get(&root).map(|run| run.id).into_iter().chain(descendants).collect()
    }

    /// The open ancestors of a run, the nearest first.
    pub fn ancestors(&self, parent: Option<ReservationId>) -> Vec<&Reservation> {
        let mut found = Vec::new();
        let mut next = parent;
        while let Some(id) = next {
            if let Some(run) = self.runs.get(&id) {
                found.push(&**run);
                next = run.run.parent;
            } else {
                next = self.finals.get(&id).and_then(|ended| ended.run.parent);
            }
            if found.len() > super::settle::DEPTH_MAX {
                break;
            }
        }
        found
    }

    /// Remembers how a run ended.
    pub fn remember(&mut self, id: ReservationId, ended: impl Into<Box<Final>>, keep: Timestamp) {
        let ended = ended.into();
        let first = ended.chain.map_or(id, |link| link.first);
        if let Some(chain) = self.chains.get_mut(&first) {
            chain.note(id, ended.charged());
        }
        let known = self.finals.insert(id, ended).is_some();
        if self.remembered.insert((keep, id)) && known {
            *self.again.entry(id).or_default() += 1;
        }
    }

    /// Forgets ended runs whose time is over, and all but the `most` that end last.
    pub fn forget(&mut self, at: Timestamp, most: usize) {
        while let Some((until, id)) = self.remembered.first().copied() {
            if until > at && self.finals.len() <= most {
                break;
            }
            self.remembered.pop_first();
            if self.stands_again(id) {
                continue;
            }
            if let Some(ended) = self.finals.remove(&id) {
                let first = ended.chain.map_or(id, |link| link.first);
                let open = self.chains.get(&first).is_some_and(|chain| {
                    chain
                        .members
                        .iter()
                        .any(|(m, _)| self.runs.contains_key(m) || self.finals.contains_key(m))
                });
                if !open {
                    self.chains.remove(&first);
                }
                self.forget_budget(id);
            }
        }
    }

    /// Whether another time of this run is among the remembered ones, which then counts for it.
    fn stands_again(&mut self, id: ReservationId) -> bool {
        let Some(more) = self.again.get_mut(&id) else { return false };
        *more -= 1;
        if *more == 0 {
            self.again.remove(&id);
        }
        true
    }

    fn flow(&mut self, mut run: Option<&mut Reservation>, flow: &Flow) {
        let draw = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        if let Some(held) = self.draws(run.as_deref_mut(), flow.from) {
            hold::remove(held, &draw);
        }
        if let Some(held) = self.draws(run, flow.to) {
            hold::add(held, draw);
        }
        let (from, to) = (flow.from.column(), flow.to.column());
        if from != to {
            self.shift(&Move { block: flow.block, from, to, amount: flow.amount });
        }
    }

    fn draws<'a>(&'a mut self, run: Option<&'a mut Reservation>, place: Place) -> Option<&'a mut Vec<Draw>> {
        match place {
            Place::Held => run.map(Reservation::held_mut),
            Place::Spent => run.map(|run| &mut run.spent),
            Place::Other(other) => self.runs.get_mut(&other).map(|run| run.held_mut()),
            Place::Free | Place::Lapsed => None,
        }
    }

    /// Room that the run holds or has used. Answers where among its holds that was.
    fn cap_flow(&mut self, mut run: Option<&mut Reservation>, mut likely: usize, flow: &CapFlow) -> usize {
        for (place, sign) in [(flow.from, -flow.amount), (flow.to, flow.amount)] {
            let (owner, spent) = match place {
                Place::Held => (run.as_deref_mut(), false),
                Place::Spent => (run.as_deref_mut(), true),
                Place::Other(other) => (self.runs.get_mut(&other).map(|run| &mut **run), false),
                Place::Free | Place::Lapsed => continue,
            };
            if let Some(run) = owner {
                likely = run.hold_of(&flow.key, likely);
                if let Some(hold) = run.caps.get_mut(likely) {
                    *(if spent { &mut hold.spent } else { &mut hold.held }) += sign;
                }
            }
        }
        likely
    }

    fn progressed(
        &mut self,
        mut run: Box<Reservation>,
        debt: Credits,
        reported: Option<Quantities>,
        expires_at: Timestamp,
    ) {
        run.debt += debt;
        if reported.is_some() {
            run.reported = reported;
        }
        if run.expires_at != expires_at {
            self.deadlines.remove(&(run.expires_at, run.id));
            run.expires_at = expires_at;
            self.deadlines.insert((expires_at, run.id));
        }
        let first = run.chain.map_or(run.id, |link| link.first);
        if let Some(chain) = self.chains.get_mut(&first) {
            chain.note(run.id, run.charged());
        }
        self.runs.insert(run.id, run);
    }
}
