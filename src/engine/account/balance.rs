//! The truth over ledger and sidecars together.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::state::Account;
use crate::credit::{Block, CapKey, Counter, PoolId, ScopeKey};
use crate::lease::LeaseTotals;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, SidecarId, Timestamp};

/// A balance, by what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Balance {
    /// What a run could still be authorised for, last resorts excepted.
    #[n(0)]
    pub available: Credits,
    /// What runs hold.
    #[n(1)]
    pub held: Credits,
    /// Since the subscription.
    #[n(2)]
    pub spent: Credits,
    #[n(3)]
    pub lapsed: Credits,
    #[n(4)]
    pub debt: Credits,
    /// Available, by species.
    #[n(5)]
    pub by: BTreeMap<Species, Credits>,
    /// Spent from overage in this period.
    #[n(6)]
    pub overage: Credits,
    #[n(7)]
    pub period_ends: Timestamp,
}

/// A balance with its caps, as a sidecar is told.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Standing {
    #[n(0)]
    pub balance: Balance,
    /// Each counter with what runs hold and have spent of it; what is merely leased counts as free.
    #[n(1)]
    pub caps: Vec<(CapKey, Counter)>,
    /// The ledger's clock.
    #[n(2)]
    pub at: Timestamp,
    /// The pool that the balance is of; `None`: all together, or told by a ledger that does not know the question.
    #[n(3)]
    pub pool: Option<PoolId>,
}

impl Account {
    /// The balance, with each lease's running totals as last heard, or as `fresh` tells them.
    pub fn balance(&self, at: Timestamp, fresh: &BTreeMap<SidecarId, LeaseTotals>) -> Balance {
        self.balance_of(None, at, fresh)
    }

    /// The same of one pool alone.
    pub fn balance_of(
        &self,
        pool: Option<&PoolId>,
        at: Timestamp,
        fresh: &BTreeMap<SidecarId, LeaseTotals>,
    ) -> Balance {
        let here = |id: &PoolId| pool.is_none_or(|pool| pool == id);
        let counts = |block: &BlockId| {
            pool.is_none() || self.book.block(*block).is_some_and(|block| here(&block.pool))
        };
        let draws = self.book.runs.values().flat_map(|run| &run.held);
        let mut balance = Balance {
            available: Credits::ZERO,
            held: draws.filter(|draw| counts(&draw.block)).map(|draw| draw.amount).sum(),
            spent: Credits::ZERO,
            lapsed: Credits::ZERO,
            debt: self.book.pools.iter().filter(|pool| here(&pool.id)).map(|pool| pool.debt).sum(),
            by: BTreeMap::new(),
            overage: self.overage_in_period(pool),
            period_ends: self.period.end,
        };
        let leased = self.leased(at, fresh).1.into_iter();
        balance.held += leased.filter(|(block, _)| counts(block)).map(|(_, held)| held).sum();
        for block in self.book.blocks().filter(|block| here(&block.pool)) {
            if block.species != Species::Emergency {
                balance.spent += block.spent;
            }
            if block.species == Species::Borrowed {
                // What no allowance covered is debt, or was paid as such.
                balance.spent -= self.reconciled.get(&block.id).copied().unwrap_or_default();
            }
            // Headroom that nobody used is no loss: it was nobody's, and the next period has its own.
            if !block.species.is_last_resort() {
                balance.lapsed += block.lapsed;
            }
        }
        for (block, available) in self.available(at, fresh).filter(|(block, _)| here(&block.pool)) {
            balance.available += available;
            if available.is_positive() {
                *balance.by.entry(block.species).or_default() += available;
            }
        }
        balance
    }

    /// What was spent from overage in this period, of all pools or of one.
    pub fn overage_in_period(&self, pool: Option<&PoolId>) -> Credits {
        let of_period =
            |block: &&Block| block.species == Species::Overage && block.effective_at >= self.period.start;
        let blocks = self.book.blocks().filter(of_period);
        blocks.filter(|block| pool.is_none_or(|pool| *pool == block.pool)).map(|block| block.spent).sum()
    }

