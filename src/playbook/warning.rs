//! What is allowed and known to cost trust or money, each with its reason.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::action::{Trigger, Weight};
use super::caution::Caution;
use super::compile;
use super::document::Document;
use super::document::actions::{Action, Keys};
use super::document::chain::Link;
use super::document::plan::Plan;
use super::document::whole::{Credit, Unit};
use super::draw_order::{DrawOrder, Species};
use super::finding::{At, Findings, Place};
use super::offline::Offline;
use super::rollover::{Lasts, Times};
use crate::types::{Length, Money, Name, Percent, Ratio};

/// Longer than this, an incentive is a price cut and no longer an incentive.
const INCENTIVE_LASTS_MAX: Length = Length::days(90);

pub fn warn(document: &Document, f: &mut Findings) {
    if let Some(credit) = &document.credit {
        unit(credit, f);
    }
    let reclaims = Reclaims::of(document);
    for action in document.actions.values() {
        charging(&action.keys, f);
        action.when.iter().for_each(|entry| charging(&entry.keys, f));
        if let Some(credit) = &document.credit {
            values(action, credit, f);
        }
        lifetimes(action, &reclaims, f);
    }
    for plan in &document.plans {
        draw_order(plan, f);
        rollover(plan, f);
        if plan.read_well("on_demand") {
            packs(plan, f);
        }
        if plan.read_well("incentives") {
            incentives(plan, f);
        }
        governance(plan, f);
        if plan.read_well("offline") && plan.read_well("includes") {
            default_lifetimes(plan, document, f);
        }
        if let Some(credit) = &document.credit {
            overage_price(plan, credit, f);
        }
    }
}

fn unit(credit: &Credit, f: &mut Findings) {
    if credit.unit.value == Unit::Input {
        f.warning(&credit.unit.place, Caution::InputUnit, "the credit stands for an input".to_owned());
    }
}

fn charging(keys: &Keys, f: &mut Findings) {
    if let Some(At { place, value: Trigger::Event }) = &keys.trigger {
        f.warning(place, Caution::EventTrigger, "each run is charged when it starts".to_owned());
    }
    if let Some(failure) = &keys.failure
        && failure.value == Percent::FULL
    {
        f.warning(&failure.place, Caution::FullFailure, "a failed run costs as much as a success".to_owned());
    }
}

/// Where an action or an entry of its `when` says what a unit is worth, or what it weighs.
fn values(action: &Action, credit: &Credit, f: &mut Findings) {
    value(&action.keys, &action.keys, credit, f);
    for entry in &action.when {
        if entry.keys.value.is_some() || entry.keys.weight.is_some() || entry.keys.per.is_some() {
            value(&entry.keys.over(&action.keys), &entry.keys, credit, f);
        }
    }
}

fn value(keys: &Keys, own: &Keys, credit: &Credit, f: &mut Findings) {
    let (Some(value), Some(At { value: Weight::Single(weight), place })) = (&keys.value, &keys.weight) else {
        return;
    };
    let per = keys.per.as_ref().map_or(Decimal::ONE, |per| per.value);
    let price = Ratio::of(*weight)
        .and_then(|weight| weight.times(credit.price.value.decimal()))
        .and_then(|price| price.divide(per));
    let worth = price.zip(Ratio::of(value.value.decimal())).and_then(|(price, worth)| worth.at_least(price));
    if worth == Some(false) {
        let cost = price.and_then(Ratio::money).map_or_else(String::new, |price| format!(" of `{price}`"));
        let problem = format!("a unit is worth `{}` to the buyer, less than its price{cost}", value.value);
        // An entry that only weighs more is at fault for its weight.
        let place = if own.value.is_some() { &value.place } else { place };
        f.warning(place, Caution::ValueBelowPrice, problem);
    }
}

/// For each action the soonest that a plan which covers it gives lost credits back.
struct Reclaims<'a> {
    by_action: BTreeMap<&'a Name, Length>,
    /// Of the plans that cover all actions.
    of_all: Option<Length>,
}

impl<'a> Reclaims<'a> {
    fn of(document: &'a Document) -> Self {
        let mut reclaims = Self { by_action: BTreeMap::new(), of_all: None };
        let read_well = |plan: &&Plan| plan.read_well("offline") && plan.read_well("includes");
        for plan in document.plans.iter().filter(read_well) {
            let after = reclaim_after(plan);
            match &plan.includes {
                None => reclaims.of_all = Some(reclaims.of_all.map_or(after, |other| shorter(other, after))),
                Some(names) => names.iter().for_each(|name| {
                    let soonest = reclaims.by_action.entry(&name.value).or_insert(after);
                    *soonest = shorter(*soonest, after);
                }),
            }
        }
        reclaims
    }

    fn soonest(&self, action: &Action) -> Option<Length> {
        let own = self.by_action.get(&action.name.value).copied();
        own.into_iter().chain(self.of_all).reduce(shorter)
    }
}

