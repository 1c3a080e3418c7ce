//! The credit weight register as written.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::playbook::action::{Partial, Retries, Trigger, Weight};
use crate::playbook::finding::{At, Findings, Place, shown, why};
use crate::playbook::nearest::one_edit_away;
use crate::playbook::read::{Cursor, Fields};
use crate::playbook::shape::action as shape;
use crate::playbook::tree::{Entry, Kind};
use crate::types::{Credits, Length, Money, Name, Percent};

/// The most `when` entries of an action: they are tried one after another for each run.
pub const WHEN_MAX: usize = 256;

/// The most meters of a weight: a run names them in each call.
pub const METERS_MAX: usize = 64;

#[derive(Debug)]
pub struct Action {
    pub name: At<Name>,
    pub keys: Keys,
    pub when: Vec<When>,
}

#[derive(Debug)]
pub struct When {
    pub dimensions: BTreeMap<String, String>,
    /// Only those that this entry names.
    pub keys: Keys,
}

#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub weight: Option<At<Weight>>,
    /// What one unit is, for people.
    pub quantity: Option<At<String>>,
    pub per: Option<At<Decimal>>,
    pub trigger: Option<At<Trigger>>,
    pub failure: Option<At<Percent>>,
    pub cancelled: Option<At<Percent>>,
    pub partial: Option<At<Partial>>,
    pub lapse: Option<At<Percent>>,
    pub retries: Option<At<Retries>>,
    pub reserve: Option<At<Reserve>>,
    pub minimum: Option<At<Credits>>,
    pub basic: Option<At<bool>>,
    pub value: Option<At<Money>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Reserve {
    pub ttl: Option<At<Length>>,
    pub longest: Option<At<Length>>,
    pub outcome_ttl: Option<At<Length>>,
}

impl Keys {
    /// These keys, and where one is missing that of `base`.
    pub fn over(&self, base: &Self) -> Self {
        let (own, base) = (self.clone(), base.clone());
        Self {
            weight: own.weight.or(base.weight),
            quantity: own.quantity.or(base.quantity),
            per: own.per.or(base.per),
            trigger: own.trigger.or(base.trigger),
            failure: own.failure.or(base.failure),
            cancelled: own.cancelled.or(base.cancelled),
            partial: own.partial.or(base.partial),
            lapse: own.lapse.or(base.lapse),
            retries: own.retries.or(base.retries),
            reserve: own.reserve.or(base.reserve),
            minimum: own.minimum.or(base.minimum),
            basic: own.basic.or(base.basic),
            value: own.value.or(base.value),
        }
    }
}

/// `None` where anything in it is wrong.
pub fn read(name: At<Name>, cursor: &Cursor<'_>, f: &mut Findings) -> Option<Action> {
    let fields = cursor.fields(f, &shape::ACTION)?;
    // A key too many does not touch what the others say.
    let before = f.refused();
    fields.require(f, "weight", "1");
    let keys = keys(&fields, f);
    let when = fields.get("when").map(|c| c.items(f, WHEN_MAX)).unwrap_or_default();
    let when = when.iter().filter_map(|c| entry(c, f)).collect();
    (f.refused() == before).then_some(Action { name, keys, when })
}

fn keys(fields: &Fields<'_>, f: &mut Findings) -> Keys {
    Keys {
        weight: fields.get("weight").and_then(|c| weight(&c.of(4), f)),
        quantity: fields.get("quantity").and_then(|c| c.of(1).text(f)),
        per: fields.get("per").and_then(|c| above_zero(&c.of(4), f)),
        trigger: fields.get("trigger").and_then(|c| {
            let words =
                [("event", Trigger::Event), ("output", Trigger::Output), ("outcome", Trigger::Outcome)];
            c.word(f, &words)
        }),
        failure: fields.get("failure").and_then(|c| share(&c, f)),
        cancelled: fields.get("cancelled").and_then(|c| share(&c, f)),
        partial: fields.get("partial").and_then(|c| partial(&c, f)),
        lapse: fields.get("lapse").and_then(|c| share(&c, f)),
        retries: fields.get("retries").and_then(|c| retries(&c, f)),
        reserve: fields.get("reserve").and_then(|c| reserve(&c, f)),
        minimum: fields.get("minimum").and_then(|c| c.of(4).amount(f)),
        basic: fields.get("basic").and_then(|c| c.of(5).flag(f)),
        value: fields.get("value").and_then(|c| c.of(4).amount(f)),
    }
}

