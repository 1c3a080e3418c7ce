//! What happens where a run may proceed: it is reserved, or, with an event trigger, charged.

use super::call::Authorize;
use super::frame::Frame;
use super::judge::{Judged, fresh_room};
use super::offline;
use super::quote::Quote;
use crate::credit::cap::{CapHold, Kind, Need};
use crate::credit::path::debtor;
use crate::credit::{CapFlow, Change, Decision, Final, Flow, Place, Reservation, RunEvent, State};
use crate::playbook::Mode;
use crate::playbook::cap as policy;
use crate::types::{Credits, Timestamp, calendar};

pub fn event(
    frame: &Frame<'_>,
    call: &Authorize,
    quote: &Quote<'_>,
    judged: &Judged,
    decision: Decision,
    is_event: bool,
) -> RunEvent {
    let at = frame.at;
    let latest = calendar::plus(at, quote.terms.longest, &frame.contract.zone);
    let ttl_end = match call.ttl {
        Some(ttl) => at.plus_micros(ttl),
        None => calendar::plus(at, quote.terms.ttl, &frame.contract.zone),
    };
    let mut expires_at = ttl_end.min(latest);
    if let Some(parent) = quote.parent {
        expires_at = expires_at.min(parent.expires_at);
    }
    if let Some(end) = offline::latest_end(frame).filter(|_| !judged.drawn.draws.is_empty()) {
        expires_at = expires_at.min(end);
    }
    let debt = if is_event { judged.drawn.missing } else { Credits::ZERO };
    let change = if is_event {
        Change::Ended(Box::new(charged(frame, quote, judged, decision, expires_at)))
    } else {
        let mut run = reservation(frame, call, quote, judged, decision);
        (run.expires_at, run.latest) = (expires_at, latest);
        Change::Reserved(Box::new(run))
    };
    let mut event = RunEvent::new(call.id, at, change);
    event.debt = debt;
    event.debt_pool = debtor(&quote.path);
    let to = if is_event { Place::Spent } else { Place::Held };
    let source = quote.parent.map_or(Place::Free, |parent| Place::Other(parent.id));
    event.flows = judged
        .drawn
        .draws
        .iter()
        .map(|draw| Flow { block: draw.block, species: draw.species, amount: draw.amount, from: source, to })
        .collect();
    event.caps = cap_flows(frame, quote, &judged.needs, source, is_event);
    event
}

fn cap_flows(
    frame: &Frame<'_>,
    quote: &Quote<'_>,
    needs: &[Need],
    source: Place,
    is_event: bool,
) -> Vec<CapFlow> {
    let mut flows = Vec::with_capacity(needs.len());
    for need in needs {
        // An event is over as it begins: a slot that it took would never come back.
        if is_event && measure(frame, need) == Kind::Concurrent {
            continue;
        }
        let fresh = fresh_room(quote.parent, need);
        for (amount, from) in [(need.amount - fresh, source), (fresh, Place::Free)] {
            if amount.is_positive() {
                let to = if is_event { Place::Spent } else { Place::Held };
                flows.push(CapFlow { key: need.key.clone(), amount, from, to });
            }
        }
    }
    flows
}

fn measure(frame: &Frame<'_>, need: &Need) -> Kind {
    policy::named(&frame.contract.plan, need.key.cap.as_str())
        .map_or(Kind::Credits, |cap| Kind::of(&cap.measure))
}

fn empty_holds(frame: &Frame<'_>, needs: &[Need]) -> Vec<CapHold> {
    // Needs come in the plan's order: each cap is looked at once.
    let mut caps = frame.contract.plan.caps.iter();
    let hold = |need: &Need| {
        let cap = caps.find(|cap| cap.name == need.key.cap);
        let measure = cap.map_or(Kind::Credits, |cap| Kind::of(&cap.measure));
        CapHold { key: need.key.clone(), held: Credits::ZERO, spent: Credits::ZERO, measure }
    };
    needs.iter().map(hold).collect()
}

/// A run that an event charged at once.
fn charged(
    frame: &Frame<'_>,
    quote: &Quote<'_>,
    judged: &Judged,
    decision: Decision,
    expires_at: Timestamp,
) -> Final {
    let at = frame.at;
    Final {
        run: quote.run.clone(),
        version: frame.contract.playbook.version,
        state: State::Settled,
        result: None,
        spent: judged.drawn.draws.clone(),
        debt: judged.drawn.missing,
        asked: None,
        ended_at: at,
        chain: quote.chain,
        authorized_at: at,
        decision,
        expires_at,
        completion: None,
        observed: frame.contract.plan.mode == Mode::Observe,
        used: Some(quote.run.quantities.clone()),
        budget: quote.budget,
        provisional: None,
        refunded: None,
    }
}

fn reservation(
    frame: &Frame<'_>,
    call: &Authorize,
    quote: &Quote<'_>,
    judged: &Judged,
    decision: Decision,
) -> Reservation {
    let at = frame.at;
    Reservation {
        id: call.id,
        run: quote.run.clone(),
        version: frame.contract.playbook.version,
        authorized_at: at,
        expires_at: at,
        latest: at,
        held: Vec::new(),
        spent: Vec::new(),
        debt: Credits::ZERO,
        caps: empty_holds(frame, &judged.needs),
        root: quote.parent.map_or(call.id, |parent| parent.root),
        chain: quote.chain,
        decision,
        state: State::Held,
        reported: None,
        first: None,
        free: judged.free,
        awaiting: None,
        observed: frame.contract.plan.mode == Mode::Observe,
        budget: quote.budget,
        doubtful: false,
    }
}
