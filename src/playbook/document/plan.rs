//! A plan as written.

use std::collections::BTreeMap;

use super::billing::{self, Commitment, Fee, Term};
use super::chain::{self, Link};
use super::credits::{self, Incentive, OnDemand, Pooling, Refunds, Roll, Transfers};
use super::features;
use super::governance::{self, Alert, CapLine, Offline};
use crate::playbook::allowance::Anchor;
use crate::playbook::draw_order::{DrawOrder, Species};
use crate::playbook::finding::{At, Findings, Place, why};
use crate::playbook::meaning::{Feature, Mode};
use crate::playbook::read::Cursor;
use crate::playbook::scalar::PERIODS;
use crate::playbook::shape::plan as shape;
use crate::types::calendar::Every;
use crate::types::{Credits, Length, Money, Name};

/// The most allowances of a plan: each is a block per period.
pub const ALLOWANCES_MAX: usize = 16;

#[derive(Debug)]
pub struct Plan {
    pub name: At<Name>,
    /// Of the plan's own keys.
    pub place: Place,
    pub mode: Option<At<Mode>>,
    pub includes: Option<Vec<At<Name>>>,
    pub price: Option<At<Money>>,
    pub features: BTreeMap<String, Feature>,
    pub allowance: Vec<At<AllowanceLine>>,
    pub anchor: Option<At<Anchor>>,
    pub term: Option<At<Term>>,
    pub fee: Option<At<Fee>>,
    pub commitment: Option<At<Commitment>>,
    pub overage: Vec<At<Link>>,
    /// Where `rollover` stands.
    pub rollover_place: Option<Place>,
    pub rollover: Vec<At<Roll>>,
    pub pooling: Option<At<Pooling>>,
    pub on_demand: Option<At<OnDemand>>,
    /// Where `incentives` stands.
    pub incentives_place: Option<Place>,
    pub incentives: Vec<(At<Name>, Incentive)>,
    pub refunds: Option<At<Refunds>>,
    pub draw_order: Option<At<DrawOrder>>,
    pub transfers: Option<At<Transfers>>,
    /// Whatever stands there: only `none` is allowed.
    pub trading: Option<At<Trading>>,
    pub caps: Vec<CapLine>,
    pub alerts: Vec<Alert>,
    pub offline: Option<At<Offline>>,
    /// Keys whose values have an error in their writing: what stands here of them may lack a part.
    pub faulty: Vec<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Trading {
    None,
    Other(String),
}

#[derive(Clone, Debug, PartialEq)]
pub struct AllowanceLine {
    pub credits: At<Credits>,
    pub every: At<Recurrence>,
    /// With `once` only.
    pub lasts: Option<At<Length>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurrence {
    Every(Every),
    Once,
}

impl Plan {
    /// Whether all that `key` says could be read, so that nothing is concluded from a part that is missing.
    pub fn read_well(&self, key: &str) -> bool {
        !self.faulty.contains(&key)
    }

