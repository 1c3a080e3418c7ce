//! What an account's plan says now, and the versions that open runs are pinned to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::fault::Fault;
use crate::credit::{CapKey, Counter};
use crate::playbook::action::{Action, Terms};
use crate::playbook::{Feature, Plan, Playbook, cap};
use crate::types::{Credits, Name, Timestamp, calendar};

/// The published versions, by number.
#[derive(Clone, Debug, Default)]
pub struct Playbooks(BTreeMap<u32, Arc<Playbook>>);

/// One account's terms.
#[derive(Clone, Debug)]
pub struct Contract {
    pub playbook: Arc<Playbook>,
    pub plan: Arc<Plan>,
    /// The subscription's start.
    pub origin: Timestamp,
    pub zone: TimeZone,
    pub suspended: bool,
    /// The overage limit that an administrator set for this account.
    pub overage_limit: Option<Credits>,
    pub period_ends: Timestamp,
}

impl Contract {
    /// Seats, as the plan's features say.
    pub fn seats(&self) -> Option<u32> {
        match self.plan.features.get("seats") {
            Some(Feature::Number(seats)) => seats.parse().ok(),
            _ => None,
        }
    }

    /// A counter as it is born: the cap's limit, and the end of its window.
    pub fn counter(&self, key: &CapKey, at: Timestamp) -> Option<Counter> {
        let cap = cap::named(&self.plan, key.cap.as_str())?;
        let ends = cap.window().map(|every| calendar::window(key.window, every, self.origin, &self.zone).end);
        Some(Counter::new(cap.limit(), ends, at))
    }
}

impl Playbooks {
    pub fn publish(&mut self, playbook: Playbook) -> Arc<Playbook> {
        let playbook = Arc::new(playbook);
        self.0.insert(playbook.version, playbook.clone());
        playbook
    }

    pub fn version(&self, version: u32) -> Option<&Arc<Playbook>> {
        self.0.get(&version)
    }

    /// The version in force.
    pub fn latest(&self) -> Option<&Arc<Playbook>> {
        self.0.values().next_back()
    }

    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Playbook>> {
        self.0.values()
    }

    /// The action of a version; a name that no version has is a fault, one that only others have is `None`.
    pub fn action<'a>(&self, playbook: &'a Playbook, name: &Name) -> Result<Option<&'a Action>, Fault> {
        if let Some(action) = playbook.actions.get(name) {
            return Ok(Some(action));
        }
        if self.all().any(|other| other.actions.contains_key(name)) {
            return Ok(None);
        }
        let nearest = playbook
            .actions
            .keys()
            .map(|known| (distance(known.as_str(), name.as_str()), known))
            .min()
            .filter(|(steps, _)| *steps <= 2)
            .map(|(_, known)| known.clone());
        Err(Fault::ActionUnknown { action: name.clone(), nearest })
    }

    /// The terms that a run is pinned to.
    pub fn terms(
        &self,
        version: u32,
        action: &Name,
        dimensions: &BTreeMap<Name, Name>,
    ) -> Option<(&Playbook, &Terms)> {
        let playbook = self.version(version)?;
        Some((playbook, playbook.actions.get(action)?.terms_for(dimensions)))
    }
}

/// Edits between two short words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let cost = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = cost.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or(0)
}
