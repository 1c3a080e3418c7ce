//! A run's result and total use: what it is finally charged.

use jiff::tz::TimeZone;

use super::answer::RunAnswer;
use super::call::Commit;
use super::fault::Fault;
use super::frame::Frame;
use crate::credit::cap::{self, CapKey};
use crate::credit::draw::Limits;
use crate::credit::hold;
use crate::credit::path::debtor;
use crate::credit::settle::{self, Rest, Settlement};
use crate::credit::{
    CapFlow, Change, Final, Place, PoolId, Reservation, RunEvent, ScopeKey, State, Subject,
    reservation::Asked, retry,
};
use crate::playbook::action::{Terms, Trigger};
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{Credits, Length, Quantity, Timestamp, calendar};

/// How long after its end a reservation still takes a late commit.
pub const LATE_COMMIT: Length = Length::days(7);

/// What a call about a run leads to.
#[derive(Clone, Debug)]
pub enum Outcome<A> {
    Done(A, Option<Box<RunEvent>>),
    /// The use exceeds the hold by this much more than the book can pay; the ledger might have it.
    Short(Box<Lack>),
    /// Not a run that this book settles: the ledger knows, or decides.
    Elsewhere,
}

/// What a call about a run lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lack {
    pub credits: Credits,
    /// What would be drawn from later pools of the run's path while earlier ones may have more.
    pub prior: Credits,
    pub subject: Subject,
}

/// What a settlement lacks that the ledger might give.
pub fn lack(
    frame: &Frame<'_>,
    path: &[PoolId],
    run: &Reservation,
    settlement: &Settlement,
    more: Credits,
) -> Option<Lack> {
    let credits = settlement.debt.or_zero() + more;
    if !frame.may_ask() || (!credits.is_positive() && path.len() == 1) {
        return None;
    }
    let free = settlement.flows.iter().filter(|flow| flow.from == Place::Free);
    let draws: Vec<_> = free
        .map(|flow| hold::Draw { block: flow.block, species: flow.species, amount: flow.amount })
        .collect();
    let prior = frame.out_of_turn(path, &draws, credits);
    let lacks = credits.is_positive() || prior.is_positive();
    lacks.then(|| Lack { credits, prior, subject: run.run.subject.clone() })
}

pub fn commit(frame: &Frame<'_>, call: &Commit) -> Result<Outcome<RunAnswer>, Fault> {
    if let Some(run) = frame.book.runs.get(&call.id) {
        return open(frame, call, run);
    }
    match frame.book.finals.get(&call.id) {
        Some(ended) => again(frame, call, ended),
        None => Ok(Outcome::Elsewhere),
    }
}

fn open(frame: &Frame<'_>, call: &Commit, run: &Reservation) -> Result<Outcome<RunAnswer>, Fault> {
    let (playbook, terms) = pinned(frame, run.version, &run.run)?;
    check_trigger(call, terms, run)?;
    let used = used(call, run.reported.as_ref(), &run.run.quantities, terms);
    terms.accepts(&used)?;
    let charge = terms.charge(&playbook.credit, &used, call.result, call.completion)?;
    let waits = terms.trigger == Trigger::Outcome
        && !call.verified
        && matches!(call.result, RunResult::Succeeded | RunResult::Partial);
    if waits {
        return awaiting(frame, call, run, terms, used);
    }
    let target = if run.free { Credits::ZERO } else { chained(frame, run.id, run.chain.as_ref(), charge) };
    let path = frame.path(&run.run.subject);
    let limits = frame.limits(terms.basic, &path, &run.run.subject);
    let settlement = settle::settle(frame.book, run, target, limits, Rest::Back(State::Settled));
    if let Some(lack) = lack(frame, &path, run, &settlement, Credits::ZERO) {
        return Ok(Outcome::Short(Box::new(lack)));
    }
    let ended = Final {
        state: State::Settled,
        result: Some(call.result),
        asked: Some(asked(call)),
        completion: call.completion,
        provisional: call.provisional,
        ..ended(run, frame.at, &settlement, Some(used))
    };
    Ok(finish(run.id, frame.at, ended, settlement, debtor(&path)))
}

