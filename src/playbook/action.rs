//! C1, C2, C4: the weight register, and what a run costs.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::types::{Credits, Length, Money, Name, Percent};

#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    pub name: Name,
    /// What holds where no `when` entry matches.
    pub terms: Terms,
    /// The first entry whose dimensions all match holds.
    pub when: Vec<When>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct When {
    /// Dimension → value.
    pub dimensions: BTreeMap<String, String>,
    /// The action's terms with this entry's keys in place.
    pub terms: Terms,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    pub weight: Weight,
    /// The weight is for so many units; above zero.
    pub per: Decimal,
    pub trigger: Trigger,
    pub failure: Percent,
    pub cancelled: Percent,
    pub partial: Partial,
    pub lapse: Percent,
    pub retries: Option<Retries>,
    /// How long a reservation lives.
    pub ttl: Length,
    /// The most it may live with all its extensions.
    pub longest: Length,
    /// How long it may await its outcome.
    pub outcome_ttl: Length,
    /// The full charge is at least this where it is above zero.
    pub minimum: Credits,
    /// Still runs in degraded use.
    pub basic: bool,
    /// What one unit is worth to the buyer.
    pub value: Option<Money>,
}

/// Credits per unit; zero or more.
#[derive(Clone, Debug, PartialEq)]
pub enum Weight {
    Single(Decimal),
    Meters(BTreeMap<Name, Decimal>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trigger {
    /// Authorise charges, finally.
    Event,
    /// Commit charges.
    #[default]
    Output,
    /// A verified outcome charges.
    Outcome,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Partial {
    #[default]
    Prorate,
    AllOrNothing,
    Threshold(Percent),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retries {
    /// Counted from the end of the run that is retried.
    pub within: Length,
    /// How many retries of a chain are charged only what the chain has not paid yet.
    pub free: u32,
}

impl Action {
    /// The terms for a run with these dimensions.
    pub fn terms_for(&self, dimensions: &BTreeMap<Name, Name>) -> &Terms {
        self.when
            .iter()
            .find(|entry| {
                entry.dimensions.iter().all(|(key, value)| {
                    dimensions.get(key.as_str()).is_some_and(|given| given.as_str() == value)
                })
            })
            .map_or(&self.terms, |entry| &entry.terms)
    }
}
