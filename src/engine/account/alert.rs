//! Alerts: raised when their condition becomes true, and again only after it has been false.

use std::collections::{BTreeMap, BTreeSet};

use super::entry::{Alarm, What};
use super::work::Work;
use crate::credit::CapKey;
use crate::playbook::alert::{Alert, Condition, Threshold};
use crate::types::{Credits, Ratio};

impl Work<'_> {
    pub(super) fn raise_alerts(&mut self) {
        let Some(contract) = self.account.contract.clone() else { return };
        let mut holding = BTreeSet::new();
        for alert in &contract.plan.alerts {
            self.conditions(alert, &mut holding);
        }
        let cleared: Vec<Alarm> = self.account.raised.difference(&holding).cloned().collect();
        // In the plan's order, each scope in its own.
        let order = |alarm: &Alarm| contract.plan.alerts.iter().position(|alert| alert.name == alarm.alert);
        let mut raised: Vec<Alarm> = holding.difference(&self.account.raised).cloned().collect();
        raised.sort_by_key(|alarm| (order(alarm), alarm.clone()));
        for alarm in cleared {
            self.emit(What::Cleared(alarm));
        }
        for alarm in raised {
            self.emit(What::Raised(alarm));
        }
    }

    /// The alarms of this alert whose condition holds now.
    fn conditions(&self, alert: &Alert, holding: &mut BTreeSet<Alarm>) {
        match &alert.when {
            Condition::BalanceBelow(threshold) => {
                let available = self.account.balance(self.at, &BTreeMap::new()).available;
                if Ratio::of(available.decimal()).is_some_and(|balance| self.is_below(balance, *threshold)) {
                    holding.insert(Alarm { alert: alert.name.clone(), counter: None });
                }
            }
            Condition::CapReaches { cap, share } => {
                for (key, used) in self.used(cap.as_str()) {
                    let limit = self
                        .account
                        .contract
                        .as_ref()
                        .and_then(|contract| crate::playbook::cap::named(&contract.plan, cap.as_str()))
                        .map(|cap| cap.limit());
                    let reached = limit
                        .and_then(|limit| share.of(limit))
                        .and_then(|bound| Ratio::of(used.decimal())?.at_least(bound));
                    if reached == Some(true) {
                        holding.insert(Alarm { alert: alert.name.clone(), counter: Some(key) });
                    }
                }
            }
        }
    }

    fn is_below(&self, balance: Ratio, threshold: Threshold) -> bool {
        let bound = match threshold {
            Threshold::Credits(credits) => Ratio::of(credits.decimal()),
            Threshold::OfAllowance(share) => self
                .account
                .contract
                .as_ref()
                .and_then(|contract| contract.plan.allowances.first())
                .and_then(|allowance| share.of(allowance.credits)),
        };
        bound.and_then(|bound| balance.at_least(bound)) == Some(false)
    }

    /// Spent and held of each counter of a cap, over all sidecars.
    fn used(&self, cap: &str) -> BTreeMap<CapKey, Credits> {
        let mut used: BTreeMap<CapKey, Credits> = BTreeMap::new();
        for (key, counter) in &self.account.book.counters {
            if key.cap.as_str() == cap && counter.ends_at.is_none_or(|end| end > self.at) {
                used.insert(key.clone(), counter.used());
            }
        }
        for lease in self.account.leases.values() {
            // Leased room counts as held at the account; what of it runs hold is in the totals.
            for (key, room) in lease.rooms.iter().filter(|(key, _)| key.cap.as_str() == cap) {
                if let Some(sum) = used.get_mut(key) {
                    *sum -= *room;
                }
            }
            for (key, total) in lease.totals.caps.iter().filter(|(key, _)| key.cap.as_str() == cap) {
                *used.entry(key.clone()).or_default() += total.held;
            }
        }
        used
    }
}
