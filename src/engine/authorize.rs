//! May this run proceed? Plan, then price, then caps, then draw.

use super::answer::{AuthorizeAnswer, Next, paid_by};
use super::call::Authorize;
use super::fault::Fault;
use super::frame::Frame;
use crate::credit::cap::{self, CapHold, Kind, Need};
use crate::credit::draw::{self, Drawn};
use crate::credit::hold::{self, Draw};
use crate::credit::settle::{DEPTH_MAX, PATH};
use crate::credit::{
    CapFlow, Change, Decision, Final, Flow, Place, Reason, Refusal, Reservation, Run, RunEvent, ScopeKey,
    State, retry,
};
use crate::playbook::Mode;
use crate::playbook::action::{Terms, Trigger};
use crate::playbook::cap as policy;
use crate::playbook::draw_order::Species;
use crate::playbook::overage::Link;
use crate::types::amount::AMOUNT_MAX;
use crate::types::calendar;
use crate::types::{Credits, Name, ReservationId};

/// What a decision leads to.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// The answer, and what happened, if anything did.
    Answer(Box<AuthorizeAnswer>, Option<Box<RunEvent>>),
    /// The book lacks something that the ledger might give.
    Short(Short),
}

/// What a run lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short {
    pub credits: Credits,
    pub basic: bool,
    pub caps: Vec<Need>,
}

/// How a run is priced and what it needs: computed once, before anything is decided.
struct Quote<'a> {
    run: Run,
    terms: &'a Terms,
    parent: Option<&'a Reservation>,
    chain: Option<retry::ChainLink>,
    amount: Credits,
    budget: ReservationId,
}

/// The outcome of the rules that may refuse.
struct Judged {
    refusal: Option<Refusal>,
    short: Short,
    needs: Vec<Need>,
    drawn: Drawn,
    soft: Vec<Name>,
    /// Degraded use carries the run free of charge.
    free: bool,
}

/// `force` records work that is already done: nothing is refused, and what a refusal would have been is said.
pub fn authorize(frame: &Frame<'_>, call: &Authorize, force: bool) -> Result<Verdict, Fault> {
    if let Some(answer) = repeated(frame, call)? {
        return Ok(Verdict::Answer(Box::new(answer), None));
    }
    let plan = &frame.contract.plan;
    let Some(action) = frame.playbooks.action(&frame.contract.playbook, &call.action)? else {
        return Ok(refused(frame, Refusal::because(Reason::ActionNotIncluded), force));
    };
    let quote = quote(frame, call, action.terms_for(&call.dimensions))?;
    let judged = judge(frame, &quote);
    let forced = force || plan.mode == Mode::Observe;
    if frame.may_ask() && judged.asks() && (forced || judged.refusal.as_ref().is_none_or(may_change)) {
        return Ok(Verdict::Short(judged.short));
    }
    if let Some(refusal) = &judged.refusal
        && !forced
    {
        return Ok(refused(frame, refusal.clone(), false));
    }
    Ok(allow(frame, call, &quote, judged, force))
}

/// Whether asking the ledger could turn this refusal into something else.
fn may_change(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::CapReached | Reason::LedgerUnreachable | Reason::BasicOnly | Reason::CreditsExhausted
    )
}

/// A repeated authorise gets the first answer; an ended one is a fault that says how it ended.
fn repeated(frame: &Frame<'_>, call: &Authorize) -> Result<Option<AuthorizeAnswer>, Fault> {
    let same = |run: &Run, version: u32| -> Result<(), Fault> {
        let given = |terms: &Terms| call.quantities.clone().unwrap_or_else(|| terms.default_quantities());
        let terms = frame.playbooks.terms(version, &call.action, &call.dimensions);
        let field = if run.action != call.action {
            "action"
        } else if run.subject != call.subject {
            "subject"
        } else if run.dimensions != call.dimensions {
            "dimensions"
        } else if terms.is_none_or(|(_, terms)| given(terms) != run.quantities) {
            "quantities"
        } else if run.parent != call.parent {
            "parent"
        } else if run.retry_of != call.retry_of {
            "retry_of"
        } else if call.run_id.is_some() && run.run_id != call.run_id {
            "run_id"
        } else {
            return Ok(());
        };
        Err(Fault::RequestIdReused { field })
    };
    if let Some(run) = frame.book.runs.get(&call.id) {
        same(&run.run, run.version)?;
        return Ok(Some(first_answer(frame, run)));
    }
    if let Some(ended) = frame.book.finals.get(&call.id) {
        same(&ended.run, ended.version)?;
        let terms = frame.playbooks.terms(ended.version, &ended.run.action, &ended.run.dimensions);
        let is_event = terms.is_some_and(|(_, terms)| terms.trigger == Trigger::Event);
        if is_event && ended.asked.is_none() && ended.state == State::Settled {
            return Ok(Some(AuthorizeAnswer {
                decision: ended.decision,
                reservation: Some(call.id),
                charged: ended.charged(),
                paid_by: paid_by(&ended.spent),
                version: ended.version,
                ..blank(frame)
            }));
        }
        return Err(Fault::ReservationSettled { state: ended.state, charged: ended.charged() });
    }
    Ok(None)
}

