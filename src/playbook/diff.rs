//! C16: what one version changes against another, for whom, and what of it is dearer. A dearer version needs notice.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rust_decimal::Decimal;

use super::document::{self, Document};
use super::finding::Findings;
use super::flat::{Flat, Leaf, Sense, is_fine};
use super::meaning::Playbook;
use super::tree;
use crate::types::{Length, Name, Timestamp, calendar};

/// One thing that a version says otherwise than another.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The keys that lead to it: `plans.team.price`.
    pub path: String,
    /// What was said; `None` = nothing.
    pub before: Option<String>,
    pub after: Option<String>,
    /// It is none of the changes that make nothing dearer.
    pub dearer: bool,
    /// It is a price, a fee or a weight, and it rises.
    pub price_rises: bool,
    pub whom: Whom,
}

/// Whose terms a change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Whom {
    Everyone,
    /// Accounts on these plans.
    Plans(Vec<Name>),
    /// Accounts with this add-on.
    AddOn(String),
    /// It is new: nobody has it yet.
    Nobody,
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everyone => f.write_str("everyone"),
            Self::Plans(plans) => {
                let plans: Vec<&str> = plans.iter().map(Name::as_str).collect();
                write!(f, "{} {}", if plans.len() == 1 { "plan" } else { "plans" }, plans.join(", "))
            }
            Self::AddOn(addon) => write!(f, "add-on {addon}"),
            Self::Nobody => f.write_str("nobody"),
        }
    }
}

/// What a version changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// By their paths.
    pub changes: Vec<Change>,
}

impl Diff {
    /// What `new` changes against `old`. Both were checked; what of a text cannot be read says nothing.
    pub fn between(old: &Playbook, new: &Playbook) -> Self {
        Self::of_sources(&old.source, &new.source)
    }

    fn of_sources(old: &str, new: &str) -> Self {
        let (old, new) = (read(old), read(new));
        let (before, after) = (Flat::of(&old), Flat::of(&new));
        let mut changes = Vec::new();
        for group in after.groups.difference(&before.groups) {
            changes.push(Change {
                path: group.clone(),
                before: None,
                after: Some("new".to_owned()),
                dearer: false,
                price_rises: false,
                whom: if inner(group) { whom(group, &new) } else { Whom::Nobody },
            });
        }
        for group in outermost(before.groups.difference(&after.groups)) {
            changes.push(Change {
                path: group.clone(),
                before: Some("there".to_owned()),
                after: None,
                dearer: true,
                price_rises: false,
                whom: whom(group, &old),
            });
        }
        let paths: BTreeSet<&String> = before.leaves.keys().chain(after.leaves.keys()).collect();
        for path in paths {
            if in_one_only(path, &before.groups, &after.groups) || is_of_all(path, &after) {
                continue;
            }
            let sides = (said(&before, path), said(&after, path));
            changes.extend(change(path, sides, &new));
        }
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        Self { changes }
    }

    pub fn is_dearer(&self) -> bool {
        self.changes.iter().any(|change| change.dearer)
    }

    /// Prices, fees and weights that rise.
    pub fn price_rises(&self) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(|change| change.price_rises)
    }

    /// The earliest `effective` of a version that is published at `at` while one with this notice is in force.
    pub fn earliest(&self, notice: Option<Length>, at: Timestamp) -> Timestamp {
        match notice {
            Some(notice) if self.is_dearer() => calendar::plus(at, notice, &jiff::tz::TimeZone::UTC),
            _ => at,
        }
    }
}

fn read(source: &str) -> Document {
    let mut findings = Findings::default();
    let root = tree::documents(source).0.into_iter().next();
    root.map(|root| document::read(&root, &mut findings)).unwrap_or_default()
}

/// A value that both or one of two versions say.
fn change(path: &str, (old, new): (Option<&Leaf>, Option<&Leaf>), document: &Document) -> Option<Change> {
    let (fine, rises) = match (old, new) {
        (Some(old), Some(new)) if same(old, new) => return None,
        (Some(old), Some(new)) => {
            let fine = is_fine(new.sense, old, new);
            (fine, new.price && new.sense != Sense::Fixed && !fine)
        }
        (None, Some(new)) => (new.added || new.sense == Sense::Free, new.price && !new.added),
        (Some(old), None) => (old.removed || old.sense == Sense::Free, false),
        (None, None) => return None,
    };
    Some(Change {
        path: path.to_owned(),
        before: old.map(|leaf| leaf.shown.clone()),
        after: new.map(|leaf| leaf.shown.clone()),
        dearer: !fine,
        price_rises: rises,
        whom: whom(path, document),
    })
}

