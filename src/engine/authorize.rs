//! May this run proceed? Plan, then price, then caps, then draw.

use super::answer::{AuthorizeAnswer, paid_by};
use super::call::Authorize;
use super::fault::Fault;
use super::frame::Frame;
use super::judge::{Judged, judge};
use super::outlook::{balance_part, blank, is_final, remaining};
use super::quote::{Quote, quote};
use super::repeat::repeated;
use super::reserve::{Begun, event, life};
use crate::credit::cap::Need;
use crate::credit::hold::{self, Draw};
use crate::credit::{Decision, Reason, Refusal, RunEvent, Subject};
use crate::playbook::Mode;
use crate::playbook::action::Trigger;
use crate::playbook::draw_order::Species;
use crate::types::Credits;

/// What a decision leads to.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every call leads to an answer: boxing it would cost each of them"
)]
pub enum Verdict {
    /// The answer, and what happened, if anything did.
    Answer(AuthorizeAnswer, Option<RunEvent>),
    /// The book lacks something that the ledger might give.
    Short(Box<Short>),
}

/// What a run lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Short {
    pub credits: Credits,
    pub basic: bool,
    pub caps: Vec<Need>,
    /// What it would draw from later pools of its path while earlier ones may have more.
    pub prior: Credits,
}

/// `force` records work that is already done: nothing is refused, and what a refusal would have been is said.
pub fn authorize(frame: &Frame<'_>, call: &Authorize, force: bool) -> Result<Verdict, Fault> {
    if let Some(answer) = repeated(frame, call)? {
        return Ok(Verdict::Answer(answer, None));
    }
    let plan = &frame.contract.plan;
    let Some(action) = frame.playbooks.action(&frame.contract.playbook, &call.action)? else {
        return Ok(refused(frame, &call.subject, Refusal::because(Reason::ActionNotIncluded), force));
    };
    let quote = quote(frame, call, action.terms_for(&call.dimensions))?;
    let judged = judge(frame, &quote);
    let forced = force || plan.mode == Mode::Observe;
    if frame.may_ask() && judged.asks() && (forced || judged.refusal.as_ref().is_none_or(may_change)) {
        return Ok(Verdict::Short(Box::new(judged.short)));
    }
    if let Some(refusal) = &judged.refusal
        && !forced
    {
        return Ok(refused(frame, &call.subject, refusal.clone(), false));
    }
    Ok(allow(frame, call, quote, judged, force))
}

/// What a run costs and what refuses it, where nothing but its credits may still change; `None` for what needs no credits of
/// the pools' or is refused for another reason.
pub fn wanting(frame: &Frame<'_>, call: &Authorize) -> Option<Wanting> {
    if frame.book.runs.contains_key(&call.id) || frame.book.finals.contains_key(&call.id) {
        return None;
    }
    let action = frame.playbooks.action(&frame.contract.playbook, &call.action).ok()??;
    let quote = quote(frame, call, action.terms_for(&call.dimensions)).ok()?;
    let judged = judge(frame, &quote);
    let only_credits = judged
        .refusal
        .as_ref()
        .is_none_or(|refusal| matches!(refusal.reason, Reason::BasicOnly | Reason::CreditsExhausted));
    (quote.parent.is_none() && !judged.free && only_credits)
        .then_some(Wanting { amount: quote.amount, basic: quote.terms.basic })
}

/// See `wanting`.
#[derive(Clone, Copy, Debug)]
pub struct Wanting {
    pub amount: Credits,
    pub basic: bool,
}

/// Whether asking the ledger could turn this refusal into something else.
fn may_change(refusal: &Refusal) -> bool {
    matches!(
        refusal.reason,
        Reason::CapReached | Reason::LedgerUnreachable | Reason::BasicOnly | Reason::CreditsExhausted
    )
}

fn refused(frame: &Frame<'_>, subject: &Subject, refusal: Refusal, force: bool) -> Verdict {
    let observe = frame.contract.plan.mode == Mode::Observe;
    let mut answer = AuthorizeAnswer {
        decision: Decision::Denied,
        reason: Some(refusal.reason),
        cap: refusal.cap,
        retry_at: refusal.retry_at,
        remaining: remaining(frame, &frame.path(subject)),
        ..blank(frame)
    };
    if observe && !force {
        answer.enforced = false;
        answer.would_be = Some((Decision::Denied, answer.reason.take()));
        answer.decision = Decision::Allowed;
    }
    Verdict::Answer(answer, None)
}

/// From here on nothing may fail: the run is reserved (or, with an event trigger, charged).
fn allow(frame: &Frame<'_>, call: &Authorize, quote: Quote<'_>, mut judged: Judged, force: bool) -> Verdict {
    let observe = frame.contract.plan.mode == Mode::Observe;
    let draws = &judged.drawn.draws;
    let by_species = if judged.free { Decision::AllowedDegraded } else { decided_by(draws) };
    let would_be = match &judged.refusal {
        Some(refusal) => (Decision::Denied, Some(refusal.reason)),
        None => (judged.past_lease.unwrap_or(by_species), None),
    };
    let decision = match judged.past_lease {
        _ if observe || judged.refusal.is_some() => Decision::Allowed,
        Some(decision) => decision,
        None => by_species,
    };
    let is_event = quote.terms.trigger == Trigger::Event;
    let (held, debt) = (hold::total(draws), judged.drawn.missing);
    let life = life(frame, call, &quote, &judged);
    let answer = AuthorizeAnswer {
        decision,
        reservation: (!call.validate_only).then_some(call.id),
        held: if is_event { Credits::ZERO } else { held },
        charged: if is_event { held + debt } else { Credits::ZERO },
        paid_by: paid_by(draws),
        is_final: is_final(frame, &quote, &judged),
        remaining: remaining(frame, &quote.path).saturating_sub(balance_part(&quote, draws)),
        expires_at: (!is_event).then_some(life.expires_at),
        enforced: !observe,
        would_be: (observe || force).then_some(would_be),
        past_lease: judged.past_lease.is_some() || by(draws, Species::Emergency),
        soft_caps_reached: std::mem::take(&mut judged.soft),
        ..blank(frame)
    };
    let begun = Begun { decision, life, is_event };
    Verdict::Answer(answer, (!call.validate_only).then(|| event(frame, call, quote, judged, begun)))
}

/// The decision follows from the species that paid.
pub fn decided_by(draws: &[Draw]) -> Decision {
    if by(draws, Species::Basic) {
        Decision::AllowedDegraded
    } else if draws.iter().any(|draw| draw.species.is_last_resort()) {
        Decision::AllowedOverage
    } else {
        Decision::Allowed
    }
}

fn by(draws: &[Draw], species: Species) -> bool {
    draws.iter().any(|draw| draw.species == species)
}