fn first_answer(frame: &Frame<'_>, run: &Reservation) -> AuthorizeAnswer {
    AuthorizeAnswer {
        decision: run.decision,
        reservation: Some(run.id),
        held: hold::total(&run.first),
        paid_by: paid_by(&run.first),
        expires_at: Some(run.expires_at),
        version: run.version,
        remaining: remaining(frame),
        ..blank(frame)
    }
}

fn quote<'a>(frame: &Frame<'a>, call: &Authorize, terms: &'a Terms) -> Result<Quote<'a>, Fault> {
    let quantities = call.quantities.clone().unwrap_or_else(|| terms.default_quantities());
    let success = terms.success(&frame.contract.playbook.credit, &quantities)?;
    if call.ttl.is_some_and(|ttl| ttl <= 0) {
        return Err(Fault::InvalidTtl);
    }
    let parent = match call.parent {
        None => None,
        Some(id) => Some(frame.book.runs.get(&id).ok_or(Fault::ReservationUnknown(id))?),
    };
    if frame.book.ancestors(call.parent).len() > DEPTH_MAX {
        return Err(Fault::TooDeep);
    }
    let run = Run {
        action: call.action.clone(),
        subject: call.subject.clone(),
        quantities,
        dimensions: call.dimensions.clone(),
        run_id: call.run_id.clone().or_else(|| parent.and_then(|p| p.run.run_id.clone())),
        parent: call.parent,
        retry_of: call.retry_of,
    };
    let chain = call.retry_of.and_then(|id| {
        let ended = frame.book.finals.get(&id)?;
        let rule = terms.retries.as_ref();
        retry::link(frame.book, rule, &run, (id, ended), frame.at, &frame.contract.zone)
    });
    let amount = retry::reduced(frame.book, call.id, chain.as_ref(), success);
    // An ordinary run pays in full, whatever an earlier chain paid.
    let amount = if chain.is_some() { amount } else { success };
    let retried = call.retry_of.and_then(|id| {
        let open = frame.book.runs.get(&id).map(|run| run.budget);
        open.or_else(|| frame.book.finals.get(&id).map(|ended| ended.budget))
    });
    let budget = parent.map(|parent| parent.budget).or(retried).unwrap_or(call.id);
    Ok(Quote { run, terms, parent, chain, amount, budget })
}

