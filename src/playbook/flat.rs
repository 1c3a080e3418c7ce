//! A document as one flat list of what it says, every default filled in: what two versions are compared by.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rust_decimal::Decimal;

use super::action::{Partial, Terms, Weight};
use super::compile;
use super::document::Document;
use super::document::actions::Action;
use super::document::plan::AllowanceLine;
use super::document::whole::AddOn;
use super::finding::At;
use super::scalar::{Portion, TIMES};
use super::version::Grandfather;
use crate::types::calendar::Every;
use crate::types::{Length, Ratio};

/// Which way a value may change and make nothing dearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sense {
    Lower,
    Higher,
    /// No way.
    Fixed,
    /// Any way: it has no effect on what a run costs or may do.
    Free,
}

/// A value as far as two can be compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Size {
    Number(Ratio),
    Share(Ratio),
    Time(Length),
    /// No limit, no end.
    Unlimited,
    Word,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    pub shown: String,
    pub size: Size,
    pub sense: Sense,
    /// It is a price, a fee or a weight: what is paid.
    pub price: bool,
    /// Whether it makes nothing dearer to say it where nothing was said, and to say it no longer.
    pub added: bool,
    pub removed: bool,
}

/// What a document says, by the path of its keys.
#[derive(Clone, Debug, Default)]
pub struct Flat {
    pub leaves: BTreeMap<String, Leaf>,
    /// Actions, plans, add-ons, packs, incentives and alerts: a new one makes nothing dearer.
    pub groups: BTreeSet<String>,
}

impl Leaf {
    fn new(shown: impl fmt::Display, size: Option<Size>, sense: Sense) -> Self {
        let size = size.unwrap_or(Size::Word);
        Self { shown: shown.to_string(), size, sense, price: false, added: false, removed: false }
    }

    pub fn number(value: Decimal, sense: Sense) -> Self {
        Self::new(value.normalize(), Ratio::of(value).map(Size::Number), sense)
    }

    pub fn percent(value: crate::types::Percent, sense: Sense) -> Self {
        Self::new(value, value.ratio().map(Size::Share), sense)
    }

    pub fn portion(value: Portion, sense: Sense) -> Self {
        match value {
            Portion::Share(percent) => Self::percent(percent, sense),
            Portion::Credits(credits) => Self::number(credits.decimal(), sense),
        }
    }

    pub fn length(value: Length, sense: Sense) -> Self {
        Self::new(value, Some(Size::Time(value)), sense)
    }

    pub fn unlimited(word: &str, sense: Sense) -> Self {
        Self::new(word, Some(Size::Unlimited), sense)
    }

    pub fn word(value: impl fmt::Display, sense: Sense) -> Self {
        Self::new(value, None, sense)
    }

    /// What is paid.
    pub fn price(mut self) -> Self {
        self.price = true;
        self
    }

    /// It may be added, or left out, and makes nothing dearer.
    pub fn may(mut self, added: bool, removed: bool) -> Self {
        (self.added, self.removed) = (added, removed);
        self
    }
}

impl Flat {
    pub fn of(document: &Document) -> Self {
        let mut flat = Self::default();
        flat.whole(document);
        for (name, action) in &document.actions {
            flat.action(&format!("actions.{name}"), action);
        }
        for plan in &document.plans {
            let list = document.credit.as_ref().map(|credit| credit.price.value).unwrap_or_default();
            flat.plan(&format!("plans.{}", plan.name.value), plan, list);
        }
        for addon in &document.addons {
            flat.addon(&format!("addons.{}", addon.name.value), addon);
        }
        flat
    }

    pub fn put(&mut self, path: &str, key: &str, leaf: Leaf) {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        self.leaves.insert(path, leaf);
    }