/// An entry's keys that are no action keys are its dimensions.
fn entry(cursor: &Cursor<'_>, f: &mut Findings) -> Option<When> {
    let (fields, others) = cursor.fields_and_others(f, &shape::WHEN)?;
    let keys = keys(&fields, f);
    let mut dimensions = BTreeMap::new();
    for other in others {
        if let Some(key) = shape::ACTION.names().find(|key| one_edit_away(&other.key, key)) {
            let problem = format!("`{}` is one letter away from the action key `{key}`", shown(&other.key));
            let help = if key == "when" {
                "an entry of `when` has no `when` of its own".to_owned()
            } else {
                format!("write `{key}`, or give the dimension another name")
            };
            f.plain_error(cursor.place(), other.mark, problem, why::UNKNOWN, help);
        } else if let Some(value) = dimension(cursor.place(), other, f) {
            dimensions.insert(other.key.clone(), value);
        }
    }
    Some(When { dimensions, keys })
}

fn dimension(place: &Place, entry: &Entry, f: &mut Findings) -> Option<String> {
    let mut refuse =
        |problem: String, help: &str| f.plain_error(place, entry.mark, problem, why::VALUE, help.to_owned());
    if let Err(error) = Name::parse(&entry.key) {
        refuse(
            format!("the dimension `{}` {error}", shown(&entry.key)),
            "write a name of at most 128 bytes without control characters",
        );
        return None;
    }
    match &entry.value.kind {
        Kind::Scalar { text, .. } if Name::parse(text).is_ok() && !entry.value.is_null() => {
            Some(text.clone())
        }
        _ => {
            let problem =
                format!("`{}` is neither an action key nor a dimension with one value", shown(&entry.key));
            refuse(problem, "write one value of at most 128 bytes, such as `model: large`");
            None
        }
    }
}

fn weight(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Weight>> {
    if !cursor.is_map() {
        return cursor.factor(f).map(|factor| factor.with(Weight::Single(factor.value)));
    }
    let before = f.refused();
    let mut meters = BTreeMap::new();
    for (meter, cursor) in cursor.named(f, METERS_MAX) {
        if let Some(factor) = cursor.factor(f) {
            meters.insert(meter.value, factor.value);
        }
    }
    if meters.is_empty() && f.refused() == before {
        f.error_because(
            cursor.place(),
            "a weight by meters names no meter",
            "a run that nothing measures costs nothing.",
            "write `{input_tokens: 0.25}`, or a number",
        );
    }
    (f.refused() == before).then(|| cursor.at(Weight::Meters(meters)))
}

fn above_zero(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Decimal>> {
    let factor = cursor.factor(f)?;
    if factor.value.is_zero() {
        f.error_because(
            &factor.place,
            "a weight for no units means nothing",
            "a price divided by nothing is no price.",
            "write a number above zero, such as `1000`",
        );
        return None;
    }
    Some(factor)
}

/// `none`, `full` or a percentage of the full charge.
fn share(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Percent>> {
    match cursor.raw() {
        Some((text, _)) if text.starts_with(|c: char| c.is_ascii_digit() || c == '-') => {
            cursor.percent(f, true)
        }
        _ => {
            let words = [("none", Percent::default()), ("full", Percent::FULL)];
            cursor.word_also(f, &words, "or a percentage such as `15%`")
        }
    }
}

fn partial(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Partial>> {
    if !cursor.is_map() {
        let words = [("prorate", Partial::Prorate), ("all_or_nothing", Partial::AllOrNothing)];
        return cursor.word_also(f, &words, "or `{threshold: 50%}`");
    }
    let fields = cursor.fields(f, &shape::PARTIAL)?;
    let least = fields.require(f, "threshold", "50%").and_then(|c| c.percent(f, true))?;
    Some(cursor.at(Partial::Threshold(least.value)))
}

fn retries(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Retries>> {
    let fields = cursor.fields(f, &shape::RETRIES)?;
    let within = fields.require(f, "within", "10m").and_then(|c| c.length(f));
    let free = fields.require(f, "free", "2").and_then(|c| c.whole(f, 0));
    Some(cursor.at(Retries { within: within?.value, free: free?.value }))
}

fn reserve(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Reserve>> {
    let fields = cursor.fields(f, &shape::RESERVE)?;
    let reserve = Reserve {
        ttl: fields.get("ttl").and_then(|c| c.length(f)),
        longest: fields.get("longest").and_then(|c| c.length(f)),
        outcome_ttl: fields.get("outcome_ttl").and_then(|c| c.length(f)),
    };
    Some(cursor.at(reserve))
}