fn judge(frame: &Frame<'_>, quote: &Quote<'_>) -> Judged {
    let contract = frame.contract;
    let mut refusals: Vec<Refusal> = Vec::new();
    if contract.suspended {
        refusals.push(Refusal::because(Reason::AccountSuspended));
    }
    if !contract.plan.covers(&quote.run.action) {
        refusals.push(Refusal::because(Reason::ActionNotIncluded));
    }
    let basic = quote.terms.basic;
    let drawn = match quote.parent {
        Some(parent) => {
            let (draws, missing) = hold::first(&parent.held, quote.amount);
            Drawn { draws, missing }
        }
        None => draw::draw(&frame.book.pools, PATH, quote.amount, frame.limits(basic)),
    };
    let free_degraded = basic && !frame.may_ask() && !frame.unreachable() && quote.parent.is_none();
    let free = free_degraded && drawn.missing.is_positive() && has_free_degraded(frame);
    let amount = if free { Credits::ZERO } else { quote.amount };
    let needs = cap::needs(&contract.plan, &quote.run, quote.budget, amount, &frame.windows(frame.at));
    let mut short = Short { basic, ..Short::default() };
    let mut soft = Vec::new();
    // Room that the ledger has but did not lease, because something else was lacking: not what refuses the run.
    let mut unleased = None;
    for need in &needs {
        let fresh = fresh_room(quote.parent, need);
        match frame.room(need) {
            Some(room) if room >= fresh => continue,
            known if need.soft => {
                let rest = frame.rest_of(&need.key);
                if known.is_none_or(|room| room < fresh && rest.is_positive()) {
                    short.caps.push(lacking(need, fresh, known));
                }
                if known.unwrap_or_default() + rest < fresh {
                    soft.push(need.key.cap.clone());
                }
            }
            known => {
                let refusal = cap_refusal(frame, need, fresh, known);
                if frame.asked() && known.unwrap_or_default() + frame.rest_of(&need.key) >= fresh {
                    unleased = unleased.or(Some(refusal));
                } else {
                    refusals.push(refusal);
                }
                if fresh <= need.limit && !matches!(need.key.scope, ScopeKey::Root(_)) {
                    short.caps.push(lacking(need, fresh, known));
                }
            }
        }
    }
    if drawn.missing.is_positive() && !free {
        match quote.parent {
            Some(_) => refusals.push(Refusal::because(Reason::RunBudgetExhausted)),
            None => {
                short.credits = drawn.missing;
                refusals.push(credit_refusal(frame, basic));
            }
        }
    }
    // The first cap in the plan's order, and then the first reason by precedence.
    let refusal = refusals.into_iter().min_by_key(|refusal| refusal.reason).or(unleased);
    let drawn = if free { Drawn::default() } else { drawn };
    Judged { refusal, short, needs, drawn, soft, free }
}

impl Judged {
    fn asks(&self) -> bool {
        self.short.credits.is_positive() || !self.short.caps.is_empty()
    }
}

/// The room that a run needs beyond what its parent holds of the same counter.
fn fresh_room(parent: Option<&Reservation>, need: &Need) -> Credits {
    match parent {
        Some(parent) => need.amount - cap::carried(parent, need),
        None => need.amount,
    }
}

fn lacking(need: &Need, fresh: Credits, known: Option<Credits>) -> Need {
    Need { amount: fresh - known.unwrap_or_default(), ..need.clone() }
}

fn cap_refusal(frame: &Frame<'_>, need: &Need, fresh: Credits, known: Option<Credits>) -> Refusal {
    // Out of reach of the ledger only what this sidecar knows by itself is certain.
    let certain = fresh > need.limit
        || frame.book.counters.get(&need.key).is_some_and(|c| c.used() + fresh > need.limit)
        || !frame.unreachable();
    let reason = if certain { Reason::CapReached } else { Reason::LedgerUnreachable };
    debug_assert!(known.is_none_or(|room| room < fresh));
    Refusal { reason, cap: certain.then(|| need.key.cap.clone()), retry_at: need.ends_at }
}

fn credit_refusal(frame: &Frame<'_>, basic: bool) -> Refusal {
    let degraded = frame.contract.plan.overage.iter().any(|link| matches!(link, Link::Degraded { .. }));
    let reason = if frame.unreachable() {
        Reason::LedgerUnreachable
    } else if degraded && !basic {
        Reason::BasicOnly
    } else {
        Reason::CreditsExhausted
    };
    Refusal { reason, cap: None, retry_at: Some(frame.contract.period_ends) }
}

fn has_free_degraded(frame: &Frame<'_>) -> bool {
    frame.contract.plan.overage.iter().any(|link| matches!(link, Link::Degraded { credits: None, .. }))
}

fn refused(frame: &Frame<'_>, refusal: Refusal, force: bool) -> Verdict {
    let observe = frame.contract.plan.mode == Mode::Observe;
    let mut answer = AuthorizeAnswer {
        decision: Decision::Denied,
        reason: Some(refusal.reason),
        cap: refusal.cap,
        retry_at: refusal.retry_at,
        remaining: remaining(frame),
        ..blank(frame)
    };
    if observe && !force {
        answer.enforced = false;
        answer.would_be = Some((Decision::Denied, answer.reason.take()));
        answer.decision = Decision::Allowed;
    }
    Verdict::Answer(Box::new(answer), None)
}