/// The commit of a success whose outcome is not known yet.
fn awaiting(
    frame: &Frame<'_>,
    call: &Commit,
    run: &Reservation,
    terms: &Terms,
    used: Quantities,
) -> Result<Outcome<RunAnswer>, Fault> {
    if let Some(before) = &run.awaiting {
        if before.request_id.is_some() && before.request_id == call.request_id && **before != asked(call) {
            return Err(Fault::RequestIdReused { field: "commit" });
        }
        return Ok(Outcome::Done(RunAnswer::of_open(run), None));
    }
    let until = calendar::plus(frame.at, terms.outcome_ttl, &frame.contract.zone);
    let change = Change::Awaiting { asked: Box::new(asked(call)), reported: used, until };
    let mut event = RunEvent::new(run.id, frame.at, change);
    event.caps = settle::free_slots(run);
    let answer =
        RunAnswer { state: State::AwaitingOutcome, expires_at: Some(until), ..RunAnswer::of_open(run) };
    Ok(Outcome::Done(answer, Some(Box::new(event))))
}

/// A commit of a run that has ended already.
fn again(frame: &Frame<'_>, call: &Commit, ended: &Final) -> Result<Outcome<RunAnswer>, Fault> {
    if let Some(before) = &ended.asked
        && before.request_id.is_some()
        && before.request_id == call.request_id
    {
        if *before != asked(call) {
            return Err(Fault::RequestIdReused { field: "commit" });
        }
        return Ok(Outcome::Done(RunAnswer::of_final(call.id, ended), None));
    }
    let settled = Fault::ReservationSettled { state: ended.state, charged: ended.charged() };
    match ended.state {
        State::Lapsed | State::Released if frame.rest().is_some() => Ok(Outcome::Elsewhere),
        State::Lapsed | State::Released => late(frame, call, ended),
        _ if ended.asked.is_none() && is_event(frame, ended) => {
            let (_, terms) = pinned(frame, ended.version, &ended.run)?;
            if call.verified {
                return Err(Fault::WrongResultForTrigger(ended.run.action.clone()));
            }
            if let Some(used) = &call.quantities {
                terms.accepts(used)?;
            }
            let recorded = Final { result: Some(call.result), asked: Some(asked(call)), ..ended.clone() };
            let answer = RunAnswer::of_final(call.id, &recorded);
            let event = RunEvent::new(call.id, frame.at, Change::Ended(Box::new(recorded)));
            Ok(Outcome::Done(answer, Some(Box::new(event))))
        }
        _ => Err(settled),
    }
}

/// Whether a run that ended takes what its caller said at an instant.
pub fn in_time(ended: &Final, said: Timestamp, zone: &TimeZone) -> Result<(), Fault> {
    if said < calendar::plus(ended.expires_at.max(ended.ended_at), LATE_COMMIT, zone) {
        return Ok(());
    }
    Err(Fault::ReservationSettled { state: ended.state, charged: ended.charged() })
}

/// When a call was made of which the caller knows since that it is accepted; clocks may differ, and none is ahead.
pub fn said(accepted_at: Option<Timestamp>, at: Timestamp) -> Timestamp {
    accepted_at.map_or(at, |accepted| accepted.min(at))
}

