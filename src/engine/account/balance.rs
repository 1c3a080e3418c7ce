//! The truth over ledger and sidecars together.

use std::collections::BTreeMap;

use super::state::Account;
use crate::lease::LeaseTotals;
use crate::playbook::draw_order::Species;
use crate::types::{Credits, Money, SidecarId, Timestamp};

/// A balance, by what can be done with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// What a run could still be authorised for, last resorts excepted.
    pub available: Credits,
    /// What runs hold.
    pub held: Credits,
    /// Since the subscription.
    pub spent: Credits,
    pub lapsed: Credits,
    pub debt: Credits,
    /// Available, by species.
    pub by: BTreeMap<Species, Credits>,
    /// Spent from overage.
    pub overage: Credits,
    pub period_ends: Timestamp,
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

    /// Overage since the subscription: credits, and what they cost.
    pub fn overage_total(&self) -> (Credits, Money) {
        let credits = self.overage.iter().map(|period| period.spent).sum();
        (credits, self.overage.iter().map(|period| period.amount).sum())
    }
}
