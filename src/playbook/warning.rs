//! What is allowed and known to cost trust or money, each with its reason.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::action::{Trigger, Weight};
use super::compile;
use super::document::Document;
use super::document::actions::{Action, Keys};
use super::document::chain::Link;
use super::rollover::{Lasts, Times};
use super::document::plan::Plan;
use super::document::whole::{Credit, Unit};
use super::draw_order::{DrawOrder, Species};
use super::finding::{At, Choice, Findings, Place};
use super::offline::Offline;
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
        packs(plan, f);
        incentives(plan, f);
        governance(plan, f);
        default_lifetimes(plan, document, f);
        if let Some(credit) = &document.credit {
            overage_price(plan, credit, f);
        }
    }
}

fn unit(credit: &Credit, f: &mut Findings) {
    if credit.unit.value == Unit::Input {
        let why = "buyers pay for what the product consumes and not for what they get, so a better product earns less.";
        let help = "sell `output` or `outcome`, and let the weights carry the cost of the inputs";
        f.warning(&credit.unit.place, "the credit stands for an input".to_owned(), why, help);
    }
}

fn charging(keys: &Keys, f: &mut Findings) {
    if let Some(At { place, value: Trigger::Event }) = &keys.trigger {
        let why = "an event is charged before anyone knows whether the run did anything.";
        f.warning(place, "each run is charged when it starts".to_owned(), why, "use `output` or `outcome`");
    }
    if let Some(failure) = &keys.failure
        && failure.value == Percent::FULL
    {
        let why = "buyers who pay in full for failures ask for refunds, or leave.";
        let help = "use `none`, or a percentage that covers the cost";
        f.warning(&failure.place, "a failed run costs as much as a success".to_owned(), why, help);
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
        let why = "nobody goes on paying more for a run than it brings them.";
        // An entry that only weighs more is at fault for its weight.
        let place = if own.value.is_some() { &value.place } else { place };
        f.warning(place, problem, why, "lower the weight or the price of a credit, or check the value");
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
        for plan in &document.plans {
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
    let place = Place { choice: Some(Choice(2)), ..place.clone() };
    let problem = format!("a reservation may live `{ttl}`, longer than `reclaim_after`, `{reclaim}`");
    let why = "a sidecar that is cut off reports such a run after its credits went back, and the charge becomes debt.";
    f.warning(&place, problem, why, "make `ttl` shorter, or `offline.reclaim_after` longer");
}

fn reclaim_after(plan: &Plan) -> Length {
    let written = plan.offline.as_ref().and_then(|offline| offline.value.reclaim_after.as_ref());
    written.map_or(Offline::default().reclaim_after, |length| length.value)
}

fn draw_order(plan: &Plan, f: &mut Findings) {
    if let Some(At { place, value: DrawOrder::Lifo }) = &plan.draw_order {
        let why = "the oldest credits wait until they expire, and buyers lose what they paid for.";
        f.warning(place, "the newest credits burn first".to_owned(), why, "use `fefo`");
    }
}

fn rollover(plan: &Plan, f: &mut Findings) {
    for roll in &plan.rollover {
        let forever = roll.value.lasts.as_ref().filter(|lasts| lasts.value == Lasts::Forever);
        let unlimited = roll.value.times.as_ref().filter(|times| times.value == Times::Unlimited);
        let place = forever.map(|lasts| &lasts.place).or(unlimited.map(|times| &times.place));
        if let Some(place) = place {
            let problem = format!("unused `{}` credits roll without end", roll.value.species);
            let why = "what never ends is a debt of service that only grows.";
            f.warning(place, problem, why, "give it a number of `times` and a time that it `lasts`");
        }
        if roll.value.species == Species::Incentive {
            let place = Place { choice: Some(Choice(13)), ..roll.place.clone() };
            let why = "an incentive rewards a behaviour now; what can be kept rewards nothing.";
            f.warning(
                &place,
                "incentives roll over".to_owned(),
                why,
                "let them lapse: leave `incentive` out",
            );
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
            None => Place { choice: Some(Choice(8)), ..name.place.clone() },
        };
        let problem = format!("credits of the pack `{}` outlive the term of `{term}`", name.value);
        let why = "service is owed after the contract that priced it has ended.";
        f.warning(&place, problem, why, "let the pack last no longer than the term");
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
        let why = "past 90 days an incentive is a price cut that nobody remembers getting.";
        f.warning(&place, problem, why, "let it last 90 days at most");
    }
}

fn governance(plan: &Plan, f: &mut Findings) {
    let place = Place { choice: Some(Choice(14)), mark: plan.name.place.mark, ..plan.place.clone() };
    if plan.caps.is_empty() {
        let why = "one runaway agent can spend the whole balance before anyone looks.";
        let help = "add `caps: [{name: runaway, per: run, limit: 50}]`";
        f.warning(&place, "the plan has no cap of any kind".to_owned(), why, help);
    }
    if plan.alerts.is_empty() {
        let why = "buyers learn that their credits are gone from a run that is refused.";
        let help = "add `alerts: [{name: low, balance_below: 20%}]`";
        f.warning(&place, "the plan has no alert of any kind".to_owned(), why, help);
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
            None => (&link.place, own),
        };
        if highest > list {
            let problem = format!("a credit of overage costs `{highest}`, above the list price of `{list}`");
            let why = "buyers feel punished for growing, and ration use just when it is worth most.";
            f.warning(place, problem, why, "charge the list price or less");
        }
    }
}