/// From here on nothing may fail: the run is reserved (or, with an event trigger, charged).
fn allow(frame: &Frame<'_>, call: &Authorize, quote: &Quote<'_>, judged: Judged, force: bool) -> Verdict {
    let observe = frame.contract.plan.mode == Mode::Observe;
    let by_species = if judged.free { Decision::AllowedDegraded } else { decided_by(&judged.drawn.draws) };
    let would_be = match &judged.refusal {
        Some(refusal) => (Decision::Denied, Some(refusal.reason)),
        None => (by_species, None),
    };
    let decision = if observe || judged.refusal.is_some() { Decision::Allowed } else { by_species };
    let is_event = quote.terms.trigger == Trigger::Event;
    let event = event(frame, call, quote, &judged, decision, is_event);
    let draws = &judged.drawn.draws;
    let amount = if is_event { hold::total(draws) + event.debt } else { hold::total(draws) };
    let answer = AuthorizeAnswer {
        decision,
        reservation: (!call.validate_only).then_some(call.id),
        held: if is_event { Credits::ZERO } else { amount },
        charged: if is_event { amount } else { Credits::ZERO },
        paid_by: paid_by(draws),
        is_final: is_final(frame, quote, &judged),
        remaining: remaining(frame).saturating_sub(balance_part(quote, draws)),
        expires_at: match &event.change {
            Change::Reserved(run) => Some(run.expires_at),
            _ => None,
        },
        soft_caps_reached: judged.soft,
        enforced: !observe,
        would_be: (observe || force).then_some(would_be),
        ..blank(frame)
    };
    let event = (!call.validate_only).then(|| Box::new(event));
    Verdict::Answer(Box::new(answer), event)
}

fn event(
    frame: &Frame<'_>,
    call: &Authorize,
    quote: &Quote<'_>,
    judged: &Judged,
    decision: Decision,
    is_event: bool,
) -> RunEvent {
    let at = frame.at;
    let observed = frame.contract.plan.mode == Mode::Observe;
    let latest = calendar::plus(at, quote.terms.longest, &frame.contract.zone);
    let ttl_end = match call.ttl {
        Some(ttl) => at.plus_micros(ttl),
        None => calendar::plus(at, quote.terms.ttl, &frame.contract.zone),
    };
    let mut expires_at = ttl_end.min(latest);
    if let Some(parent) = quote.parent {
        expires_at = expires_at.min(parent.expires_at);
    }
    let version = frame.contract.playbook.version;
    let debt = if is_event { judged.drawn.missing } else { Credits::ZERO };
    let change = if is_event {
        Change::Ended(Box::new(Final {
            run: quote.run.clone(),
            version,
            state: State::Settled,
            result: None,
            spent: judged.drawn.draws.clone(),
            debt,
            asked: None,
            ended_at: at,
            chain: quote.chain,
            authorized_at: at,
            decision,
            expires_at,
            completion: None,
            observed,
            used: Some(quote.run.quantities.clone()),
            budget: quote.budget,
            provisional: None,
        }))
    } else {
        Change::Reserved(Box::new(Reservation {
            id: call.id,
            run: quote.run.clone(),
            version,
            authorized_at: at,
            expires_at,
            latest,
            held: Vec::new(),
            spent: Vec::new(),
            debt: Credits::ZERO,
            caps: judged.needs.iter().map(|need| empty_hold(frame, need)).collect(),
            root: quote.parent.map_or(call.id, |parent| parent.root),
            chain: quote.chain,
            decision,
            state: State::Held,
            reported: None,
            first: Vec::new(),
            free: judged.free,
            awaiting: None,
            observed,
            budget: quote.budget,
        }))
    };
    let mut event = RunEvent::new(call.id, at, change);
    event.debt = debt;
    let to = if is_event { Place::Spent } else { Place::Held };
    let source = quote.parent.map_or(Place::Free, |parent| Place::Other(parent.id));
    event.flows = judged
        .drawn
        .draws
        .iter()
        .map(|draw| Flow { block: draw.block, species: draw.species, amount: draw.amount, from: source, to })
        .collect();
    event.caps = cap_flows(quote, &judged.needs, source, is_event);
    event
}