    fn whole(&mut self, document: &Document) {
        let notice = document.notice.as_ref().map_or(Length::seconds(0), |notice| notice.value);
        self.put("", "notice", Leaf::length(notice, Sense::Higher));
        let grandfather = document.grandfather.as_ref().map(|at| at.value).unwrap_or_default();
        self.put("", "grandfather", kept(grandfather));
        let Some(credit) = &document.credit else { return };
        let put = |flat: &mut Self, key: &str, leaf| flat.put("credit", key, leaf);
        put(self, "unit", Leaf::word(format!("{:?}", credit.unit.value).to_lowercase(), Sense::Free));
        let scale = credit.scale.as_ref().map_or(0, |scale| scale.value);
        put(self, "scale", Leaf::number(scale.into(), Sense::Fixed));
        let rounding = credit.rounding.as_ref().map(|rounding| rounding.value).unwrap_or_default();
        put(self, "rounding", Leaf::word(format!("{rounding:?}").to_lowercase(), Sense::Fixed));
        put(self, "price", Leaf::number(credit.price.value.decimal(), Sense::Lower).price());
        put(self, "currency", Leaf::word(&credit.currency.value, Sense::Fixed));
    }

    fn action(&mut self, path: &str, action: &Action) {
        self.groups.insert(path.to_owned());
        let unit = action.keys.quantity.as_ref().map_or("", |quantity| quantity.value.as_str());
        self.put(path, "quantity", Leaf::word(unit, Sense::Free));
        if let Some(terms) = compile::terms(&action.keys) {
            self.terms(path, &terms);
        }
        for (index, entry) in action.when.iter().enumerate() {
            let dimensions: Vec<String> =
                entry.dimensions.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let path = format!("{path}.when[{index}]");
            self.put(&path, "dimensions", Leaf::word(dimensions.join(","), Sense::Fixed));
            if let Some(terms) = compile::terms(&entry.keys.over(&action.keys)) {
                self.terms(&path, &terms);
            }
        }
    }

    fn terms(&mut self, path: &str, terms: &Terms) {
        let weight = |weight: Decimal| {
            // What is paid for one unit: a weight for more units is a lower one.
            let one = Ratio::of(weight).and_then(|weight| weight.divide(terms.per));
            let shown = if terms.per == Decimal::ONE {
                weight.normalize().to_string()
            } else {
                format!("{} per {}", weight.normalize(), terms.per.normalize())
            };
            Leaf::new(shown, one.map(Size::Number), Sense::Lower).price()
        };
        match &terms.weight {
            Weight::Single(single) => self.put(path, "weight", weight(*single)),
            Weight::Meters(meters) => {
                for (meter, single) in meters {
                    self.put(path, &format!("weight.{meter}"), weight(*single));
                }
            }
        }
        self.put(path, "trigger", Leaf::word(format!("{:?}", terms.trigger).to_lowercase(), Sense::Fixed));
        for (key, share) in
            [("failure", terms.failure), ("cancelled", terms.cancelled), ("lapse", terms.lapse)]
        {
            self.put(path, key, Leaf::percent(share, Sense::Lower));
        }
        let partial = match terms.partial {
            Partial::Prorate => "prorate".to_owned(),
            Partial::AllOrNothing => "all_or_nothing".to_owned(),
            Partial::Threshold(threshold) => format!("threshold {threshold}"),
        };
        self.put(path, "partial", Leaf::word(partial, Sense::Fixed));
        let within = terms.retries.map_or(Length::seconds(0), |retries| retries.within);
        self.put(path, "retries.within", Leaf::length(within, Sense::Higher));
        let free = terms.retries.map_or(0, |retries| retries.free);
        self.put(path, "retries.free", Leaf::number(free.into(), Sense::Higher));
        for (key, length) in [
            ("reserve.ttl", terms.ttl),
            ("reserve.longest", terms.longest),
            ("reserve.outcome_ttl", terms.outcome_ttl),
        ] {
            self.put(path, key, Leaf::length(length, Sense::Higher));
        }
        self.put(path, "minimum", Leaf::number(terms.minimum.decimal(), Sense::Lower).price());
        self.put(path, "basic", Leaf::word(terms.basic, Sense::Fixed));
        if let Some(value) = terms.value {
            self.put(path, "value", Leaf::number(value.decimal(), Sense::Free).may(true, true));
        }
    }

    fn addon(&mut self, path: &str, addon: &AddOn) {
        self.groups.insert(path.to_owned());
        self.allowances(path, &addon.allowance);
        self.features(path, &addon.features);
        self.fee(path, addon.fee.as_ref().map(|at| &at.value));
    }

