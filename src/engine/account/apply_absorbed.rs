//! How the account evolves by a sidecar's record.

use std::collections::BTreeSet;

use super::apply::arrival;
use super::entry::{Absorbed, Effects, Entry};
use super::state::{Account, Seal};
use crate::credit::{Change, Place, PoolId, RunEvent};
use crate::lease::WalletEvent;
use crate::lease::recount::charges;
use crate::types::{Length, Name, ReservationId, SidecarId, Timestamp};

/// A seal ends after so long: nothing is stranded by it for longer.
const SEAL: Length = Length::hours(1);

impl Account {
    pub(super) fn absorb(&mut self, absorbed: &Absorbed, entry: &Entry) {
        let at = entry.at;
        let Absorbed { sidecar, epoch, number, event, effects } = absorbed;
        let seen = self.sidecars.entry(*sidecar).or_default();
        seen.number = *number;
        seen.starts(*epoch);
        // What an earlier start says of its end does not concern what a later one has since.
        let current = seen.epoch == *epoch;
        if let (WalletEvent::Left(left), true) = (event, current) {
            seen.asked = seen.asked.max(left.asked);
        }
        if let WalletEvent::Run(run) = event {
            let charged = self.charged.entry(*sidecar).or_default();
            charged.book(charges(run).chain(effects.charged.iter().copied()));
        }
        match event {
            WalletEvent::Run(run) => self.follow(*sidecar, run),
            WalletEvent::LeaseOver(lease) => self.lease_over(*sidecar, *lease),
            WalletEvent::Promoted(runs) => {
                for (index, run) in runs.iter().enumerate() {
                    self.owners.insert(run.id, *sidecar);
                    self.arrivals.insert(run.id, arrival(entry.number, index));
                    self.book.open(run.clone());
                }
            }
            WalletEvent::Sealed(_) => self.seals.push(Seal {
                sidecar: *sidecar,
                slices: effects.lease.iter().map(|(block, amount)| (*block, -*amount)).collect(),
                rooms: effects.room.iter().map(|(key, amount)| (key.clone(), -*amount)).collect(),
                until: at.plus_micros(SEAL.approximate_micros()),
            }),
            _ => {}
        }
        self.rebook(*sidecar, event, effects);
        let user = self.user_in(event, effects);
        for step in &effects.moves {
            self.shift_for(*step, user.as_ref());
        }
        for (key, held, spent) in &effects.counters {
            self.count(key, *held, *spent, at);
        }
        self.change_out(*sidecar, &effects.lease, &effects.room);
        if current {
            // After the lease has changed: it sees what that still holds.
            self.end_of_start(*sidecar, event);
        }
        if let Some((id, ended)) = &effects.ended {
            self.book.close(*id);
            self.owners.remove(id);
            self.arrivals.remove(id);
            self.remember(*id, ended, at);
        }
        if !effects.debt.is_zero() {
            let observed = match event {
                WalletEvent::Run(RunEvent { change: Change::Ended(ended), .. }) => ended.observed,
                WalletEvent::Run(run) => self.book.runs.get(&run.id).is_some_and(|run| run.observed),
                _ => false,
            };
            let pool = effects.debt_pool.clone().unwrap_or(PoolId::Account);
            self.owe(&pool, effects.debt, observed);
        }
    }

    /// Whose run a record is about.
    fn user_in(&self, event: &WalletEvent, effects: &Effects) -> Option<Name> {
        let WalletEvent::Run(run) = event else { return None };
        let ended = effects.ended.as_ref();
        self.user_of(run.id).or_else(|| ended.and_then(|(_, ended)| ended.run.subject.user.clone()))
    }

    /// What was booked for runs that are open at their sidecar alone.
    fn rebook(&mut self, sidecar: SidecarId, event: &WalletEvent, effects: &Effects) {
        match &effects.booked {
            Some((id, draws)) => {
                self.booked.insert((sidecar, *id), draws.clone());
            }
            None => {
                if let WalletEvent::Run(run) = event {
                    self.booked.remove(&(sidecar, run.id));
                }
            }
        }
        for id in &effects.superseded {
            self.booked.remove(&(sidecar, *id));
        }
        if let WalletEvent::Promoted(runs) = event {
            for run in runs {
                self.booked.remove(&(sidecar, run.id));
            }
        }
    }