fn cap_flows(quote: &Quote<'_>, needs: &[Need], source: Place, is_event: bool) -> Vec<CapFlow> {
    let mut flows = Vec::with_capacity(needs.len());
    for need in needs {
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

fn empty_hold(frame: &Frame<'_>, need: &Need) -> CapHold {
    let measure = policy::named(&frame.contract.plan, need.key.cap.as_str())
        .map_or(Kind::Credits, |cap| Kind::of(&cap.measure));
    CapHold { key: need.key.clone(), held: Credits::ZERO, spent: Credits::ZERO, measure }
}

/// The decision follows from the species that paid.
pub fn decided_by(draws: &[Draw]) -> Decision {
    let any = |wanted: fn(Species) -> bool| draws.iter().any(|draw| wanted(draw.species));
    if any(|species| species == Species::Basic) {
        Decision::AllowedDegraded
    } else if any(Species::is_last_resort) {
        Decision::AllowedOverage
    } else {
        Decision::Allowed
    }
}

/// As far as is known here, would the next run of the same size be refused or degraded?
fn is_final(frame: &Frame<'_>, quote: &Quote<'_>, judged: &Judged) -> bool {
    if judged.free {
        return true;
    }
    let amount = quote.amount;
    let credits = match quote.parent {
        Some(parent) => parent.held_total() < amount + amount,
        None => {
            let basic_paid: Credits = judged
                .drawn
                .draws
                .iter()
                .filter(|draw| draw.species == Species::Basic)
                .map(|draw| draw.amount)
                .sum();
            // What non-basic blocks pay of this run comes off before the next one asks.
            amount.is_positive() && payable(frame) + basic_paid < amount + amount
        }
    };
    credits
        || judged.needs.iter().any(|need| {
            let fresh = fresh_room(quote.parent, need);
            !need.soft
                && need.amount.is_positive()
                && frame.room(need).unwrap_or_default() + frame.rest_of(&need.key) < fresh + need.amount
                && !matches!(need.key.scope, ScopeKey::Root(_))
        })
}

/// All that blocks other than `basic` can pay now, with what the ledger had left.
fn payable(frame: &Frame<'_>) -> Credits {
    let limits = frame.limits(false);
    let all = Credits::whole(AMOUNT_MAX);
    let here = all - draw::draw(&frame.book.pools, PATH, all, limits).missing;
    frame.rest().map_or(here, |rest| here + rest.balance + rest.last_resort)
}

/// What the run's pools could still pay from blocks that count as balance.
fn remaining(frame: &Frame<'_>) -> Credits {
    let here: Credits = frame
        .book
        .pools
        .iter()
        .flat_map(|pool| &pool.blocks)
        .filter(|block| !block.species.is_last_resort() && block.pays(frame.at))
        .map(|block| block.available)
        .sum();
    frame.rest().map_or(here, |rest| here + rest.balance)
}

fn balance_part(quote: &Quote<'_>, draws: &[Draw]) -> Credits {
    if quote.parent.is_some() {
        return Credits::ZERO;
    }
    draws.iter().filter(|draw| !draw.species.is_last_resort()).map(|draw| draw.amount).sum()
}

fn blank(frame: &Frame<'_>) -> AuthorizeAnswer {
    AuthorizeAnswer {
        decision: Decision::Denied,
        reason: None,
        cap: None,
        reservation: None,
        held: Credits::ZERO,
        charged: Credits::ZERO,
        paid_by: Vec::new(),
        is_final: false,
        next: match frame.contract.plan.overage.first() {
            None => Next::Deny,
            Some(Link::Soft { .. }) => Next::Overage,
            Some(Link::Degraded { .. }) => Next::Degrade,
        },
        remaining: Credits::ZERO,
        as_of: frame.at,
        expires_at: None,
        soft_caps_reached: Vec::new(),
        enforced: frame.contract.plan.mode == Mode::Enforce,
        would_be: None,
        retry_at: None,
        version: frame.contract.playbook.version,
        out_of_reach: None,
    }
}