/// A commit after a lapse or a release: it replaces what that charged by the true charge.
pub fn late(frame: &Frame<'_>, call: &Commit, ended: &Final) -> Result<Outcome<RunAnswer>, Fault> {
    in_time(ended, said(call.accepted_at, frame.at), &frame.contract.zone)?;
    let (playbook, terms) = pinned(frame, ended.version, &ended.run)?;
    if call.verified && terms.trigger != Trigger::Outcome {
        return Err(Fault::WrongResultForTrigger(ended.run.action.clone()));
    }
    if terms.trigger == Trigger::Outcome && !call.verified && call.result != RunResult::Failed {
        // Nothing is held for it any more: only a verified outcome can still be charged.
        return Ok(Outcome::Done(RunAnswer::of_final(call.id, ended), None));
    }
    let used = used(call, None, &ended.run.quantities, terms);
    terms.accepts(&used)?;
    let charge = terms.charge(&playbook.credit, &used, call.result, call.completion)?;
    if ended.refunded.is_some() {
        // A refund closed the run: its result is recorded, and its charge stays.
        let settlement = Settlement::default();
        let recorded = recorded(frame, call, ended, &settlement, used);
        let path = frame.path(&ended.run.subject);
        return Ok(finish(call.id, frame.at, recorded, settlement, debtor(&path)));
    }
    let target = chained(frame, call.id, ended.chain.as_ref(), charge);
    let path = frame.path(&ended.run.subject);
    let limits = frame.limits(terms.basic, &path, &ended.run.subject);
    let mut settlement = correct(frame, ended, target, limits);
    settlement.caps = charged_late(frame, ended, target.saturating_sub(ended.charged()));
    settlement.caps.extend(room_back(frame, ended, ended.charged().saturating_sub(target)));
    let corrected = recorded(frame, call, ended, &settlement, used);
    Ok(finish(call.id, frame.at, corrected, settlement, debtor(&path)))
}

/// An ended run with the result of its late commit.
fn recorded(
    frame: &Frame<'_>,
    call: &Commit,
    ended: &Final,
    settlement: &Settlement,
    used: Quantities,
) -> Final {
    Final {
        state: State::Settled,
        result: Some(call.result),
        asked: Some(asked(call)),
        spent: settle::spent_after(&ended.spent, &settlement.flows),
        debt: ended.debt + settlement.debt,
        ended_at: frame.at,
        completion: call.completion,
        used: Some(used),
        ..ended.clone()
    }
}

/// Brings the charge of an ended run to `target`.
fn correct(frame: &Frame<'_>, ended: &Final, target: Credits, limits: Limits<'_>) -> Settlement {
    let charged = ended.charged();
    if target >= charged {
        let (flows, debt) = settle::charge_directly(frame.book, target - charged, limits);
        return Settlement { flows, caps: Vec::new(), debt };
    }
    let lowered = charged - target;
    let debt = -lowered.min(ended.debt);
    let (parts, _) = hold::last(&ended.spent, lowered + debt);
    let flows = parts
        .into_iter()
        .map(|part| {
            let gone = frame.book.block(part.block).is_none_or(|block| block.has_ended(limits.at));
            settle::flow(part, Place::Spent, if gone { Place::Lapsed } else { Place::Free })
        })
        .collect();
    Settlement { flows, caps: Vec::new(), debt }
}

/// A late charge of `more` counts in the windows that its reservation was made in, where they are still known; and in the
/// run's own budget, which is not known yet where the run comes from elsewhere.
fn charged_late(frame: &Frame<'_>, ended: &Final, more: Credits) -> Vec<CapFlow> {
    let known = |key: &CapKey| frame.book.counters.contains_key(key);
    counting_in(frame, ended, more, |key| known(key) || matches!(key.scope, ScopeKey::Root(_)))
}

/// Where a charge of `amount` counted, and is still known.
pub fn late_caps(frame: &Frame<'_>, ended: &Final, amount: Credits) -> Vec<CapFlow> {
    counting_in(frame, ended, amount, |key| frame.book.counters.contains_key(key))
}

fn counting_in(
    frame: &Frame<'_>,
    ended: &Final,
    amount: Credits,
    counts: impl Fn(&CapKey) -> bool,
) -> Vec<CapFlow> {
    let windows = frame.windows(ended.authorized_at);
    cap::needs(&frame.contract.plan, &ended.run, ended.budget, amount, &windows)
        .into_iter()
        .filter(|need| counts(&need.key))
        .filter(|need| {
            crate::playbook::cap::named(&frame.contract.plan, need.key.cap.as_str())
                .is_some_and(|cap| cap::Kind::of(&cap.measure) == cap::Kind::Credits)
        })
        .filter(|need| need.amount.is_positive())
        .map(|need| CapFlow { key: need.key, amount: need.amount, from: Place::Free, to: Place::Spent })
        .collect()
}

