//! The truth over ledger and sidecars together.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::state::Account;
use crate::credit::{CapKey, Counter, ScopeKey};
use crate::lease::LeaseTotals;
use crate::playbook::draw_order::Species;
use crate::types::{Credits, Money, SidecarId, Timestamp};

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
        let mut balance = Balance {
            available: Credits::ZERO,
            held: self.book.runs.values().map(|run| run.held_total()).sum(),
            spent: Credits::ZERO,
            lapsed: Credits::ZERO,
            debt: self.book.pools.iter().map(|pool| pool.debt).sum(),
            by: BTreeMap::new(),
            overage: Credits::ZERO,
            period_ends: self.period.end,
        };
        let mut idle: BTreeMap<_, Credits> = BTreeMap::new();
        for (sidecar, lease) in &self.leases {
            let totals = fresh.get(sidecar).unwrap_or(&lease.totals);
            let mut reserved: BTreeMap<_, Credits> = totals.held.iter().copied().collect();
            for (block, out) in &lease.out {
                let held = reserved.remove(block).unwrap_or_default().min(*out);
                balance.held += held;
                // An ended lease that nobody answers for is no balance until it is reclaimed.
                if lease.ends_at > at {
                    *idle.entry(*block).or_default() += *out - held;
                }
            }
        }
        for block in self.book.blocks() {
            if block.species != Species::Emergency {
                balance.spent += block.spent;
            }
            balance.lapsed += block.lapsed;
            if block.species == Species::Overage {
                balance.overage += block.spent;
            }
            if !block.species.is_last_resort() && block.pays(at) {
                let available = block.available + idle.get(&block.id).copied().unwrap_or_default();
                balance.available += available;
                if available.is_positive() {
                    *balance.by.entry(block.species).or_default() += available;
                }
            }
        }
        balance
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