    /// What is available in each block that pays now, last resorts excepted, over ledger and live leases.
    pub fn available<'a>(
        &'a self,
        at: Timestamp,
        fresh: &BTreeMap<SidecarId, LeaseTotals>,
    ) -> impl Iterator<Item = (&'a Block, Credits)> + use<'a> {
        let (idle, _) = self.leased(at, fresh);
        let pays = move |block: &&Block| !block.species.is_last_resort() && block.pays(at);
        self.book
            .blocks()
            .filter(pays)
            .map(move |block| (block, block.available + idle.get(&block.id).copied().unwrap_or_default()))
    }

    /// What lies idle at live leases and what runs hold of all leases, by block.
    fn leased(
        &self,
        at: Timestamp,
        fresh: &BTreeMap<SidecarId, LeaseTotals>,
    ) -> (BTreeMap<BlockId, Credits>, BTreeMap<BlockId, Credits>) {
        let mut idle: BTreeMap<_, Credits> = BTreeMap::new();
        let mut runs: BTreeMap<_, Credits> = BTreeMap::new();
        for (sidecar, lease) in &self.leases {
            let totals = fresh.get(sidecar).unwrap_or(&lease.totals);
            let mut reserved = self.held_in(lease, totals);
            for (block, out) in &lease.out {
                let held = reserved.remove(block).unwrap_or_default().min(*out);
                *runs.entry(*block).or_default() += held;
                // An ended lease that nobody answers for is no balance until it is reclaimed.
                if lease.ends_at > at {
                    *idle.entry(*block).or_default() += *out - held;
                }
            }
        }
        (idle, runs)
    }

    /// What runs use of each cap, by each lease's running totals as last heard. A root's own budget ends with it.
    pub fn caps(&self, at: Timestamp) -> Vec<(CapKey, Counter)> {
        let counts = |key: &CapKey, counter: &Counter| {
            counter.ends_at.is_none_or(|end| end > at)
                // Room in a window that has not begun is leased ahead; nothing is used of it.
                && key.window <= at
                && !matches!(&key.scope, ScopeKey::Root(root) if !self.book.families.contains_key(root))
        };
        let known = self.book.counters.iter().filter(|(key, counter)| counts(key, counter));
        let used = |(key, counter): (&CapKey, &Counter)| {
            let mut counter = counter.clone();
            for lease in self.leases.values() {
                counter.held -= lease.rooms.get(key).copied().unwrap_or_default();
                let told = lease.totals.caps.iter().find(|(told, _)| told == key);
                counter.held += told.map(|(_, total)| total.held).unwrap_or_default();
            }
            (key.clone(), counter)
        };
        known.map(used).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::account::{Command, RunAsk, RunReply, Work};
    use crate::engine::call::{Authorize, Commit, Record};
    use crate::engine::contract::Playbooks;
    use crate::lease::terms::HandleKey;
    use crate::playbook::charge::{Quantities, RunResult};
    use crate::playbook::load;
    use crate::types::{AccountId, Name, ReservationId};

    const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
        actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 10, every: month}, overage: [{soft: {}}]}}}";

    fn record(units: &str) -> RunAsk {
        let id = ReservationId([7; 16]);
        let authorize = Authorize {
            id,
            action: Name::parse("draft").unwrap(),
            subject: Default::default(),
            quantities: Some(Quantities::Single(units.parse().unwrap())),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        };
        let commit = Commit::new(id, RunResult::Succeeded);
        RunAsk::Record(Box::new(Record { authorize, commit }))
    }

    #[test]
    fn a_sidecar_is_told_of_the_overage_of_this_period() {
        let mut playbooks = Playbooks::default();
        playbooks.publish(load(PLAYBOOK).unwrap());
        let mut account = Account::new(AccountId::parse("acme").unwrap());
        let mut at = |when: &str, ask: &RunAsk| {
            let mut work = Work::begin(&mut account, &playbooks, when.parse().unwrap());
            let (plan, key) = (Name::parse("basic").unwrap(), HandleKey { id: 1, secret: [3; 32] });
            let command = Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay: Box::default() };
            let _known = work.administer(&command, None);
            let reply = work.decide(ask, SidecarId::default()).unwrap();
            work.finish();
            reply
        };
        at("2026-01-01T00:00:00Z", &record("15"));
        for pool in [None, Some(PoolId::Account)] {
            let ask = RunAsk::Balance(Box::default(), pool.clone());
            let RunReply::Balance(now) = at("2026-01-02T00:00:00Z", &ask) else { panic!("no balance") };
            assert_eq!((now.balance.overage, now.pool), (Credits::whole(5), pool));
        }
        let ask = RunAsk::Balance(Box::default(), None);
        let RunReply::Balance(later) = at("2026-02-02T00:00:00Z", &ask) else { panic!("no balance") };
        assert_eq!((later.balance.overage, later.balance.spent), (Credits::ZERO, Credits::whole(15)));
    }
}