fn same(old: &Leaf, new: &Leaf) -> bool {
    old.size == new.size && (old.shown == new.shown || old.size != super::flat::Size::Word)
}

/// What a version says at a path. A price at a boundary that it does not name is that of the tier around it.
fn said<'a>(flat: &'a Flat, path: &str) -> Option<&'a Leaf> {
    if let Some(leaf) = flat.leaves.get(path) {
        return Some(leaf);
    }
    let (prefix, from) = path.rsplit_once("from_").filter(|(prefix, _)| prefix.ends_with(".price."))?;
    let from: Decimal = from.parse().ok()?;
    let tiers: BTreeMap<Decimal, &Leaf> = flat
        .leaves
        .iter()
        .filter_map(|(path, leaf)| {
            Some((path.strip_prefix(prefix)?.strip_prefix("from_")?.parse().ok()?, leaf))
        })
        .collect();
    tiers.range(..=from).next_back().map(|(_, leaf)| *leaf)
}

/// Whether a path lies in a group that only one of two versions has.
fn in_one_only(path: &str, before: &BTreeSet<String>, after: &BTreeSet<String>) -> bool {
    before.symmetric_difference(after).any(|group| is_in(path, group))
}

/// Whether a path is an action that a plan includes, where the plan now includes all.
fn is_of_all(path: &str, after: &Flat) -> bool {
    let plan = path.split_once(".includes.").map(|(plan, _)| format!("{plan}.includes"));
    plan.is_some_and(|all| after.leaves.contains_key(&all))
}

fn is_in(path: &str, group: &str) -> bool {
    path.strip_prefix(group).is_some_and(|rest| rest.starts_with(['.', '[']))
}

fn outermost<'a>(groups: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let mut outer: Vec<&String> = Vec::new();
    for group in groups {
        if !outer.iter().any(|known| is_in(group, known)) {
            outer.push(group);
        }
    }
    outer
}

/// Whether a group is part of a plan.
fn inner(group: &str) -> bool {
    [".packs.", ".incentives.", ".alerts."].iter().any(|part| group.contains(part))
}

