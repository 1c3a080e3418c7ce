//! The heartbeat of a long run: it charges the totals so far, changes what the run holds ahead, and sets a new time.

use super::answer::{ProgressAnswer, paid_by};
use super::call::Progress;
use super::commit::{Outcome, chained, lack, pinned};
use super::fault::Fault;
use super::frame::Frame;
use super::offline;
use crate::credit::cap::Kind;
use crate::credit::draw::{self, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::path::debtor;
use crate::credit::settle::{self, Rest, Settlement};
use crate::credit::{
    CapFlow, CapKey, Change, Decision, Flow, Place, Reason, Refusal, Reservation, RunEvent, State,
};
use crate::playbook::action::{Terms, Trigger};
use crate::playbook::charge::Quantities;
use crate::playbook::meaning::CreditUnit;
use crate::playbook::{Mode, cap as policy};
use crate::types::{Credits, Quantity, Timestamp};

/// What is left of a hold once the charge is taken.
struct Kept {
    draws: Vec<Draw>,
    total: Credits,
}

/// How the hold changes.
#[derive(Default)]
struct Growth {
    flows: Vec<Flow>,
    caps: Vec<CapFlow>,
    missing: Credits,
    refusal: Option<Refusal>,
}

pub fn progress(frame: &Frame<'_>, call: &Progress) -> Result<Outcome<ProgressAnswer>, Fault> {
    let Some(run) = frame.book.runs.get(&call.id) else {
        return match frame.book.finals.get(&call.id) {
            Some(ended) => Err(Fault::ReservationSettled { state: ended.state, charged: ended.charged() }),
            None => Ok(Outcome::Elsewhere),
        };
    };
    let (playbook, terms) = pinned(frame, run.version, &run.run)?;
    if call.ttl.is_some_and(|ttl| ttl <= 0) {
        return Err(Fault::InvalidTtl);
    }
    for quantities in call.quantities.iter().chain(&call.ahead) {
        terms.accepts(quantities)?;
    }
    let totals = call.quantities.as_ref().or(run.reported.as_ref());
    let target = target(frame, run, terms, &playbook.credit, totals)?;
    let path = frame.path(&run.run.subject);
    let limits = frame.limits(terms.basic, &path, &run.run.subject);
    let settlement = settle::settle(frame.book, run, target, limits, Rest::Keep);
    let kept = kept(run, &settlement.flows);
    let wanted = match &call.ahead {
        Some(ahead) if !run.free && terms.trigger != Trigger::Event => {
            let all = sum(totals, ahead)?;
            chained(frame, run.id, run.chain.as_ref(), terms.success(&playbook.credit, &all)?)
                .saturating_sub(target)
        }
        _ => kept.total,
    };
    let growth = resize(frame, run, &kept, wanted, limits, &settlement.flows);
    if run.run.parent.is_none()
        && let Some(lack) = lack(frame, &path, run, &drawn(&settlement, &growth), growth.missing)
    {
        return Ok(Outcome::Short(Box::new(lack)));
    }
    let expires_at = new_end(frame, run, call.ttl);
    let mut event =
        RunEvent::new(run.id, frame.at, Change::Progressed { reported: call.quantities.clone(), expires_at });
    event.debt = settlement.debt;
    event.debt_pool = debtor(&path);
    event.flows = settlement.flows;
    event.caps = settlement.caps;
    event.flows.extend(growth.flows);
    event.caps.extend(growth.caps);
    let mut answer = answer(frame, run, &event, growth.refusal, expires_at);
    answer.missing = event.debt.or_zero() + growth.missing;
    Ok(Outcome::Done(answer, Some(Box::new(event))))
}

/// What the totals so far cost: without the minimum, rounded down; an outcome costs nothing before it is verified.
fn target(
    frame: &Frame<'_>,
    run: &Reservation,
    terms: &Terms,
    credit: &CreditUnit,
    totals: Option<&Quantities>,
) -> Result<Credits, Fault> {
    let Some(totals) = totals.filter(|_| !run.free && run.state == State::Held) else {
        return Ok(run.charged());
    };
    Ok(chained(frame, run.id, run.chain.as_ref(), terms.instalment(credit, totals)?))
}

fn kept(run: &Reservation, flows: &[Flow]) -> Kept {
    let mut draws = run.held.clone();
    for flow in flows {
        let draw = Draw { block: flow.block, species: flow.species, amount: flow.amount };
        if flow.from == Place::Held {
            hold::remove(&mut draws, &draw);
        }
        if flow.to == Place::Held {
            hold::add(&mut draws, draw);
        }
    }
    let total = hold::total(&draws);
    Kept { draws, total }
}

/// All that a heartbeat draws, for its charge and for what is ahead.
fn drawn(settlement: &Settlement, growth: &Growth) -> Settlement {
    let mut all = settlement.clone();
    all.flows.extend(growth.flows.iter().copied());
    all
}

fn resize(
    frame: &Frame<'_>,
    run: &Reservation,
    kept: &Kept,
    wanted: Credits,
    limits: Limits<'_>,
    charged: &[Flow],
) -> Growth {
    if wanted <= kept.total {
        return shrink(frame, run, kept, kept.total - wanted);
    }
    let more = wanted - kept.total;
    let parent = run.run.parent.and_then(|id| frame.book.runs.get(&id));
    let mut growth = Growth::default();
    if frame.contract.suspended {
        growth.refusal = Some(Refusal::because(Reason::AccountSuspended));
    }
    for counter in run.caps.iter().filter(|counter| counter.measure == Kind::Credits) {
        let carried = parent
            .and_then(|p| p.caps.iter().find(|hold| hold.key == counter.key))
            .map_or(Credits::ZERO, |hold| hold.held.min(more));
        let fresh = more - carried;
        if let Some(refusal) = no_room(frame, &counter.key, fresh) {
            growth.refusal.get_or_insert(refusal);
        }
        let source = parent.map_or(Place::Free, |p| Place::Other(p.id));
        for (amount, from) in [(carried, source), (fresh, Place::Free)] {
            if amount.is_positive() {
                growth.caps.push(CapFlow { key: counter.key.clone(), amount, from, to: Place::Held });
            }
        }
    }
    let (draws, missing, source) = match parent {
        Some(parent) => {
            let mut left = parent.held.clone();
            take_off(&mut left, charged, Place::Other(parent.id));
            let (draws, missing) = hold::first(&left, more);
            (draws, missing, Place::Other(parent.id))
        }
        None => {
            // The charge may have drawn on the blocks already: what it took is passed over.
            let taken: Credits = charged.iter().filter(|f| f.from == Place::Free).map(|f| f.amount).sum();
            let drawn = draw::draw(&frame.book.pools, more + taken, limits);
            let mut left = drawn.draws;
            take_off(&mut left, charged, Place::Free);
            let (draws, missing) = hold::first(&left, more);
            (draws, missing, Place::Free)
        }
    };
    if missing.is_positive() {
        let reason = match (parent, frame.unreachable()) {
            (Some(_), _) => Reason::RunBudgetExhausted,
            (None, true) => Reason::LedgerUnreachable,
            (None, false) => Reason::CreditsExhausted,
        };
        growth.refusal.get_or_insert(Refusal::because(reason));
    }
    settle::push(&mut growth.flows, draws, source, Place::Held);
    growth.missing = missing;
    let observe = frame.contract.plan.mode == Mode::Observe;
    if growth.refusal.is_some() && !observe {
        growth.flows.clear();
        growth.caps.clear();
    }
    growth
}

/// Takes off what the charge's flows draw from the same place.
fn take_off(draws: &mut Vec<Draw>, charged: &[Flow], from: Place) {
    for flow in charged.iter().filter(|flow| flow.from == from) {
        hold::remove(draws, &Draw { block: flow.block, species: flow.species, amount: flow.amount });
    }
}

/// Holds less: the last of what it drew goes back first.
fn shrink(frame: &Frame<'_>, run: &Reservation, kept: &Kept, surplus: Credits) -> Growth {
    let mut growth = Growth::default();
    let (draws, _) = hold::last(&kept.draws, surplus);
    let parent = frame.book.ancestors(run.run.parent).first().map(|parent| parent.id);
    for draw in draws {
        let gone = frame.book.block(draw.block).is_some_and(|block| block.has_ended(frame.at));
        let to = match parent {
            Some(id) => Place::Other(id),
            None if gone => Place::Lapsed,
            None => Place::Free,
        };
        growth.flows.push(settle::flow(draw, Place::Held, to));
    }
    if surplus.is_positive() {
        for counter in run.caps.iter().filter(|counter| counter.measure == Kind::Credits) {
            let shares = parent
                .and_then(|id| frame.book.runs.get(&id))
                .is_some_and(|p| p.caps.iter().any(|hold| hold.key == counter.key));
            let to = parent.filter(|_| shares).map_or(Place::Free, Place::Other);
            let amount = surplus.min(counter.held);
            if amount.is_positive() {
                growth.caps.push(CapFlow { key: counter.key.clone(), amount, from: Place::Held, to });
            }
        }
    }
    growth
}

fn no_room(frame: &Frame<'_>, key: &CapKey, fresh: Credits) -> Option<Refusal> {
    let cap = policy::named(&frame.contract.plan, key.cap.as_str()).filter(|cap| !cap.soft)?;
    let counter = frame.book.counters.get(key)?;
    let room =
        if frame.rest().is_none() { cap.limit().saturating_sub(counter.used()) } else { counter.room() };
    (room < fresh).then(|| Refusal {
        reason: if frame.unreachable() { Reason::LedgerUnreachable } else { Reason::CapReached },
        cap: (!frame.unreachable()).then(|| key.cap.clone()),
        retry_at: counter.ends_at,
    })
}

fn new_end(frame: &Frame<'_>, run: &Reservation, ttl: Option<i64>) -> Timestamp {
    let Some(ttl) = ttl.filter(|_| run.state == State::Held) else { return run.expires_at };
    let latest = offline::latest_end(frame).filter(|_| !run.held.is_empty());
    let end = frame.at.plus_micros(ttl).min(latest.map_or(run.latest, |end| end.min(run.latest)));
    let parent = run.run.parent.and_then(|id| frame.book.runs.get(&id));
    parent.map_or(end, |parent| end.min(parent.expires_at))
}

/// Totals and what is to come, meter by meter.
fn sum(totals: Option<&Quantities>, ahead: &Quantities) -> Result<Quantities, Fault> {
    let add = |a: Quantity, b: Quantity| Quantity::new(a.decimal() + b.decimal());
    let too_large = |_| Fault::InvalidQuantity(crate::playbook::charge::ChargeFault::TooLarge);
    Ok(match (totals, ahead) {
        (Some(Quantities::Single(a)), Quantities::Single(b)) => {
            Quantities::Single(add(*a, *b).map_err(too_large)?)
        }
        (Some(Quantities::Meters(a)), Quantities::Meters(b)) => {
            let mut all: std::collections::BTreeMap<_, _> = a.iter().cloned().collect();
            for (meter, quantity) in b {
                let so_far = all.entry(meter.clone()).or_insert(Quantity::ZERO);
                *so_far = add(*so_far, *quantity).map_err(too_large)?;
            }
            Quantities::by_meter(all)
        }
        _ => ahead.clone(),
    })
}

fn answer(
    frame: &Frame<'_>,
    run: &Reservation,
    event: &RunEvent,
    refusal: Option<Refusal>,
    expires_at: Timestamp,
) -> ProgressAnswer {
    let held = hold::total(&kept(run, &event.flows).draws);
    let spent = settle::spent_after(&run.spent, &event.flows);
    let debt = run.debt + event.debt;
    let observe = frame.contract.plan.mode == Mode::Observe;
    let (mut decision, mut reason) = match &refusal {
        Some(refusal) => (Decision::Denied, Some(refusal.reason)),
        // What was used beyond the hold became debt: nothing more should be.
        None if event.debt.is_positive() => (Decision::Denied, Some(Reason::CreditsExhausted)),
        None => (super::authorize::decided_by(&kept(run, &event.flows).draws), None),
    };
    if observe {
        (decision, reason) = (Decision::Allowed, None);
    }
    ProgressAnswer {
        state: run.state,
        decision,
        reason,
        cap: if observe { None } else { refusal.and_then(|refusal| refusal.cap) },
        held,
        charged: hold::total(&spent) + debt,
        paid_by: paid_by(&spent),
        debt,
        stop_by: expires_at,
        provisional: false,
        missing: Credits::ZERO,
    }
}