    /// A clean stop, or the start after an unclean one.
    fn end_of_start(&mut self, sidecar: SidecarId, event: &WalletEvent) {
        match event {
            WalletEvent::Left(_) => {
                if let Some(lease) = self.leases.get(&sidecar).map(|lease| lease.id) {
                    self.lease_over(sidecar, lease);
                }
                self.settles_no_more(sidecar, &[], Timestamp::from_micros(i64::MAX));
            }
            WalletEvent::Resumed(open, since) => self.settles_no_more(sidecar, open, *since),
            _ => {}
        }
    }

    /// No word of a sidecar is to come about runs authorised before `since` other than these: what was settled in its silence
    /// is final.
    fn settles_no_more(&mut self, sidecar: SidecarId, but: &[ReservationId], since: Timestamp) {
        let booked = &mut self.booked;
        self.book.finals.for_each_mut(|id, ended| {
            let before = ended.authorized_at < since;
            if ended.provisional == Some(sidecar) && before && !but.contains(id) {
                ended.provisional = None;
                booked.remove(&(sidecar, *id));
            }
        });
    }

    /// What a record of a run changes in runs that the account already holds: those that this sidecar promoted, be it this
    /// run or the one that it lives in.
    fn follow(&mut self, sidecar: SidecarId, event: &RunEvent) {
        let promoted: BTreeSet<ReservationId> = [event.id]
            .into_iter()
            .chain(event.flows.iter().flat_map(|flow| [flow.from, flow.to]).filter_map(other))
            .chain(event.caps.iter().flat_map(|flow| [flow.from, flow.to]).filter_map(other))
            .filter(|id| self.owners.get(id) == Some(&sidecar))
            .collect();
        let own = promoted.contains(&event.id);
        let draws = |place: Place| match place {
            Place::Held => Some(event.id),
            place => other(place),
        };
        let draws = |place: Place| draws(place).filter(|id| promoted.contains(id));
        for flow in &event.flows {
            let draw =
                crate::credit::hold::Draw { block: flow.block, species: flow.species, amount: flow.amount };
            if let Some(run) = draws(flow.from).and_then(|id| self.book.runs.get_mut(&id)) {
                crate::credit::hold::remove(run.held_mut(), &draw);
            }
            if let Some(run) = draws(flow.to).and_then(|id| self.book.runs.get_mut(&id)) {
                crate::credit::hold::add(run.held_mut(), draw);
            }
            if let Some(run) = self.book.runs.get_mut(&event.id).filter(|_| own) {
                if flow.from == Place::Spent {
                    crate::credit::hold::remove(&mut run.spent, &draw);
                }
                if flow.to == Place::Spent {
                    crate::credit::hold::add(&mut run.spent, draw);
                }
            }
        }
        for flow in &event.caps {
            for (place, sign) in [(flow.from, -flow.amount), (flow.to, flow.amount)] {
                let (owner, spent) = match place {
                    Place::Held => (event.id, false),
                    Place::Spent => (event.id, true),
                    Place::Other(id) => (id, false),
                    Place::Free | Place::Lapsed => continue,
                };
                let run = self.book.runs.get_mut(&owner).filter(|_| promoted.contains(&owner));
                if let Some(hold) = run.and_then(|run| run.caps.iter_mut().find(|hold| hold.key == flow.key))
                {
                    *(if spent { &mut hold.spent } else { &mut hold.held }) += sign;
                }
            }
        }
        if let Change::Progressed { reported, expires_at } = &event.change
            && own
            && let Some(run) = self.book.close(event.id)
        {
            self.book.open(crate::credit::Reservation {
                reported: reported.clone().or(run.reported),
                expires_at: *expires_at,
                debt: run.debt + event.debt,
                ..*run
            });
        }
    }
}

fn other(place: Place) -> Option<ReservationId> {
    match place {
        Place::Other(id) => Some(id),
        _ => None,
    }
}
