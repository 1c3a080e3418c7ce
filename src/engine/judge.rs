//! The rules that may refuse a run: suspension, the plan's actions, caps, the parent's budget, the credits.

use super::authorize::Short;
use super::frame::Frame;
use super::offline;
use super::quote::Quote;
use crate::credit::cap::{self, Need};
use crate::credit::draw::{self, Drawn};
use crate::credit::hold;
use crate::credit::{Decision, Reason, Refusal, Reservation, ScopeKey};
use crate::playbook::overage::Link;
use crate::types::{Credits, Name};

/// The outcome of the rules that may refuse.
pub struct Judged {
    pub refusal: Option<Refusal>,
    pub short: Short,
    pub needs: Vec<Need>,
    pub drawn: Drawn,
    pub soft: Vec<Name>,
    /// The next run of the same size would lack room in a hard cap, as far as is known here.
    pub tight: bool,
    /// Degraded use carries the run free of charge.
    pub free: bool,
    /// What the plan's offline mode decided in the ledger's place.
    pub past_lease: Option<Decision>,
}

pub fn judge(frame: &Frame<'_>, quote: &Quote<'_>) -> Judged {
    let contract = frame.contract;
    let mut refusals: Vec<Refusal> = Vec::new();
    if contract.suspended {
        refusals.push(Refusal::because(Reason::AccountSuspended));
    }
    if !contract.plan.covers(&quote.run.action) {
        refusals.push(Refusal::because(Reason::ActionNotIncluded));
    }
    if offline::is_over(frame) {
        refusals.push(Refusal::because(Reason::LedgerUnreachable));
    }
    let basic = quote.terms.basic;
    let drawn = drawn(frame, quote);
    let free_degraded = basic && !frame.may_ask() && !frame.unreachable() && quote.parent.is_none();
    let free = free_degraded && drawn.missing.is_positive() && has_free_degraded(frame);
    let amount = if free { Credits::ZERO } else { quote.amount };
    let needs = cap::needs(&contract.plan, &quote.run, quote.budget, amount, &frame.windows(frame.at));
    let mut short = Short { basic, prior: prior(frame, quote, &drawn, free), ..Short::default() };
    let (mut soft, mut tight) = (Vec::new(), false);
    // Room that the ledger has but did not lease, because something else was lacking: not what refuses the run.
    let mut unleased = None;
    for need in &needs {
        let fresh = fresh_room(quote.parent, need);
        let room = frame.room(need);
        tight |= !need.soft && is_tight(frame, need, fresh, room.unwrap_or_default());
        match room {
            Some(room) if room >= fresh => continue,
            known if need.soft => {
                let rest = frame.rest_of(&need.key);
                if known.is_none_or(|_| may_have_more(frame, need)) {
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
    let mut judged = Judged { refusal, short, needs, drawn, soft, tight, free, past_lease: None };
    offline::relent(frame, quote, &mut judged);
    judged
}

/// What pays the run: its parent's hold, or else the pools.
fn drawn(frame: &Frame<'_>, quote: &Quote<'_>) -> Drawn {
    match quote.parent {
        Some(parent) => {
            let (draws, missing) = hold::first(&parent.held, quote.amount);
            Drawn { draws, missing }
        }
        None => draw::draw(&frame.book.pools, quote.amount, offline::limits(frame, quote)),
    }
}

/// What the run would draw out of turn: only a run that draws on pools does.
fn prior(frame: &Frame<'_>, quote: &Quote<'_>, drawn: &Drawn, free: bool) -> Credits {
    if quote.parent.is_some() || free {
        return Credits::ZERO;
    }
    frame.out_of_turn(&quote.path, &drawn.draws, drawn.missing)
}

impl Judged {
    pub fn asks(&self) -> bool {
        self.short.credits.is_positive() || self.short.prior.is_positive() || !self.short.caps.is_empty()
    }
}

/// The room that a run needs beyond what its parent holds of the same counter.
pub fn fresh_room(parent: Option<&Reservation>, need: &Need) -> Credits {
    match parent {
        Some(parent) => need.amount - cap::carried(parent, need),
        None => need.amount,
    }
}

/// Whether two runs of the same size do not fit. A root's own counter is not asked: the next run has another.
fn is_tight(frame: &Frame<'_>, need: &Need, fresh: Credits, room: Credits) -> bool {
    let two = fresh + need.amount;
    need.amount.is_positive()
        && room < two
        && room + frame.rest_of(&need.key) < two
        && !matches!(need.key.scope, ScopeKey::Root(_))
}

/// Whether the ledger may have more room of a soft cap than is here. What it has not said, or said before it took room
/// back, it must be asked; places of what runs at one time come back all the while, so that none left says nothing
/// about now. A root's own counter is nowhere but here.
fn may_have_more(frame: &Frame<'_>, need: &Need) -> bool {
    let said = frame.rest().is_some_and(|rest| rest.caps.contains_key(&need.key));
    let open = frame.rest_of(&need.key).is_positive() || !said || need.ends_at.is_none();
    open && !matches!(need.key.scope, ScopeKey::Root(_))
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
