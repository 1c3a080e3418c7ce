//! The document as a whole.

use std::collections::{BTreeMap, BTreeSet};

use super::actions::{self, Action};
use super::billing::{self, Fee};
use super::plan::{self, Plan};
use super::{features, plan::AllowanceLine};
use crate::playbook::finding::{At, Findings, Place, shown};
use crate::playbook::meaning::Feature;
use crate::playbook::read::{Cursor, Fields};
use crate::playbook::shape::whole as shape;
use crate::playbook::tree::Node;
use crate::playbook::version::Grandfather;
use crate::types::{Length, Money, Name, Rounding, Timestamp};

/// The format that this build reads.
pub const FORMAT: u32 = 1;

/// The most actions: each has its counters in usage reports.
pub const ACTIONS_MAX: usize = 10_000;

/// The most plans, and the most add-ons: negotiated contracts are overrides, not plans.
pub const PLANS_MAX: usize = 1_000;

/// What is sound of a document. A part with an error in its writing is left out, and its name kept.
#[derive(Debug, Default)]
pub struct Document {
    pub name: Option<At<Name>>,
    pub version: Option<At<u32>>,
    pub effective: Option<At<Timestamp>>,
    pub notice: Option<At<Length>>,
    pub grandfather: Option<At<Grandfather>>,
    pub credit: Option<Credit>,
    pub actions: BTreeMap<Name, Action>,
    /// Of all actions, sound or not.
    pub action_names: BTreeSet<Name>,
    pub plans: Vec<Plan>,
    /// Where `addons` stands.
    pub addons_place: Option<Place>,
    pub addons: Vec<AddOn>,
}

#[derive(Debug)]
pub struct Credit {
    pub unit: At<Unit>,
    pub scale: Option<At<u32>>,
    pub rounding: Option<At<Rounding>>,
    pub price: At<Money>,
    pub currency: At<String>,
}

/// What the credit stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Input,
    Activity,
    Capacity,
    Output,
    Outcome,
}

/// What is bought beside a plan.
#[derive(Debug)]
pub struct AddOn {
    pub name: At<Name>,
    pub allowance: Vec<At<AllowanceLine>>,
    pub features: BTreeMap<String, Feature>,
    pub fee: Option<At<Fee>>,
}

/// Reads a document; everything that is wrong with its writing goes to `f`.
pub fn read(node: &Node, f: &mut Findings) -> Document {
    let mut document = Document::default();
    let Some(fields) = Cursor::top(node).fields(f, &shape::DOCUMENT) else {
        return document;
    };
    format(&fields, f);
    document.name = fields.require(f, "playbook", "my-product").and_then(|c| c.name(f));
    document.version = fields.require(f, "version", "1").and_then(|c| c.of(16).whole(f, 1));
    document.effective = fields.get("effective").and_then(|c| instant(&c.of(16), f));
    document.notice = fields.get("notice").and_then(|c| c.of(16).length(f));
    document.grandfather = fields.get("grandfather").and_then(|c| {
        let words = [
            ("none", Grandfather::None),
            ("until_renewal", Grandfather::UntilRenewal),
            ("forever", Grandfather::Forever),
        ];
        c.of(16).length_or(f, &words)
    });
    document.credit =
        fields.require(f, "credit", "{unit: output, price: 0.10, currency: USD}").and_then(|c| credit(&c, f));
    if let Some(register) = fields.require(f, "actions", "{draft: {weight: 1}}") {
        for (name, cursor) in register.named(f, ACTIONS_MAX) {
            document.action_names.insert(name.value.clone());
            if let Some(action) = actions::read(name, &cursor.of(2), f) {
                document.actions.insert(action.name.value.clone(), action);
            }
        }
    }
    if let Some(plans) = fields.require(f, "plans", "{basic: {allowance: {credits: 100, every: month}}}") {
        for (name, cursor) in plans.named(f, PLANS_MAX) {
            document.plans.extend(plan::read(name, &cursor, f));
        }
    }
    if let Some(addons) = fields.get("addons") {
        document.addons_place = Some(addons.place().clone());
        for (name, cursor) in addons.of(15).named(f, PLANS_MAX) {
            document.addons.extend(addon(name, &cursor, f));
        }
    }
    document
}

fn format(fields: &Fields<'_>, f: &mut Findings) {
    let Some(format) = fields.require(f, "bursar", "1").and_then(|c| c.whole(f, 0)) else {
        return;
    };
    if format.value != FORMAT {
        let problem = format!("`{}` is not a format that this build reads", format.value);
        f.error(&format.place, problem, format!("write `bursar: {FORMAT}`"));
    }
}

fn instant(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<Timestamp>> {
    let text = cursor.text(f)?;
    match text.value.parse() {
        Ok(instant) => Some(text.with(instant)),
        Err(_) => {
            let problem =
                format!("`{}` is not a day and time with its zone, from 1900 to 2500", shown(&text.value));
            f.error(&text.place, problem, "write all of it, such as `2026-12-01T00:00:00Z`");
            None
        }
    }
}

fn credit(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Credit> {
    let fields = cursor.clone().fields(f, &shape::CREDIT)?;
    let unit = fields.require(f, "unit", "output").and_then(|c| {
        let words = [
            ("input", Unit::Input),
            ("activity", Unit::Activity),
            ("capacity", Unit::Capacity),
            ("output", Unit::Output),
            ("outcome", Unit::Outcome),
        ];
        c.of(1).word(f, &words)
    });
    let scale = fields.get("scale").and_then(|c| scale(&c.of(1), f));
    let rounding = fields.get("rounding").and_then(|c| {
        let words = [("up", Rounding::Up), ("half_even", Rounding::HalfEven), ("down", Rounding::Down)];
        c.of(4).word(f, &words)
    });
    let price = fields.require(f, "price", "0.10").and_then(|c| c.of(4).amount(f));
    let currency = fields.require(f, "currency", "USD").and_then(|c| currency(&c.of(4), f));
    Some(Credit { unit: unit?, scale, rounding, price: price?, currency: currency? })
}

fn scale(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<u32>> {
    let scale = cursor.whole(f, 0)?;
    if scale.value > crate::types::amount::SCALE_MAX {
        let problem = format!("a balance has at most 9 decimal places, not {}", scale.value);
        f.error(&scale.place, problem, "write a number from 0 to 9");
        return None;
    }
    Some(scale)
}

fn currency(cursor: &Cursor<'_>, f: &mut Findings) -> Option<At<String>> {
    let text = cursor.text(f)?;
    if text.value.len() == 3 && text.value.bytes().all(|b| b.is_ascii_uppercase()) {
        return Some(text);
    }
    let problem = format!("`{}` is not a currency", shown(&text.value));
    f.error(&text.place, problem, "write its three capital letters, such as `USD`");
    None
}

fn addon(name: At<Name>, cursor: &Cursor<'_>, f: &mut Findings) -> Option<AddOn> {
    let before = f.refused();
    let fields = cursor.fields(f, &shape::ADDON)?;
    let addon = AddOn {
        name,
        allowance: fields.get("allowance").map(|c| plan::allowance(&c.of(3), f)).unwrap_or_default(),
        features: fields.get("features").map(|c| features::read(&c, f)).unwrap_or_default(),
        fee: fields.get("fee").and_then(|c| billing::fee(&c.of(4), f)),
    };
    (f.refused() == before).then_some(addon)
}
