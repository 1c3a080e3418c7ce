//! A charge over what a run holds: spent from the hold, an overrun drawn anew, the rest given back.

use super::book::Book;
use super::cap::{CapHold, Kind};
use super::draw::{self, Limits};
use super::event::{CapFlow, Flow, Place};
use super::hold::{self, Draw};
use super::reservation::{Reservation, State};
use crate::types::Credits;

/// The deepest family: children of children beyond this are refused, so that no walk to the root is long.
pub const DEPTH_MAX: usize = 32;

/// What brings a run's charge to its total.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settlement {
    pub flows: Vec<Flow>,
    pub caps: Vec<CapFlow>,
    /// By how much the run's debt changes.
    pub debt: Credits,
}

/// What becomes of what the run still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The run goes on: it keeps its hold, and a lowered charge returns there.
    Keep,
    /// The run ends in this state: everything goes back.
    Back(State),
}

/// Brings the charge of an open run to `target`, in all.
pub fn settle(book: &Book, run: &Reservation, target: Credits, limits: Limits<'_>, rest: Rest) -> Settlement {
    let mut out = Settlement::default();
    let ancestors = book.ancestors(run.run.parent);
    let charged = run.charged();
    let mut kept = run.held.clone();
    if target >= charged {
        let (own, missing) = hold::first(&run.held, target - charged);
        for part in &own {
            hold::remove(&mut kept, part);
        }
        push(&mut out.flows, own, Place::Held, Place::Spent);
        out.debt = overrun(&mut out.flows, book, &ancestors, missing, limits);
    } else {
        let lowered = charged - target;
        out.debt = -lowered.min(run.debt);
        let (parts, _) = hold::last(&run.spent, lowered + out.debt);
        for part in parts {
            let to = if rest == Rest::Keep { Place::Held } else { back(book, &ancestors, &part, limits) };
            out.flows.push(flow(part, Place::Spent, to));
        }
    }
    if let Rest::Back(_) = rest {
        for part in kept {
            out.flows.push(flow(part, Place::Held, back(book, &ancestors, &part, limits)));
        }
    }
    // Of most counters a part is spent, and the rest goes back.
    out.caps.reserve(2 * run.caps.len());
    for counter in &run.caps {
        caps(&mut out.caps, counter, &ancestors, target, rest);
    }
    out
}

/// Draws what a run used beyond its hold: on its parent's hold, the parent's parent's, then the pools. Answers what
/// nobody could pay.
fn overrun(
    flows: &mut Vec<Flow>,
    book: &Book,
    ancestors: &[&Reservation],
    amount: Credits,
    limits: Limits<'_>,
) -> Credits {
    let mut missing = amount;
    for ancestor in ancestors {
        if !missing.is_positive() {
            return missing;
        }
        let (parts, left) = hold::first(&ancestor.held, missing);
        push(flows, parts, Place::Other(ancestor.id), Place::Spent);
        missing = left;
    }
    let drawn = draw::draw(&book.pools, missing, limits);
    push(flows, drawn.draws, Place::Free, Place::Spent);
    drawn.missing
}

/// Draws for work without an open reservation: a late commit, a record, an event.
pub fn charge_directly(book: &Book, amount: Credits, limits: Limits<'_>) -> (Vec<Flow>, Credits) {
    let mut flows = Vec::new();
    let debt = overrun(&mut flows, book, &[], amount, limits);
    (flows, debt)
}

/// Where a run's credits go back to: the nearest open ancestor, else the block, where they lapse if it has ended.
fn back(book: &Book, ancestors: &[&Reservation], part: &Draw, limits: Limits<'_>) -> Place {
    match ancestors.first() {
        Some(ancestor) => Place::Other(ancestor.id),
        None if book.block(part.block).is_some_and(|block| block.has_ended(limits.at)) => Place::Lapsed,
        None => Place::Free,
    }
}

fn caps(
    flows: &mut Vec<CapFlow>,
    counter: &CapHold,
    ancestors: &[&Reservation],
    target: Credits,
    rest: Rest,
) {
    let mut add = |amount: Credits, from, to| {
        if amount.is_positive() {
            flows.push(CapFlow { key: counter.key.clone(), amount, from, to });
        }
    };
    let sharer = ancestors.iter().find(|a| a.caps.iter().any(|hold| hold.key == counter.key));
    let home = sharer.map_or(Place::Free, |ancestor| Place::Other(ancestor.id));
    match counter.measure {
        Kind::Credits => {
            let more = target.saturating_sub(counter.spent);
            let own = more.min(counter.held);
            add(own, Place::Held, Place::Spent);
            let mut beyond = more - own;
            for ancestor in ancestors {
                let theirs = ancestor.caps.iter().find(|hold| hold.key == counter.key).map(|hold| hold.held);
                let part = theirs.unwrap_or_default().min(beyond);
                add(part, Place::Other(ancestor.id), Place::Spent);
                beyond -= part;
            }
            add(beyond, Place::Free, Place::Spent);
            let less = counter.spent.saturating_sub(target);
            let returned = if rest == Rest::Keep { Place::Held } else { home };
            add(less, Place::Spent, returned);
            if rest != Rest::Keep {
                add(counter.held - own, Place::Held, home);
            }
        }
        Kind::Runs => match rest {
            Rest::Keep | Rest::Back(State::AwaitingOutcome) => {}
            Rest::Back(State::Released) => add(counter.held, Place::Held, Place::Free),
            Rest::Back(_) => add(counter.held, Place::Held, Place::Spent),
        },
        Kind::Concurrent => {
            if rest != Rest::Keep {
                add(counter.held, Place::Held, Place::Free);
            }
        }
    }
}

/// A run that awaits its outcome holds no slot.
pub fn free_slots(run: &Reservation) -> Vec<CapFlow> {
    run.caps
        .iter()
        .filter(|hold| hold.measure == Kind::Concurrent && hold.held.is_positive())
        .map(|hold| CapFlow { key: hold.key.clone(), amount: hold.held, from: Place::Held, to: Place::Free })
        .collect()
}

pub fn flow(draw: Draw, from: Place, to: Place) -> Flow {
    Flow { block: draw.block, species: draw.species, amount: draw.amount, from, to }
}

pub fn push(flows: &mut Vec<Flow>, draws: Vec<Draw>, from: Place, to: Place) {
    flows.extend(draws.into_iter().map(|draw| flow(draw, from, to)));
}

/// What the flows charge to the run `id` on top of `before`, block by block.
pub fn spent_after(before: &[Draw], flows: &[Flow]) -> Vec<Draw> {
    let mut spent = before.to_vec();
    for flow in flows {
        let draw = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        if flow.to == Place::Spent {
            hold::add(&mut spent, draw);
        }
        if flow.from == Place::Spent {
            hold::remove(&mut spent, &draw);
        }
    }
    spent
}