/// Room that a charge lowered by so much gives back.
pub fn room_back(frame: &Frame<'_>, ended: &Final, lowered: Credits) -> impl Iterator<Item = CapFlow> {
    late_caps(frame, ended, lowered).into_iter().filter_map(|flow| {
        let counted = frame.book.counters.get(&flow.key)?.spent;
        Some(CapFlow { amount: flow.amount.min(counted), from: Place::Spent, to: Place::Free, ..flow })
    })
}

pub fn pinned<'a>(
    frame: &Frame<'a>,
    version: u32,
    run: &crate::credit::Run,
) -> Result<(&'a crate::playbook::Playbook, &'a Terms), Fault> {
    frame
        .playbooks
        .terms(version, &run.action, &run.dimensions)
        .ok_or_else(|| Fault::Broken(format!("playbook version {version} has no action `{}`", run.action)))
}

/// The totals of a commit: as given, else what `progress` reported last, else what was reserved (cancelled: nothing).
pub fn used(
    call: &Commit,
    reported: Option<&Quantities>,
    reserved: &Quantities,
    terms: &Terms,
) -> Quantities {
    match (&call.quantities, reported) {
        (Some(given), _) => given.clone(),
        (None, Some(reported)) => reported.clone(),
        (None, None) if call.result == RunResult::Cancelled => nothing(terms),
        (None, None) => reserved.clone(),
    }
}

fn nothing(terms: &Terms) -> Quantities {
    match terms.default_quantities() {
        Quantities::Single(_) => Quantities::Single(Quantity::ZERO),
        meters @ Quantities::Meters(_) => meters,
    }
}

pub fn chained(
    frame: &Frame<'_>,
    id: crate::types::ReservationId,
    link: Option<&retry::ChainLink>,
    charge: Credits,
) -> Credits {
    retry::reduced(frame.book, id, link, charge)
}

pub fn asked(call: &Commit) -> Asked {
    Asked {
        request_id: call.request_id.clone(),
        result: call.result,
        quantities: call.quantities.clone(),
        completion: call.completion,
        verified: call.verified,
    }
}

/// The run as it ends with this settlement; the caller fills in how.
pub fn ended(run: &Reservation, at: Timestamp, settlement: &Settlement, used: Option<Quantities>) -> Final {
    Final {
        run: run.run.clone(),
        version: run.version,
        state: State::Settled,
        result: None,
        spent: settle::spent_after(&run.spent, &settlement.flows),
        debt: run.debt + settlement.debt,
        asked: None,
        ended_at: at,
        chain: run.chain,
        authorized_at: run.authorized_at,
        decision: run.decision,
        expires_at: run.expires_at,
        completion: None,
        observed: run.observed,
        used,
        budget: run.budget,
        provisional: None,
        refunded: None,
    }
}

pub fn finish(
    id: crate::types::ReservationId,
    at: Timestamp,
    ended: Final,
    settlement: Settlement,
    debt_pool: PoolId,
) -> Outcome<RunAnswer> {
    let answer = RunAnswer::of_final(id, &ended);
    let mut event = RunEvent::new(id, at, Change::Ended(Box::new(ended)));
    event.flows = settlement.flows;
    event.caps = settlement.caps;
    event.debt = settlement.debt;
    event.debt_pool = debt_pool;
    Outcome::Done(answer, Some(Box::new(event)))
}

fn check_trigger(call: &Commit, terms: &Terms, run: &Reservation) -> Result<(), Fault> {
    if call.verified && terms.trigger != Trigger::Outcome {
        return Err(Fault::WrongResultForTrigger(run.run.action.clone()));
    }
    Ok(())
}

fn is_event(frame: &Frame<'_>, ended: &Final) -> bool {
    pinned(frame, ended.version, &ended.run).is_ok_and(|(_, terms)| terms.trigger == Trigger::Event)
}
