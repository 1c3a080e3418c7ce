//! Caps: counters per scope and window, in the algebra of blocks. A reservation must hold room in every hard cap that
//! matches it; a soft cap only tells.

use jiff::tz::TimeZone;
use minicbor::{Decode, Encode};

use super::reservation::{Reservation, Run};
use crate::playbook::Plan;
use crate::playbook::cap::{Cap, Measure, Scope};
use crate::types::calendar::{self, Every, Stretch};
use crate::types::{Credits, Name, ReservationId, Timestamp};

/// One counter of a cap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct CapKey {
    #[n(0)]
    pub cap: Name,
    #[n(1)]
    pub scope: ScopeKey,
    /// The window's start; zero where the cap has none.
    #[n(2)]
    pub window: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum ScopeKey {
    #[n(0)]
    Account,
    /// A team, user, agent, action or `run_id`.
    #[n(1)]
    Named(#[n(0)] Name),
    /// A root run without a `run_id`: known only where it was authorised, so its room needs no lease.
    #[n(2)]
    Root(#[n(0)] ReservationId),
}

/// Room of one counter: at the ledger the cap's limit, at a sidecar what is leased of it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Counter {
    #[n(0)]
    pub limit: Credits,
    #[n(1)]
    pub held: Credits,
    #[n(2)]
    pub spent: Credits,
    /// When its window ends; `None` = it has none.
    #[n(3)]
    pub ends_at: Option<Timestamp>,
    /// When it last changed: counters without a window are forgotten some time after.
    #[n(4)]
    pub used_at: Timestamp,
}

/// What one run needs of one counter.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Need {
    #[n(0)]
    pub key: CapKey,
    #[n(1)]
    pub amount: Credits,
    /// The cap's own limit.
    #[n(2)]
    pub limit: Credits,
    #[n(3)]
    pub soft: bool,
    #[n(4)]
    pub ends_at: Option<Timestamp>,
}

/// Room that a run holds, and what of it became use.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CapHold {
    #[n(0)]
    pub key: CapKey,
    #[n(1)]
    pub held: Credits,
    #[n(2)]
    pub spent: Credits,
    #[n(3)]
    pub measure: Kind,
}

/// What a counter counts: it decides what the end of a run gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Kind {
    #[n(0)]
    Credits,
    #[n(1)]
    Runs,
    #[n(2)]
    Concurrent,
}

impl Counter {
    pub fn new(limit: Credits, ends_at: Option<Timestamp>, at: Timestamp) -> Self {
        Self { limit, held: Credits::ZERO, spent: Credits::ZERO, ends_at, used_at: at }
    }

    /// What still fits.
    pub fn room(&self) -> Credits {
        self.limit.saturating_sub(self.held + self.spent)
    }

    /// Of a slice's counter: what is leased and not yet used, be it held or idle.
    pub fn leased(&self) -> Credits {
        self.limit.saturating_sub(self.spent)
    }

    pub fn used(&self) -> Credits {
        self.held + self.spent
    }
}

impl Kind {
    pub fn of(measure: &Measure) -> Self {
        match measure {
            Measure::Credits { .. } => Self::Credits,
            Measure::Runs { .. } => Self::Runs,
            Measure::Concurrent { .. } => Self::Concurrent,
        }
    }
}

/// When and where windows of caps are counted.
#[derive(Clone, Debug)]
pub struct WindowBase<'a> {
    pub at: Timestamp,
    /// The subscription's start.
    pub origin: Timestamp,
    pub zone: &'a TimeZone,
}

/// What a run of `amount` credits needs of the plan's caps, in the plan's order. `budget` names the run whose budget it
/// counts in where it has no `run_id`.
pub fn needs(
    plan: &Plan,
    run: &Run,
    budget: ReservationId,
    amount: Credits,
    base: &WindowBase<'_>,
) -> Vec<Need> {
    // Most caps of a plan count in the same window, which takes longer to find than all the rest.
    let mut last = None;
    let mut window = |every: Every| match last {
        Some((known, window)) if known == every => window,
        _ => {
            let window = calendar::window(base.at, every, base.origin, base.zone);
            last = Some((every, window));
            window
        }
    };
    // Most caps count most runs: one allocation.
    let mut needs = Vec::with_capacity(plan.caps.len());
    needs.extend(plan.caps.iter().filter_map(|cap| need(cap, run, budget, amount, &mut window)));
    needs
}

fn need(
    cap: &Cap,
    run: &Run,
    budget: ReservationId,
    amount: Credits,
    window: impl FnMut(Every) -> Stretch,
) -> Option<Need> {
    let scope = scope(cap, run, budget)?;
    let amount = match cap.measure {
        Measure::Credits { .. } => amount,
        Measure::Runs { .. } => Credits::ONE,
        // Open root runs; per run, the open children of one root.
        Measure::Concurrent { .. } if (cap.per == Scope::Run) == run.parent.is_some() => Credits::ONE,
        Measure::Concurrent { .. } => return None,
    };
    let window = cap.window().map(window);
    Some(Need {
        key: CapKey {
            cap: cap.name.clone(),
            scope,
            window: window.map_or(Timestamp::default(), |w| w.start),
        },
        amount,
        limit: cap.limit(),
        soft: cap.soft,
        ends_at: window.map(|w| w.end),
    })
}

/// The scope's counter that a run counts in; `None` where the cap does not match it.
fn scope(cap: &Cap, run: &Run, budget: ReservationId) -> Option<ScopeKey> {
    let named = |name: Option<&Name>| {
        name.filter(|name| cap.matches.as_ref().is_none_or(|glob| glob.matches(name.as_str())))
            .map(|name| ScopeKey::Named(name.clone()))
    };
    match cap.per {
        Scope::Account => Some(ScopeKey::Account),
        Scope::Team => named(run.subject.team.as_ref()),
        Scope::User => named(run.subject.user.as_ref()),
        Scope::Agent => named(run.subject.agent.as_ref()),
        Scope::Action => named(Some(&run.action)),
        Scope::Run => match &run.run_id {
            Some(run_id) => named(Some(run_id)),
            None => cap.matches.is_none().then_some(ScopeKey::Root(budget)),
        },
    }
}

/// How much of a need an ancestor's hold already covers: a cap that matches parent and child counts the child's credits
/// once; runs and children count each for itself.
pub fn carried(parent: &Reservation, need: &Need) -> Credits {
    parent
        .caps
        .iter()
        .find(|hold| hold.key == need.key && hold.measure == Kind::Credits)
        .map_or(Credits::ZERO, |hold| hold.held.min(need.amount))
}
