//! What the ledger is told of what runs hold here.

use std::collections::BTreeMap;

use super::state::Wallet;
use crate::credit::CapKey;
use crate::lease::LeaseTotals;
use crate::lease::exchange::CapTotal;
use crate::playbook::alert::Condition;
use crate::playbook::cap::named;
use crate::types::amount::SCALE_MAX;
use crate::types::{BlockId, Credits, Rounding};

impl Wallet {
    /// What runs hold of the lease right now. Runs that are reported for promotion are the account's from that record on:
    /// told here too, they would count twice until the acknowledgement is back.
    pub fn totals(&self) -> LeaseTotals {
        let counters = &self.book.counters;
        let mut held: BTreeMap<BlockId, Credits> = BTreeMap::new();
        let mut caps: BTreeMap<CapKey, CapTotal> = BTreeMap::new();
        for block in self.book.blocks().filter(|block| block.held.is_positive()) {
            held.insert(block.id, block.held);
        }
        let shared = counters.shared_where(|_, counter| counter.held.is_positive());
        // Of roots' own budgets, of which there may be thousands, only what an alert is about.
        let near = self.near.iter().filter_map(|key| Some((key, counters.get(key)?)));
        for (key, counter) in shared.chain(near) {
            caps.insert(key.clone(), CapTotal { held: counter.held, spent: counter.spent });
        }
        let families = self.handing_roots.iter().flat_map(|root| self.book.family(*root));
        for run in families.filter_map(|id| self.book.runs.get(&id)) {
            for draw in &run.held {
                held.entry(draw.block).and_modify(|held| *held -= draw.amount);
            }
            for hold in &run.caps {
                caps.entry(hold.key.clone()).and_modify(|total| total.held -= hold.held);
            }
        }
        held.retain(|_, held| held.is_positive());
        LeaseTotals { held: held.into_iter().collect(), caps: caps.into_iter().collect() }
    }

    /// Looks anew at whether an alert is about a root's budget.
    pub(super) fn note_near(&mut self, key: &CapKey) {
        if self.is_near(key) {
            self.near.insert(key.clone());
        } else if !self.near.is_empty() {
            self.near.remove(key);
        }
    }

    /// The plan, or everything else, has changed.
    pub(super) fn note_all_near(&mut self) {
        let alerts = self.contract.iter().flat_map(|contract| {
            let plan = &contract.plan;
            plan.alerts.iter().filter_map(|alert| match &alert.when {
                Condition::CapReaches { cap, share } => {
                    let bound = share.of(named(plan, cap.as_str())?.limit())?;
                    // No use lies between the bound and the next amount that there is.
                    Some((cap.clone(), bound.credits(SCALE_MAX, Rounding::Up)?))
                }
                _ => None,
            })
        });
        self.watched = alerts.collect();
        let keys: Vec<CapKey> = self.book.counters.roots().map(|(key, _)| key.clone()).collect();
        self.near = keys.into_iter().filter(|key| self.is_near(key)).collect();
    }

    fn is_near(&self, key: &CapKey) -> bool {
        let mut bounds = self.watched.iter().filter(|(cap, _)| *cap == key.cap).peekable();
        // Mostly no alert is about the cap.
        let counter = bounds.peek().and_then(|_| self.book.counters.get(key));
        counter.is_some_and(|counter| bounds.any(|(_, bound)| counter.used() >= *bound))
    }
}
