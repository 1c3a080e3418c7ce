//! Alerts: raised when their condition becomes true, and again only after it has been false.

use std::collections::{BTreeMap, BTreeSet};

use jiff::tz::TimeZone;

use super::burn::next_hour;
use super::entry::{Alarm, What};
use super::work::Work;
use crate::credit::CapKey;
use crate::playbook::alert::{Alert, Condition, Threshold};
use crate::playbook::cap::{Cap, named};
use crate::playbook::draw_order::Species;
use crate::playbook::overage::Link;
use crate::types::{Credits, Length, Ratio, Timestamp, calendar};

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
            Condition::CapReaches { cap, .. } => {
                let Some(contract) = &self.account.contract else { return };
                let Some(limit) = named(&contract.plan, cap.as_str()).map(Cap::limit) else { return };
                for (key, used) in self.used(cap.as_str()) {
                    if alert.when.cap_reaches(cap, limit, used) {
                        holding.insert(Alarm { alert: alert.name.clone(), counter: Some(key) });
                    }
                }
            }
            Condition::ExpiresWithin { lasts, at_least } => {
                let expiring = self.expiring(*lasts);
                if expiring.is_positive() && expiring >= *at_least {
                    holding.insert(Alarm { alert: alert.name.clone(), counter: None });
                }
            }
            Condition::OverageReaches(threshold) => {
                if self.overage_reaches(*threshold) {
                    holding.insert(Alarm { alert: alert.name.clone(), counter: None });
                }
            }
            Condition::BurnAbove(times) => {
                if self.account.burn.is_above(*times, self.at) {
                    holding.insert(Alarm { alert: alert.name.clone(), counter: None });
                }
            }
        }
    }

    /// What is available in blocks that end within a length of time from now.
    fn expiring(&self, within: Length) -> Credits {
        let Some(contract) = &self.account.contract else { return Credits::ZERO };
        let until = calendar::plus(self.at, within, &contract.zone);
        let available = self.account.available(self.at, &BTreeMap::new());
        available
            .filter(|(block, _)| block.expires_at.is_some_and(|end| end <= until))
            .map(|(_, available)| available)
            .sum()
    }

    fn overage_reaches(&self, threshold: Threshold) -> bool {
        let Some(contract) = &self.account.contract else { return false };
        let blocks = self.account.book.blocks();
        let spent: Credits = blocks
            .filter(|block| block.species == Species::Overage && block.pays(self.at))
            .map(|block| block.spent)
            .sum();
        let bound = match threshold {
            Threshold::Credits(credits) => Ratio::of(credits.decimal()),
            Threshold::Share(share) => {
                let soft = contract.plan.overage.iter().find_map(|link| match link {
                    Link::Soft { up_to, .. } => *up_to,
                    _ => None,
                });
                // An administrator may have lowered it for this account.
                let limit = soft.map(|soft| contract.overage_limit.map_or(soft, |limit| limit.min(soft)));
                limit.and_then(|limit| share.of(limit))
            }
        };
        let spent = Ratio::of(spent.decimal()).filter(|spent| spent.is_positive());
        bound.zip(spent).and_then(|(bound, spent)| spent.at_least(bound)) == Some(true)
    }

    /// The next instant at which time alone changes what an alert looks at.
    pub(super) fn next_alert(&self) -> Option<Timestamp> {
        let contract = self.account.contract.as_ref()?;
        let alerts = contract.plan.alerts.iter();
        alerts
            .filter_map(|alert| self.changes_next(alert, &contract.zone))
            .filter(|next| *next > self.at)
            .min()
    }

    fn changes_next(&self, alert: &Alert, zone: &TimeZone) -> Option<Timestamp> {
        match &alert.when {
            Condition::ExpiresWithin { lasts, .. } => {
                let available = self.account.available(self.at, &BTreeMap::new());
                let ends = available.filter_map(|(block, _)| block.expires_at);
                ends.map(|end| calendar::before(end, *lasts, zone)).filter(|next| *next > self.at).min()
            }
            Condition::BurnAbove(_) => {
                let alarm = Alarm { alert: alert.name.clone(), counter: None };
                self.account.raised.contains(&alarm).then(|| next_hour(self.at))
            }
            _ => None,
        }
    }

    fn is_below(&self, balance: Ratio, threshold: Threshold) -> bool {
        let bound = match threshold {
            Threshold::Credits(credits) => Ratio::of(credits.decimal()),
            Threshold::Share(share) => self
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
        for (key, counter) in self.account.book.counters.iter() {
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