/// Each action that says how long its reservations live, against the plans that cover it.
fn lifetimes(action: &Action, reclaims: &Reclaims<'_>, f: &mut Findings) {
    let Some(soonest) = reclaims.soonest(action) else { return };
    let written = std::iter::once(&action.keys).chain(action.when.iter().map(|entry| &entry.keys));
    for ttl in written.filter_map(|keys| keys.reserve.as_ref()?.value.ttl.as_ref()) {
        if longer(ttl.value, soonest) {
            late(&ttl.place, ttl.value, soonest, f);
        }
    }
}

/// A plan that gives lost credits back sooner than the default time of an action that it covers has run out.
fn default_lifetimes(plan: &Plan, document: &Document, f: &mut Findings) {
    let Some(reclaim) = plan.offline.as_ref().and_then(|offline| offline.value.reclaim_after.as_ref()) else {
        return;
    };
    if !longer(compile::TTL, reclaim.value) {
        return;
    }
    let by_default = |action: &Action| action.keys.reserve.as_ref().is_none_or(|r| r.value.ttl.is_none());
    let covered = match &plan.includes {
        None => document.actions.values().any(by_default),
        Some(names) => names.iter().filter_map(|name| document.actions.get(&name.value)).any(by_default),
    };
    if covered {
        late(&reclaim.place, compile::TTL, reclaim.value, f);
    }
}

fn longer(a: Length, b: Length) -> bool {
    a.approximate_micros() > b.approximate_micros()
}

fn shorter(a: Length, b: Length) -> Length {
    if longer(a, b) { b } else { a }
}

fn late(place: &Place, ttl: Length, reclaim: Length, f: &mut Findings) {
    let problem = format!("a reservation may live `{ttl}`, longer than `reclaim_after`, `{reclaim}`");
    f.warning(place, Caution::OutlivesReclaim, problem);
}

fn reclaim_after(plan: &Plan) -> Length {
    let written = plan.offline.as_ref().and_then(|offline| offline.value.reclaim_after.as_ref());
    written.map_or(Offline::default().reclaim_after, |length| length.value)
}

fn draw_order(plan: &Plan, f: &mut Findings) {
    if let Some(At { place, value: DrawOrder::Lifo }) = &plan.draw_order {
        f.warning(place, Caution::Lifo, "the newest credits burn first".to_owned());
    }
}

fn rollover(plan: &Plan, f: &mut Findings) {
    for roll in &plan.rollover {
        let forever = roll.value.lasts.as_ref().filter(|lasts| lasts.value == Lasts::Forever);
        let unlimited = roll.value.times.as_ref().filter(|times| times.value == Times::Unlimited);
        let place = forever.map(|lasts| &lasts.place).or(unlimited.map(|times| &times.place));
        if let Some(place) = place {
            let problem = format!("unused `{}` credits roll without end", roll.value.species);
            f.warning(place, Caution::EndlessRollover, problem);
        }
        if roll.value.species == Species::Incentive {
            f.warning(&roll.place, Caution::IncentiveRolls, "incentives roll over".to_owned());
        }
    }
}

fn packs(plan: &Plan, f: &mut Findings) {
    let (Some(term), Some(shelf)) = (&plan.term, &plan.on_demand) else { return };
    let term = term.value.lasts.value;
    for (name, pack) in &shelf.value.packs {
        let place = match &pack.lasts {
            Some(lasts) if !longer(lasts.value, term) => continue,
            Some(lasts) => lasts.place.clone(),
            None => name.place.clone(),
        };
        let problem = format!("credits of the pack `{}` outlive the term of `{term}`", name.value);
        f.warning(&place, Caution::OutlivesTerm, problem);
    }
}

fn incentives(plan: &Plan, f: &mut Findings) {
    for (name, incentive) in &plan.incentives {
        let (place, lasts) = match &incentive.lasts {
            Some(lasts) if !longer(lasts.value, INCENTIVE_LASTS_MAX) => {
                continue;
            }
            Some(lasts) => (lasts.place.clone(), format!("lasts `{}`", lasts.value)),
            None => (name.place.clone(), "does not expire".to_owned()),
        };
        let problem = format!("the incentive `{}` {lasts}", name.value);
        f.warning(&place, Caution::IncentiveLasts, problem);
    }
}

fn governance(plan: &Plan, f: &mut Findings) {
    let place = Place { mark: plan.name.place.mark, ..plan.place.clone() };
    if plan.caps.is_empty() && plan.read_well("caps") {
        f.warning(&place, Caution::NoCap, "the plan has no cap of any kind".to_owned());
    }
    if plan.alerts.is_empty() && plan.read_well("alerts") {
        f.warning(&place, Caution::NoAlert, "the plan has no alert of any kind".to_owned());
    }
}

fn overage_price(plan: &Plan, credit: &Credit, f: &mut Findings) {
    let list = credit.price.value;
    for link in &plan.overage {
        let Link::Soft { price, .. } = &link.value else { continue };
        let own = plan.price.as_ref().map_or(list, |price| price.value);
        let (place, highest): (&Place, Money) = match price {
            Some(prices) => {
                (&prices.place, prices.value.0.iter().map(|tier| tier.at).max().unwrap_or_default())
            }
            None if plan.read_well("overage") => (&link.place, own),
            None => continue,
        };
        if highest > list {
            let problem = format!("a credit of overage costs `{highest}`, above the list price of `{list}`");
            f.warning(place, Caution::DearOverage, problem);
        }
    }
}