    pub fn recurs(&self) -> bool {
        self.allowance.iter().any(|line| matches!(line.value.every.value, Recurrence::Every(_)))
    }
}

/// `None` where it is no map of keys. What is wrong in the writing of one key does not hide what others say.
pub fn read(name: At<Name>, cursor: &Cursor<'_>, f: &mut Findings) -> Option<Plan> {
    let fields = cursor.fields(f, &shape::PLAN)?;
    let mut faulty = Vec::new();
    let rollover = fields.get("rollover").map(|c| c.of(6));
    let incentives = fields.get("incentives").map(|c| c.of(13));
    Some(Plan {
        name,
        place: fields.place().clone(),
        mode: fields
            .get("mode")
            .and_then(|c| c.of(15).word(f, &[("enforce", Mode::Enforce), ("observe", Mode::Observe)])),
        includes: watched("includes", f, &mut faulty, |f| {
            fields.get("includes").map(|c| includes(&c.of(15), f))
        }),
        price: fields.get("price").and_then(|c| c.of(4).amount(f)),
        features: fields.get("features").map(|c| features::read(&c.of(15), f)).unwrap_or_default(),
        allowance: watched("allowance", f, &mut faulty, |f| {
            fields.get("allowance").map(|c| allowance(&c.of(3), f)).unwrap_or_default()
        }),
        anchor: fields.get("anchor").and_then(|c| {
            c.of(3).word(f, &[("subscription", Anchor::Subscription), ("calendar", Anchor::Calendar)])
        }),
        term: fields.get("term").and_then(|c| billing::term(&c.of(3), f)),
        fee: fields.get("fee").and_then(|c| billing::fee(&c.of(4), f)),
        commitment: fields.get("commitment").and_then(|c| billing::commitment(&c.of(4), f)),
        overage: watched("overage", f, &mut faulty, |f| {
            fields.get("overage").map(|c| chain::read(&c.of(5), f)).unwrap_or_default()
        }),
        rollover_place: rollover.as_ref().map(|c| c.place().clone()),
        rollover: rollover.map(|c| credits::rollover(&c, f)).unwrap_or_default(),
        pooling: fields.get("pooling").and_then(|c| credits::pooling(&c.of(7), f)),
        on_demand: watched("on_demand", f, &mut faulty, |f| {
            fields.get("on_demand").and_then(|c| credits::on_demand(&c.of(8), f))
        }),
        incentives_place: incentives.as_ref().map(|c| c.place().clone()),
        incentives: watched("incentives", f, &mut faulty, |f| {
            incentives.map(|c| credits::incentives(&c, f)).unwrap_or_default()
        }),
        refunds: fields.get("refunds").and_then(|c| credits::refunds(&c.of(9), f)),
        draw_order: fields.get("draw_order").and_then(|c| draw_order(&c.of(10), f)),
        transfers: fields.get("transfers").and_then(|c| credits::transfers(&c.of(11), f)),
        trading: fields.get("trading").map(|c| trading(&c.of(12))),
        caps: watched("caps", f, &mut faulty, |f| {
            fields.get("caps").map(|c| governance::caps(&c.of(14), f)).unwrap_or_default()
        }),
        alerts: watched("alerts", f, &mut faulty, |f| {
            fields.get("alerts").map(|c| governance::alerts(&c.of(14), f)).unwrap_or_default()
        }),
        offline: watched("offline", f, &mut faulty, |f| {
            fields.get("offline").and_then(|c| governance::offline(&c, f))
        }),
        faulty,
    })
}

/// Reads one key's value, and notes the key where that found an error.
fn watched<T>(
    key: &'static str,
    f: &mut Findings,
    faulty: &mut Vec<&'static str>,
    read: impl FnOnce(&mut Findings) -> T,
) -> T {
    let before = f.refused();
    let value = read(f);
    if f.refused() > before {
        faulty.push(key);
    }
    value
}

fn includes(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<At<Name>> {
    cursor.items(f, super::whole::ACTIONS_MAX).iter().filter_map(|c| c.name(f)).collect()
}

/// One map, or a list of them.
pub fn allowance(cursor: &Cursor<'_>, f: &mut Findings) -> Vec<At<AllowanceLine>> {
    let lines = cursor.items_or_one(f, ALLOWANCES_MAX);
    lines.iter().filter_map(|c| allowance_line(c, f)).collect()
}

fn allowance_line(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<AllowanceLine>> {
    let fields = cursor.fields(f, &shape::ALLOWANCE_LINE)?;
    let credits = fields.require(f, "credits", "1000").and_then(|c| c.amount(f));
    let every = fields.require(f, "every", "month").and_then(|c| recurrence(&c, f));
    let lasts = fields.get("lasts").and_then(|c| c.length(f));
    let (credits, every) = (credits?, every?);
    if let (Recurrence::Every(_), Some(lasts)) = (every.value, &lasts) {
        f.error_because(
            &lasts.place,
            "only an allowance that is granted once has `lasts`",
            "an allowance that recurs ends with its period; two ends would contradict each other.",
            "leave it out, or write `every: once`",
        );
    }
    Some(cursor.at(AllowanceLine { credits, every, lasts }))
}

fn recurrence(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Recurrence>> {
    if cursor.raw().is_some_and(|(text, _)| text == "once") {
        return Some(cursor.at(Recurrence::Once));
    }
    if cursor.raw().is_some_and(|(text, _)| text.starts_with(|c: char| c.is_ascii_digit())) {
        return cursor.every(f, PERIODS).map(|every| every.with(Recurrence::Every(every.value)));
    }
    let mut words: Vec<_> = PERIODS.iter().map(|(word, every)| (*word, Recurrence::Every(*every))).collect();
    words.push(("once", Recurrence::Once));
    cursor.word_also(f, &words, "or a length of time such as `14d`")
}

fn draw_order(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<DrawOrder>> {
    if !cursor.is_list() {
        let words = [("fefo", DrawOrder::Fefo), ("fifo", DrawOrder::Fifo), ("lifo", DrawOrder::Lifo)];
        return cursor.word_also(f, &words, "or a list of species such as `[subscription, on_demand]`");
    }
    let known: Vec<_> = Species::ALL
        .into_iter()
        .filter(|species| !species.is_last_resort())
        .map(|species| (species.word(), species))
        .collect();
    let mut order = Vec::new();
    for item in cursor.items(f, Species::ALL.len()) {
        let last = item.raw().and_then(|(text, _)| Species::from_word(text)).filter(|s| s.is_last_resort());
        if let Some(last) = last {
            let problem = format!("`{last}` always comes after all others");
            let why = "what costs extra or has to be paid back is never drawn while bought credits are left.";
            let help = "leave it out; the overage chain says in which order these come";
            f.error_because(item.place(), problem, why, help);
        } else if let Some(species) = item.word(f, &known) {
            if order.contains(&species.value) {
                let problem = format!("`{}` stands twice in the order", species.value);
                f.error_because(&species.place, problem, why::TWICE, "keep the first");
            }
            order.push(species.value);
        }
    }
    Some(cursor.at(DrawOrder::Species(order)))
}

fn trading(cursor: &Cursor<'_>) -> At<Trading> {
    match cursor.raw() {
        Some(("none", _)) => cursor.at(Trading::None),
        Some((text, _)) => cursor.at(Trading::Other(text.to_owned())),
        None => cursor.at(Trading::Other(String::new())),
    }
}
