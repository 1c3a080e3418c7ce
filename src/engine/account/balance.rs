//! The truth over ledger and sidecars together.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::state::Account;
use crate::credit::{Block, CapKey, Counter, PoolId, ScopeKey};
use crate::lease::LeaseTotals;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Money, SidecarId, Timestamp};

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
    /// Spent from overage.
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
            overage: Credits::ZERO,
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
            if block.species == Species::Overage {
                balance.overage += block.spent;
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

    /// Overage since the subscription: credits, and what they cost.
    pub fn overage_total(&self) -> (Credits, Money) {
        let credits = self.overage.iter().map(|period| period.spent).sum();
        (credits, self.overage.iter().map(|period| period.amount).sum())
    }
}