fn whom(path: &str, document: &Document) -> Whom {
    let names = |keeps: &dyn Fn(&document::plan::Plan) -> bool| {
        let plans = document.plans.iter().filter(|plan| keeps(plan));
        Whom::Plans(plans.map(|plan| plan.name.value.clone()).collect())
    };
    if let Some(rest) = path.strip_prefix("plans.") {
        return names(&|plan| {
            rest.strip_prefix(plan.name.value.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        });
    }
    if let Some(rest) = path.strip_prefix("actions.") {
        return names(&|plan| {
            let covers = |name: &Name| {
                let rest = rest.strip_prefix(name.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
            };
            plan.includes.as_ref().is_none_or(|names| names.iter().any(|name| covers(&name.value)))
        });
    }
    match path.strip_prefix("addons.") {
        Some(rest) => Whom::AddOn(rest.split('.').next().unwrap_or_default().to_owned()),
        None => Whom::Everyone,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::check;

    fn version(credit: &str, action: &str, plan: &str, rest: &str) -> String {
        let source = format!(
            "bursar: 1\nplaybook: p\nversion: 1\nnotice: 10d\ncredit: {{unit: output, currency: USD, {credit}}}\n\
             actions: {{draft: {{{action}}}}}\nplans: {{team: {{{plan}}}}}\n{rest}"
        );
        let report = check(&source);
        let errors: Vec<_> = report.of(crate::playbook::Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:?} {source}");
        source
    }

    const CREDIT: &str = "price: 0.10";
    const ACTION: &str = "weight: 2, failure: 50%, retries: {within: 10m, free: 1}, minimum: 1";
    const PLAN: &str = "allowance: {credits: 100, every: month}, fee: {amount: 10, every: month}, \
        overage: [{soft: {up_to: 50, price: [{up_to: 10, at: 0.20}, {at: 0.10}]}}], \
        caps: [{name: c, per: user, limit: 5, every: day}], rollover: {subscription: {up_to: 50%, lasts: 1mo}}";

    /// Whether a version with one part otherwise is dearer, and how many prices rise.
    #[test]
    fn a_version_is_dearer_unless_every_change_makes_nothing_dearer() {
        let base = version(CREDIT, ACTION, PLAN, "");
        for (part, from, to, dearer, rises) in [
            (1, "weight: 2", "weight: 3", true, 1),
            (1, "weight: 2", "weight: 1", false, 0),
            (1, "weight: 2", "weight: 3, per: 2", false, 0),
            (1, "minimum: 1", "minimum: 2", true, 1),
            (1, "failure: 50%", "failure: none", false, 0),
            (1, "failure: 50%", "failure: full", true, 0),
            (1, "free: 1", "free: 2", false, 0),
            (1, "within: 10m", "within: 5m", true, 0),
            (1, "weight: 2", "weight: 2, trigger: event", true, 0),
            (1, "weight: 2", "weight: 2, value: 9", false, 0),
            (1, "weight: 2", "weight: 2, quantity: page", false, 0),
            (1, "weight: 2", "weight: 2, reserve: {ttl: 20m}", false, 0),
            (0, "price: 0.10", "price: 0.09", false, 0),
            (0, "price: 0.10", "price: 0.11", true, 2),
            (0, "price: 0.10", "price: 0.10, rounding: down", true, 0),
            (2, "credits: 100", "credits: 120", false, 0),
            (2, "credits: 100", "credits: 90", true, 0),
            (2, "every: month}, fee", "every: week}, fee", true, 0),
            (2, "amount: 10", "amount: 12", true, 1),
            (2, "fee: {amount: 10, every: month}, ", "", false, 0),
            (2, "up_to: 50,", "up_to: 60,", false, 0),
            (2, "up_to: 50,", "up_to: 40,", true, 0),
            (2, "up_to: 50,", "", false, 0),
            (2, "at: 0.10", "at: 0.12", true, 1),
            (2, "{up_to: 10, at: 0.20}, {at: 0.10}", "{at: 0.10}", false, 0),
            (2, "{up_to: 10, at: 0.20}, {at: 0.10}", "{up_to: 5, at: 0.20}, {at: 0.10}", false, 0),
            (2, "{up_to: 10, at: 0.20}, {at: 0.10}", "{up_to: 20, at: 0.20}, {at: 0.10}", true, 1),
            (2, "limit: 5", "limit: 6", false, 0),
            (2, "limit: 5", "limit: 4", true, 0),
            (2, "per: user", "per: team", true, 0),
            (2, "up_to: 50%", "up_to: 60%", false, 0),
            (2, "lasts: 1mo", "lasts: 20d", true, 0),
            (2, "lasts: 1mo", "lasts: 31d", false, 0),
            (2, "lasts: 1mo", "lasts: 30d", true, 0),
            (2, "allowance", "alerts: [{name: low, balance_below: 5}], allowance", false, 0),
            (2, "allowance", "mode: observe, allowance", true, 0),
            (2, "allowance", "includes: [draft], allowance", true, 0),
            (2, "allowance", "on_demand: {packs: {s: {credits: 5, price: 1}}}, allowance", false, 0),
            (2, "allowance", "incentives: {i: {credits: 5}}, allowance", false, 0),
            (2, "allowance", "draw_order: lifo, allowance", true, 0),
        ] {
            let mut parts = [CREDIT.to_owned(), ACTION.to_owned(), PLAN.to_owned()];
            assert!(parts[part].contains(from), "{from}");
            parts[part] = parts[part].replacen(from, to, 1);
            let diff = Diff::of_sources(&base, &version(&parts[0], &parts[1], &parts[2], ""));
            let said = format!("{from} -> {to}: {:#?}", diff.changes);
            assert_eq!((diff.is_dearer(), diff.price_rises().count()), (dearer, rises), "{said}");
        }
    }

    #[test]
    fn a_diff_says_whom_it_touches_and_when_it_may_take_effect() {
        let base = version(CREDIT, ACTION, PLAN, "");
        assert_eq!(Diff::of_sources(&base, &base), Diff::default());
        let addon = "addons: {more: {features: {sso: true}}}";
        let new = version(
            CREDIT,
            "weight: 3, failure: 50%, retries: {within: 10m, free: 1}, minimum: 1",
            PLAN,
            addon,
        );
        let diff = Diff::of_sources(&base, &new);
        let said: Vec<_> = diff.changes.iter().map(|change| (change.path.as_str(), &change.whom)).collect();
        let team = Whom::Plans(vec![Name::parse("team").unwrap()]);
        assert_eq!(said, [("actions.draft.weight", &team), ("addons.more", &Whom::Nobody)]);
        let at: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(diff.earliest(Some(Length::days(10)), at).to_string(), "2026-01-11T00:00:00Z");
        assert_eq!(diff.earliest(None, at), at);
    }

    #[test]
    fn every_key_of_the_language_is_compared() {
        let whole = include_str!("../../tests/playbook/whole-language.yaml");
        let flat = Flat::of(&read(whole));
        assert!(flat.leaves.len() > 100, "{}", flat.leaves.len());
        assert_eq!(Diff::of_sources(whole, whole), Diff::default());
    }
}
