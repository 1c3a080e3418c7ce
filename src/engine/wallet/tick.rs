//! What time does to a slice: lapses, promotions, the lease's end and its renewal.

use std::collections::BTreeSet;

use super::state::{FINALS_MAX, Here, Log, Wallet};
use crate::credit::{Block, CapKey, Counter};
use crate::engine::frame::Beyond;
use crate::engine::lapse::lapse;
use crate::lease::{Ask, Left, WalletEvent};
use crate::types::{Credits, LeaseId, ReservationId, Timestamp};

/// Ended runs of which one more that ends lets so many be forgotten.
const FORGOTTEN_MAX: usize = 64;

impl Wallet {
    /// The next instant at which time does something here.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let deadline = self.book.deadlines.first().map(|(at, _)| *at);
        let young = self.young.front().map(|(at, _)| *at);
        let ends = self.book.first_end();
        // At once.
        let refill = (self.refill && self.lease.is_some()).then(Timestamp::default);
        [deadline, young, self.renew_at(), ends, self.carry_at(), refill].into_iter().flatten().min()
    }

    /// Does what is due at `here.at`; answers a request for more time where the lease is worth keeping.
    pub fn tick(&mut self, here: Here<'_>, log: &mut dyn Log) -> Option<Ask> {
        self.lapse_due(here, log);
        self.promote_due(here, log);
        self.promote_carried(here, log);
        self.give_back_ended(here, log);
        self.book.forget(here.at, FINALS_MAX);
        self.handed.retain(|_, until| *until > here.at);
        self.drop_counters(here.at);
        self.near.retain(|key| self.book.counters.contains_key(key));
        self.archive_spent(here.at);
        let lease = self.lease.as_ref()?;
        let (id, until) = (lease.lease, lease.until);
        if until <= here.at {
            self.over(id, here, log);
            return None;
        }
        if self.refill {
            return Some(self.growth(here.at));
        }
        if self.renew_at().is_none_or(|renew| renew > here.at) {
            return None;
        }
        if self.used {
            return Some(self.renewal(here.at));
        }
        // Nobody used it: it goes back, emergency credits too, and the lease ends here.
        self.keep_share(Credits::ZERO, here, log);
        self.over(id, here, log);
        None
    }

    /// Counters that are over: their windows ended, or nothing of them is leased, and no run holds them.
    fn drop_counters(&mut self, at: Timestamp) {
        let over = |_: &CapKey, counter: &Counter| {
            counter.held.is_zero()
                && counter.ends_at.map_or_else(|| counter.leased().is_zero(), |end| end <= at)
        };
        let mut gone: Vec<CapKey> =
            self.book.counters.shared_where(over).map(|(key, _)| key.clone()).collect();
        if gone.is_empty() {
            return;
        }
        // What an open run was charged so far may still come back to it.
        let open: BTreeSet<&CapKey> =
            self.book.runs.values().flat_map(|run| &run.caps).map(|hold| &hold.key).collect();
        gone.retain(|key| !open.contains(key));
        for key in gone {
            self.book.counters.remove(&key);
            self.rest.caps.remove(&key);
        }
    }

    /// The lease ends here: what is idle goes back.
    pub(super) fn over(&mut self, lease: LeaseId, here: Here<'_>, log: &mut dyn Log) {
        self.give_back(here, log);
        self.emit(WalletEvent::LeaseOver(lease), false, here, log);
    }

    /// A clean stop: the account itself holds every open run from here on, and what is idle goes back. `asked` is the
    /// number of the newest ask about the account, 0 where none was sent: grants on their way go back, too.
    pub fn leave(&mut self, asked: u64, here: Here<'_>, log: &mut dyn Log) {
        let open: Vec<_> = self.book.runs.keys().copied().collect();
        for id in &open {
            self.promote(*id, here, log);
        }
        self.give_back(here, log);
        if asked == 0 && self.lease.is_none() && open.is_empty() {
            return;
        }
        let keeps: Vec<_> = self
            .emergency()
            .filter(|block| block.available.is_positive())
            .map(|block| (block.id, block.available))
            .collect();
        self.emit(WalletEvent::Left(Left { asked, keeps }), true, here, log);
    }

    /// The ledger has made everything up to record `number` durable.
    pub fn acknowledged(&mut self, number: u64, here: Here<'_>, log: &mut dyn Log) {
        self.in_touch(here, log);
        while let Some(entry) = self.handing.first_entry() {
            if *entry.key() > number {
                break;
            }
            let roots = entry.remove();
            let ids: Vec<_> = roots.iter().flat_map(|root| self.book.family(*root)).collect();
            if !ids.is_empty() {
                self.emit(WalletEvent::HandedOver(ids), false, here, log);
            }
            for root in roots {
                self.handing_roots.remove(&root);
            }
        }
    }

    fn lapse_due(&mut self, here: Here<'_>, log: &mut dyn Log) {
        loop {
            let Some(event) = self.frame(here, Beyond::Asked(&self.rest)).and_then(|frame| lapse(&frame))
            else {
                return;
            };
            self.emit(WalletEvent::Run(event), false, here, log);
            self.tidy(here, log);
        }
    }

    fn promote_due(&mut self, here: Here<'_>, log: &mut dyn Log) {
        while let Some((due, id)) = self.young.front().copied() {
            if due > here.at {
                return;
            }
            self.young.pop_front();
            self.promote(id, here, log);
        }
    }

    /// Forgets of ended runs when their minute would have been over: that time does nothing then. Those behind an open one wait
    /// for its end, and no moment pays for all of them.
    pub(super) fn forget_young(&mut self) {
        for _ in 0..FORGOTTEN_MAX {
            match self.young.front() {
                Some((_, id)) if !self.book.runs.contains_key(id) => self.young.pop_front(),
                _ => return,
            };
        }
    }

    /// When runs that hold what ends with the period are to be promoted.
    fn carry_at(&self) -> Option<Timestamp> {
        let contract = self.contract.as_ref().filter(|contract| contract.plan.carries_over())?;
        if self.carried == Some(contract.period_ends) { self.uncarried } else { Some(self.carry_from) }
    }

    /// Before a period's end the account must know, run by run, who holds what: it rolls over with its hold, or comes off
    /// the next allowance.
    fn promote_carried(&mut self, here: Here<'_>, log: &mut dyn Log) {
        if self.carry_at().is_none_or(|due| due > here.at) {
            return;
        }
        let Some(end) = self.contract.as_ref().map(|contract| contract.period_ends) else { return };
        (self.carried, self.uncarried) = (Some(end), None);
        let ends = |id| self.book.block(id).is_some_and(|block: &Block| block.expires_at == Some(end));
        let holds = |id: &ReservationId| {
            self.book.runs.get(id).is_some_and(|run| run.held.iter().any(|draw| ends(draw.block)))
        };
        let young: Vec<ReservationId> = self.young.iter().map(|(_, id)| *id).filter(holds).collect();
        let known: BTreeSet<ReservationId> = young.iter().copied().collect();
        let mut old: Vec<_> = self.book.runs.values().map(|run| (run.authorized_at, run.id)).collect();
        old.retain(|(_, id)| !known.contains(id) && holds(id));
        old.sort();
        // The older first; of the young ones it is known in which order they came.
        for id in old.into_iter().map(|(_, id)| id).chain(young) {
            self.promote(id, here, log);
        }
    }

    fn archive_spent(&mut self, at: Timestamp) {
        self.book.archive(at);
        // A slice has no refunds to serve: what is used up and settled is the ledger's to remember.
        self.book
            .archive
            .retain(|id, _| self.book.finals.any(|ended| ended.spent.iter().any(|draw| draw.block == *id)));
    }
}