    pub fn allowances(&mut self, path: &str, lines: &[At<AllowanceLine>]) {
        for (index, line) in lines.iter().enumerate() {
            let path = format!("{path}.allowance[{index}]");
            let line = &line.value;
            let credits = Leaf::number(line.credits.value.decimal(), Sense::Higher);
            self.put(&path, "credits", credits.may(true, false));
            let (every, lasts) = match line.every.value {
                super::document::plan::Recurrence::Every(every) => (word(every), None),
                super::document::plan::Recurrence::Once => ("once".to_owned(), Some(line.lasts.as_ref())),
            };
            self.put(&path, "every", Leaf::word(every, Sense::Fixed).may(true, false));
            if let Some(lasts) = lasts {
                let leaf = endless(lasts.map(|lasts| lasts.value));
                self.put(&path, "lasts", leaf.may(true, false));
            }
        }
    }

    pub fn features(&mut self, path: &str, features: &BTreeMap<String, super::meaning::Feature>) {
        for (name, feature) in features {
            self.put(path, &format!("features.{name}"), Leaf::word(format!("{feature:?}"), Sense::Fixed));
        }
    }

    pub fn fee(&mut self, path: &str, fee: Option<&super::document::billing::Fee>) {
        let Some(fee) = fee else { return };
        let amount = Leaf::number(fee.amount.value.decimal(), Sense::Lower).price();
        self.put(path, "fee.amount", amount.may(false, true));
        self.put(path, "fee.every", Leaf::word(word(fee.every.value), Sense::Fixed).may(false, true));
    }
}

/// A length of time of which there is more; left out it does not end.
pub fn endless(lasts: Option<Length>) -> Leaf {
    match lasts {
        Some(lasts) => Leaf::length(lasts, Sense::Higher),
        None => Leaf::unlimited("forever", Sense::Higher),
    }
}

fn kept(grandfather: Grandfather) -> Leaf {
    match grandfather {
        Grandfather::None => Leaf::length(Length::seconds(0), Sense::Higher),
        Grandfather::UntilRenewal => Leaf::word("until_renewal", Sense::Higher),
        Grandfather::Forever => Leaf::unlimited("forever", Sense::Higher),
        Grandfather::For(length) => Leaf::length(length, Sense::Higher),
    }
}

/// The word for how often something starts anew.
pub fn word(every: Every) -> String {
    match every {
        Every::Length(length) => length.to_string(),
        other => TIMES
            .iter()
            .find(|(_, known)| *known == other)
            .map_or_else(String::new, |(word, _)| (*word).to_owned()),
    }
}

/// Whether the new size makes nothing dearer in that sense.
pub fn is_fine(sense: Sense, before: &Leaf, after: &Leaf) -> bool {
    match sense {
        Sense::Free => true,
        Sense::Fixed => before.shown == after.shown && before.size == after.size,
        Sense::Higher => at_least(after.size, before.size) == Some(true),
        Sense::Lower => at_least(before.size, after.size) == Some(true),
    }
}

/// Whether `a` is at least `b`; `None` where they cannot be compared.
fn at_least(a: Size, b: Size) -> Option<bool> {
    match (a, b) {
        (Size::Number(a), Size::Number(b)) | (Size::Share(a), Size::Share(b)) => a.at_least(b),
        (Size::Time(a), Size::Time(b)) => Some(shortest(a, b) >= longest(b, a)),
        (Size::Unlimited, _) => Some(true),
        // A word that is no number, such as `until_renewal`, is more than nothing at all.
        (Size::Word, Size::Time(Length::Exact(0))) => Some(true),
        (Size::Number(_) | Size::Share(_) | Size::Time(_), Size::Unlimited) => Some(false),
        _ => None,
    }
}

const DAY: i64 = 86_400_000_000;

/// Months against months and days against days compare as they are; a month against days may have 28 to 31 of them.
fn shortest(length: Length, other: Length) -> i64 {
    match (length, other) {
        (Length::Months(months), Length::Exact(_)) => i64::from(months) * 28 * DAY,
        _ => length.approximate_micros(),
    }
}

fn longest(length: Length, other: Length) -> i64 {
    match (length, other) {
        (Length::Months(months), Length::Exact(_)) => i64::from(months) * 31 * DAY,
        _ => length.approximate_micros(),
    }
}
