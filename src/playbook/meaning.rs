//! The compiled playbook: plain values, checked, with every default filled in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::action::Action;
use super::addon::AddOn;
use super::alert::Alert;
use super::allowance::{Allowance, Anchor};
use super::billing::{Commitment, Fee, Term};
use super::cap::Cap;
use super::draw_order::{DrawOrder, Species};
use super::incentive::Incentive;
use super::offline::Offline;
use super::on_demand::OnDemand;
use super::overage::Link;
use super::pooling::Pooling;
use super::refund::Refunds;
use super::rollover::Roll;
use super::transfer::Transfers;
use super::version::Grandfather;
use crate::types::{Credits, Length, Money, Name, Rounding, Timestamp};

/// One version of a playbook.
#[derive(Debug)]
pub struct Playbook {
    pub name: Name,
    pub version: u32,
    /// From when runs are priced by it; `None` = from when it is published.
    pub effective: Option<Timestamp>,
    /// How long before its `effective` a dearer next version must be published.
    pub notice: Option<Length>,
    pub grandfather: Grandfather,
    pub credit: CreditUnit,
    pub actions: BTreeMap<Name, Action>,
    pub plans: BTreeMap<Name, Arc<Plan>>,
    pub addons: BTreeMap<Name, AddOn>,
    /// The document as published.
    pub source: Arc<str>,
}

/// What one credit is.
#[derive(Clone, Debug)]
pub struct CreditUnit {
    /// Decimal places of a balance.
    pub scale: u32,
    pub rounding: Rounding,
    /// List price of one credit.
    pub price: Money,
    pub currency: String,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub name: Name,
    pub mode: Mode,
    /// The actions that the plan covers; `None` = all.
    pub includes: Option<BTreeSet<Name>>,
    /// Price of one credit under this plan.
    pub price: Money,
    pub features: BTreeMap<String, Feature>,
    /// The first sets the period; empty = pay as you go.
    pub allowances: Vec<Allowance>,
    pub anchor: Anchor,
    pub term: Option<Term>,
    /// The plan's own, then those of add-ons.
    pub fees: Vec<Fee>,
    pub commitment: Option<Commitment>,
    /// Tried in order; empty = hard ceiling.
    pub overage: Vec<Link>,
    pub rollover: Vec<Roll>,
    pub pooling: Pooling,
    pub on_demand: OnDemand,
    pub incentives: BTreeMap<Name, Incentive>,
    pub refunds: Refunds,
    pub draw_order: DrawOrder,
    pub transfers: Transfers,
    pub caps: Vec<Cap>,
    pub alerts: Vec<Alert>,
    pub offline: Offline,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Enforce,
    /// Decide and record everything, refuse nothing.
    Observe,
}

/// A static entitlement, served as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Feature {
    Bool(bool),
    /// A number as written.
    Number(String),
    Text(String),
    List(Vec<Feature>),
    Map(BTreeMap<String, Feature>),
}

impl Plan {
    /// Credits of overage that each user may draw in one period.
    pub fn overage_per_user(&self) -> Option<Credits> {
        self.overage.iter().find_map(|link| match link {
            Link::Soft { per_user, .. } => *per_user,
            _ => None,
        })
    }

    pub fn rolls(&self, species: Species) -> Option<&Roll> {
        self.rollover.iter().find(|roll| roll.species == species)
    }

    /// Whether what is held at a period's end matters to what the next one has: then it must be known run by run.
    pub fn carries_over(&self) -> bool {
        !self.rollover.is_empty() || self.overage.iter().any(|link| matches!(link, Link::Borrow { .. }))
    }

    /// What is left of a plan once its subscription is over: it says what may still run, and grants and bills nothing.
    pub(super) fn end(&mut self) {
        self.allowances.clear();
        self.overage.clear();
        self.fees.clear();
        self.term = None;
        self.commitment = None;
    }

    pub fn covers(&self, action: &Name) -> bool {
        self.includes.as_ref().is_none_or(|actions| actions.contains(action))
    }
}
