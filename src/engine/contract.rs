//! What an account's plan says now, and the versions that open runs are pinned to.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use thiserror::Error;

use super::fault::Fault;
use crate::credit::{CapKey, Counter};
use crate::playbook::action::{Action, Terms};
use crate::playbook::diff::Diff;
use crate::playbook::overlay::{self, Overlay};
use crate::playbook::version::in_force_from;
use crate::playbook::{Feature, Plan, Playbook, cap};
use crate::types::{Credits, Name, Timestamp, calendar};

/// The published versions, by number.
#[derive(Clone, Debug, Default)]
pub struct Playbooks {
    versions: BTreeMap<u32, Arc<Playbook>>,
    /// From when each is in force.
    from: BTreeMap<u32, Timestamp>,
}

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
    /// What the account has beside its plan, or in its place; `plan` has it in it.
    pub overlay: Overlay,
}

/// What a plan says follows from its version, its name and the overlay.
impl PartialEq for Contract {
    fn eq(&self, other: &Self) -> bool {
        let named = |contract: &Self| (contract.playbook.version, contract.plan.name.clone());
        named(self) == named(other)
            && (&self.overlay, &self.zone, self.origin) == (&other.overlay, &other.zone, other.origin)
            && (self.suspended, self.overage_limit, self.period_ends)
                == (other.suspended, other.overage_limit, other.period_ends)
    }
}

impl Contract {
    /// The terms of a plan for one account; `None` where the version does not have the plan, or no longer what the account
    /// has beside it.
    pub fn of(playbook: &Arc<Playbook>, plan: &Name, overlay: Overlay, since: Since<'_>) -> Option<Self> {
        Some(Self {
            plan: overlay::plan(playbook, plan, &overlay).ok()?,
            playbook: playbook.clone(),
            origin: since.origin,
            zone: TimeZone::get(since.zone).unwrap_or(TimeZone::UTC),
            suspended: false,
            overage_limit: None,
            period_ends: since.origin,
            overlay,
        })
    }

    /// Seats: what the account subscribed to, else the plan's feature `seats`.
    pub fn seats(&self) -> Option<u32> {
        self.overlay.seats.or_else(|| match self.plan.features.get("seats") {
            Some(Feature::Number(text)) => text.parse().ok(),
            _ => None,
        })
    }

    /// A counter as it is born: the cap's limit, and the end of its window.
    pub fn counter(&self, key: &CapKey, at: Timestamp) -> Option<Counter> {
        let cap = cap::named(&self.plan, key.cap.as_str())?;
        let ends = cap.window().map(|every| calendar::window(key.window, every, self.origin, &self.zone).end);
        Some(Counter::new(cap.limit(), ends, at))
    }
}

/// Why a version may not be published.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PublishRefusal {
    #[error("version {given} is not higher than {newest}, the newest; give it a higher number")]
    VersionNotHigher { given: u32, newest: u32 },
    #[error("`{change}` makes it dearer, and that needs notice; write `effective: {earliest}` or later")]
    NoticeTooShort { earliest: Timestamp, change: String },
}

impl PublishRefusal {
    /// The reason in the error's details.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::VersionNotHigher { .. } => "VERSION_NOT_HIGHER",
            Self::NoticeTooShort { .. } => "NOTICE_TOO_SHORT",
        }
    }
}

/// Since when and where an account counts its time.
#[derive(Clone, Copy, Debug)]
pub struct Since<'a> {
    /// The subscription's start.
    pub origin: Timestamp,
    /// An IANA name.
    pub zone: &'a str,
}

impl Playbooks {
    /// A version that is in force from its `effective` on, or always where it names none: when it was published does not
    /// matter to who asks.
    pub fn publish(&mut self, playbook: Playbook) -> Arc<Playbook> {
        self.publish_at(playbook, Timestamp::from_micros(i64::MIN))
    }

    pub fn publish_at(&mut self, playbook: Playbook, at: Timestamp) -> Arc<Playbook> {
        let playbook = Arc::new(playbook);
        self.from.insert(playbook.version, in_force_from(playbook.effective, at));
        self.versions.insert(playbook.version, playbook.clone());
        playbook
    }

    pub fn version(&self, version: u32) -> Option<&Arc<Playbook>> {
        self.versions.get(&version)
    }

    /// The highest version, in force or not yet.
    pub fn latest(&self) -> Option<&Arc<Playbook>> {
        self.versions.values().next_back()
    }

    /// From when a version is in force.
    pub fn in_force_from(&self, version: u32) -> Option<Timestamp> {
        self.from.get(&version).copied()
    }

    /// The version in force: the highest whose time has come. Before the first one's time there is nothing else to price
    /// by, and it is in force.
    pub fn in_force(&self, at: Timestamp) -> Option<&Arc<Playbook>> {
        let mut all = self.versions.values();
        let begun =
            |playbook: &&Arc<Playbook>| self.in_force_from(playbook.version).is_none_or(|from| from <= at);
        self.versions.values().rev().find(begun).or_else(|| all.next())
    }

    /// Whether a version may be published at `at`: higher than all before it, and where it is dearer than one that is in
    /// force or to come, announced as long before it takes effect as the version in force promises.
    pub fn admits(&self, playbook: &Playbook, at: Timestamp) -> Result<(), PublishRefusal> {
        let Some(newest) = self.latest() else { return Ok(()) };
        if playbook.version <= newest.version {
            return Err(PublishRefusal::VersionNotHigher { given: playbook.version, newest: newest.version });
        }
        let Some(in_force) = self.in_force(at) else { return Ok(()) };
        let known = self.all().filter(|known| known.version >= in_force.version);
        let dearer = known.map(|known| Diff::between(known, playbook)).find(Diff::is_dearer);
        let Some(dearer) = dearer else { return Ok(()) };
        let earliest = dearer.earliest(in_force.notice, at);
        if in_force_from(playbook.effective, at) >= earliest {
            return Ok(());
        }
        let why = dearer.changes.into_iter().find(|change| change.dearer).map(|change| change.path);
        Err(PublishRefusal::NoticeTooShort { earliest, change: why.unwrap_or_default() })
    }

    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Arc<Playbook>> {
        self.versions.values()
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
