//! What happens where a run may proceed: it is reserved, or, with an event trigger, charged.

use super::call::Authorize;
use super::frame::Frame;
use super::judge::{Judged, fresh_room};
use super::offline;
use super::quote::Quote;
use crate::credit::cap::{CapHold, Kind, Need};
use crate::credit::hold::Draw;
use crate::credit::path::debtor;
use crate::credit::{CapFlow, Change, Decision, Final, Flow, Place, Reservation, RunEvent, State};
use crate::playbook::Mode;
use crate::playbook::cap as policy;
use crate::types::{Credits, Timestamp, calendar};

/// How a run begins.
#[derive(Clone, Copy, Debug)]
pub struct Begun {
    pub decision: Decision,
    pub life: Life,
    pub is_event: bool,
}

/// How long a run may last.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Exclusive.
    pub expires_at: Timestamp,
    /// The most that extensions can reach.
    latest: Timestamp,
}

pub fn life(frame: &Frame<'_>, call: &Authorize, quote: &Quote<'_>, judged: &Judged) -> Life {
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
    Life { expires_at, latest }
}

pub fn event(
    frame: &Frame<'_>,
    call: &Authorize,
    quote: Quote<'_>,
    judged: Judged,
    begun: Begun,
) -> RunEvent {
    let source = quote.parent.map_or(Place::Free, |parent| Place::Other(parent.id));
    let to = if begun.is_event { Place::Spent } else { Place::Held };
    let flow = |draw: &Draw| Flow {
        block: draw.block,
        species: draw.species,
        amount: draw.amount,
        from: source,
        to,
    };
    let flows = judged.drawn.draws.iter().map(flow).collect();
    let caps = cap_flows(frame, &quote, &judged.needs, (source, to));
    let debt = if begun.is_event { judged.drawn.missing } else { Credits::ZERO };
    let debt_pool = debtor(&quote.path);
    let change = if begun.is_event {
        Change::Ended(Box::new(charged(frame, quote, judged, begun)))
    } else {
        Change::Reserved(Box::new(reservation(frame, call, quote, &judged, begun)))
    };
    RunEvent { flows, caps, debt, debt_pool, ..RunEvent::new(call.id, frame.at, change) }
}

fn cap_flows(
    frame: &Frame<'_>,
    quote: &Quote<'_>,
    needs: &[Need],
    (source, to): (Place, Place),
) -> Vec<CapFlow> {
    let mut flows = Vec::with_capacity(needs.len());
    for need in needs {
        // An event is over as it begins: a slot that it took would never come back.
        if to == Place::Spent && measure(frame, need) == Kind::Concurrent {
            continue;
        }
        let fresh = fresh_room(quote.parent, need);
        for (amount, from) in [(need.amount - fresh, source), (fresh, Place::Free)] {
            if amount.is_positive() {
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
fn charged(frame: &Frame<'_>, quote: Quote<'_>, judged: Judged, begun: Begun) -> Final {
    let at = frame.at;
    Final {
        used: Some(quote.run.quantities.clone()),
        run: quote.run,
        version: frame.contract.playbook.version,
        state: State::Settled,
        result: None,
        spent: judged.drawn.draws,
        debt: judged.drawn.missing,
        asked: None,
        ended_at: at,
        chain: quote.chain,
        authorized_at: at,
        decision: begun.decision,
        expires_at: begun.life.expires_at,
        completion: None,
        observed: frame.contract.plan.mode == Mode::Observe,
        budget: quote.budget,
        provisional: None,
        refunded: None,
    }
}

fn reservation(
    frame: &Frame<'_>,
    call: &Authorize,
    quote: Quote<'_>,
    judged: &Judged,
    begun: Begun,
) -> Reservation {
    Reservation {
        id: call.id,
        run: quote.run,
        version: frame.contract.playbook.version,
        authorized_at: frame.at,
        expires_at: begun.life.expires_at,
        latest: begun.life.latest,
        held: Vec::new(),
        spent: Vec::new(),
        debt: Credits::ZERO,
        caps: empty_holds(frame, &judged.needs),
        root: quote.parent.map_or(call.id, |parent| parent.root),
        chain: quote.chain,
        decision: begun.decision,
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
