//! From answers to wire.

use std::collections::BTreeMap;

use super::convert::page_token;
use super::entitlement_api::{Answered, BalanceView, RunView};
use super::proto::v1;
use crate::credit::{CapKey, Counter, Decision, Reason, ScopeKey, State, Subject};
use crate::engine::answer::{AuthorizeAnswer, Next, ProgressAnswer, RunAnswer};
use crate::playbook::cap::{self, Scope};
use crate::playbook::charge::{Quantities, RunResult};
use crate::playbook::draw_order::Species;
use crate::playbook::{Feature, Plan};
use crate::types::{Credits, Name, Timestamp};

/// How deep features nest on the wire: the limit of protobuf's own parsers, with room for the message around them.
const FEATURE_DEPTH_MAX: usize = 32;

pub fn authorize(
    answered: Answered<AuthorizeAnswer>,
    decision_id: String,
    connectivity: v1::Connectivity,
    explanation: Vec<v1::ExplanationStep>,
) -> v1::AuthorizeResponse {
    let Answered { answer, at, .. } = answered;
    // What would have been decided is part of the answer only where nothing was enforced.
    let would_be = answer.would_be.filter(|_| !answer.enforced);
    v1::AuthorizeResponse {
        decision_id,
        decision: decision(answer.decision).into(),
        reason: reason(answer.reason).into(),
        cap: text(answer.cap.as_ref()),
        reservation: answered.handle.unwrap_or_default(),
        held: answer.held.to_string(),
        charged: answer.charged.to_string(),
        paid_by: paid_by(&answer.paid_by),
        r#final: answer.is_final,
        next: next(answer.next).into(),
        remaining: answer.remaining.to_string(),
        as_of: Some(instant(answer.as_of)),
        as_of_age: Some(between(answer.as_of, at)),
        expires_at: answer.expires_at.map(instant),
        expires_in: answer.expires_at.map(|end| between(at, end)),
        soft_caps_reached: texts(&answer.soft_caps_reached),
        connectivity: connectivity.into(),
        decided_by: decided_by(answered.by_ledger).into(),
        playbook_version: answer.version,
        enforced: answer.enforced,
        would_be_decision: would_be.map_or(v1::Decision::Unspecified, |(d, _)| decision(d)).into(),
        would_be_reason: reason(would_be.and_then(|(_, r)| r)).into(),
        explanation,
        retry_at: answer.retry_at.map(instant),
        retry_in: answer.retry_at.map(|end| between(at, end)),
        out_of_reach: answer.out_of_reach.map(|(credits, until)| v1::OutOfReach {
            credits: credits.to_string(),
            until: Some(instant(until)),
            until_in: Some(between(at, until)),
        }),
        provisional: false,
    }
}

pub fn progress(
    answered: &Answered<ProgressAnswer>,
    decision_id: String,
    connectivity: v1::Connectivity,
) -> v1::ProgressResponse {
    let (answer, at, about) = (&answered.answer, answered.at, &answered.about);
    let denied = answer.decision == Decision::Denied;
    v1::ProgressResponse {
        decision_id,
        decision: decision(answer.decision).into(),
        reason: reason(answer.reason).into(),
        cap: text(answer.cap.as_ref()),
        state: state(answer.state).into(),
        held: answer.held.to_string(),
        charged: answer.charged.to_string(),
        paid_by: paid_by(&answer.paid_by),
        debt: answer.debt.to_string(),
        expires_at: Some(instant(answer.stop_by)),
        expires_in: Some(between(at, answer.stop_by)),
        stop_by: denied.then(|| instant(answer.stop_by)),
        stop_in: denied.then(|| between(at, answer.stop_by)),
        r#final: denied,
        next: next(about.next).into(),
        remaining: about.remaining.to_string(),
        as_of: Some(instant(at)),
        as_of_age: Some(between(at, at)),
        soft_caps_reached: Vec::new(),
        connectivity: connectivity.into(),
        decided_by: decided_by(answered.by_ledger).into(),
        enforced: about.enforced,
        would_be_decision: v1::Decision::Unspecified.into(),
        would_be_reason: v1::Reason::Unspecified.into(),
        retry_at: None,
        retry_in: None,
        out_of_reach: None,
        provisional: answer.provisional,
    }
}

pub fn commit(answered: &Answered<RunAnswer>, connectivity: v1::Connectivity) -> v1::CommitResponse {
    let (answer, at) = (&answered.answer, answered.at);
    v1::CommitResponse {
        state: state(answer.state).into(),
        charged: answer.charged.to_string(),
        paid_by: paid_by(&answer.paid_by),
        debt: answer.debt.to_string(),
        held: answer.held.to_string(),
        expires_at: answer.expires_at.map(instant),
        expires_in: answer.expires_at.map(|end| between(at, end)),
        provisional: answer.provisional,
        soft_caps_reached: Vec::new(),
        connectivity: connectivity.into(),
        decided_by: decided_by(answered.by_ledger).into(),
        playbook_version: answered.about.version,
    }
}

pub fn release(answered: &Answered<RunAnswer>, connectivity: v1::Connectivity) -> v1::ReleaseResponse {
    let answer = &answered.answer;
    v1::ReleaseResponse {
        state: state(answer.state).into(),
        charged: answer.charged.to_string(),
        paid_by: paid_by(&answer.paid_by),
        debt: answer.debt.to_string(),
        provisional: answer.provisional,
        connectivity: connectivity.into(),
        decided_by: decided_by(answered.by_ledger).into(),
    }
}

pub fn record(
    answered: &Answered<RunAnswer>,
    decision_id: String,
    connectivity: v1::Connectivity,
) -> v1::RecordResponse {
    let answer = &answered.answer;
    v1::RecordResponse {
        decision_id,
        reservation: answered.handle.clone().unwrap_or_default(),
        state: state(answer.state).into(),
        charged: answer.charged.to_string(),
        paid_by: paid_by(&answer.paid_by),
        debt: answer.debt.to_string(),
        would_be_decision: answer.would_be.map_or(v1::Decision::Unspecified, |(d, _)| decision(d)).into(),
        would_be_reason: reason(answer.would_be.and_then(|(_, r)| r)).into(),
        cap: String::new(),
        soft_caps_reached: Vec::new(),
        provisional: answer.provisional,
        connectivity: connectivity.into(),
        decided_by: decided_by(answered.by_ledger).into(),
        playbook_version: answered.about.version,
        held: answer.held.to_string(),
    }
}

pub fn run(view: RunView) -> v1::Run {
    let open = view.answer.state == State::Held || view.answer.state == State::AwaitingOutcome;
    let (quantity, quantities) = match view.used {
        None => (None, BTreeMap::new()),
        Some(Quantities::Single(units)) => (Some(units.to_string()), BTreeMap::new()),
        Some(Quantities::Meters(meters)) => {
            (None, meters.into_iter().map(|(meter, units)| (meter.to_string(), units.to_string())).collect())
        }
    };
    let asked = view.run.as_ref();
    v1::Run {
        reservation: view.handle,
        account: view.account.to_string(),
        subject: asked.and_then(|run| subject(&run.subject)),
        action: asked.map_or_else(String::new, |run| run.action.to_string()),
        dimensions: asked.map_or_else(BTreeMap::new, |run| {
            run.dimensions.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        }),
        run_id: asked.map_or_else(String::new, |run| text(run.run_id.as_ref())),
        request_id: view.request_id.map_or_else(String::new, |id| id.to_string()),
        state: state(view.answer.state).into(),
        result: view.result.map_or(v1::RunResult::Unspecified, result).into(),
        quantity,
        quantities,
        held: view.answer.held.to_string(),
        charged: view.answer.charged.to_string(),
        paid_by: paid_by(&view.answer.paid_by),
        debt: view.answer.debt.to_string(),
        authorized_at: view.authorized_at.map(instant),
        expires_at: view.answer.expires_at.filter(|_| open).map(instant),
        expires_in: view.answer.expires_at.filter(|_| open).map(|end| between(view.at, end)),
        playbook_version: view.version,
        settler: decided_by(view.by_ledger).into(),
        provisional: view.answer.provisional,
        parent: view.parent.unwrap_or_default(),
    }
}

/// One page; a full one says where the next begins.
pub fn page(views: Vec<RunView>, most: usize) -> v1::ListReservationsResponse {
    let next_page_token = match views.last() {
        Some(last) if views.len() >= most => {
            page_token(last.authorized_at.unwrap_or_default(), last.answer.id)
        }
        _ => String::new(),
    };
    v1::ListReservationsResponse { runs: views.into_iter().map(run).collect(), next_page_token }
}

pub fn balance(view: &BalanceView, connectivity: v1::Connectivity) -> v1::GetBalanceResponse {
    v1::GetBalanceResponse {
        available: view.available.to_string(),
        held: view.held.to_string(),
        spent: view.spent.to_string(),
        lapsed: view.lapsed.to_string(),
        debt: view.debt.to_string(),
        by: view.by.iter().map(|(species, credits)| (species.to_string(), credits.to_string())).collect(),
        overage: view.overage.to_string(),
        period_ends: Some(instant(view.period_ends)),
        period_ends_in: Some(between(view.at, view.period_ends)),
        caps: view
            .caps
            .iter()
            .filter_map(|(key, counter, left)| cap_balance(&view.plan, key, counter, *left, view.at))
            .collect(),
        as_of: Some(instant(view.as_of)),
        as_of_age: Some(between(view.as_of, view.at)),
        connectivity: connectivity.into(),
        provisional: true,
        next: next(view.next).into(),
    }
}

fn cap_balance(
    plan: &Plan,
    key: &CapKey,
    counter: &Counter,
    left: Credits,
    at: Timestamp,
) -> Option<v1::CapBalance> {
    let cap = cap::named(plan, key.cap.as_str())?;
    let left = left.min(cap.limit());
    Some(v1::CapBalance {
        cap: cap.name.to_string(),
        per: scope_word(cap.per).to_owned(),
        name: match &key.scope {
            ScopeKey::Account => String::new(),
            ScopeKey::Named(name) => name.to_string(),
            ScopeKey::Root(id) => id.to_string(),
        },
        limit: cap.limit().to_string(),
        used: cap.limit().saturating_sub(left).to_string(),
        left: left.to_string(),
        soft: cap.soft,
        window_ends: counter.ends_at.map(instant),
        window_ends_in: counter.ends_at.map(|end| between(at, end)),
    })
}

pub fn features(plan: &Plan, version: u32) -> v1::GetFeaturesResponse {
    let features = plan.features.iter().map(|(name, value)| (name.clone(), feature(value, 0))).collect();
    v1::GetFeaturesResponse { features, plan: plan.name.to_string(), playbook_version: version }
}

fn feature(value: &Feature, depth: usize) -> prost_types::Value {
    use prost_types::value::Kind;
    let kind = match value {
        _ if depth > FEATURE_DEPTH_MAX => Kind::NullValue(0),
        Feature::Bool(yes) => Kind::BoolValue(*yes),
        // The wire's numbers are floats; one that is not a float goes as it was written.
        Feature::Number(number) => match number.parse() {
            Ok(float) => Kind::NumberValue(float),
            Err(_) => Kind::StringValue(number.clone()),
        },
        Feature::Text(text) => Kind::StringValue(text.clone()),
        Feature::List(list) => Kind::ListValue(prost_types::ListValue {
            values: list.iter().map(|item| feature(item, depth + 1)).collect(),
        }),
        Feature::Map(map) => Kind::StructValue(prost_types::Struct {
            fields: map.iter().map(|(key, item)| (key.clone(), feature(item, depth + 1))).collect(),
        }),
    };
    prost_types::Value { kind: Some(kind) }
}

pub fn connectivity(online: bool) -> v1::Connectivity {
    if online { v1::Connectivity::Online } else { v1::Connectivity::Offline }
}

pub fn decided_by(by_ledger: bool) -> v1::DecidedBy {
    if by_ledger { v1::DecidedBy::Ledger } else { v1::DecidedBy::Sidecar }
}

pub fn decision(decision: Decision) -> v1::Decision {
    match decision {
        Decision::Allowed => v1::Decision::Allowed,
        Decision::AllowedOverage => v1::Decision::AllowedOverage,
        Decision::AllowedDegraded => v1::Decision::AllowedDegraded,
        Decision::Denied => v1::Decision::Denied,
    }
}

pub fn reason(reason: Option<Reason>) -> v1::Reason {
    match reason {
        None => v1::Reason::Unspecified,
        Some(Reason::AccountUnknown) => v1::Reason::AccountUnknown,
        Some(Reason::AccountSuspended) => v1::Reason::AccountSuspended,
        Some(Reason::ActionNotIncluded) => v1::Reason::ActionNotIncluded,
        Some(Reason::CapReached) => v1::Reason::CapReached,
        Some(Reason::RunBudgetExhausted) => v1::Reason::RunBudgetExhausted,
        Some(Reason::LedgerUnreachable) => v1::Reason::LedgerUnreachable,
        Some(Reason::BasicOnly) => v1::Reason::BasicOnly,
        Some(Reason::CreditsExhausted) => v1::Reason::CreditsExhausted,
    }
}

fn state(state: State) -> v1::State {
    match state {
        State::Held => v1::State::Held,
        State::AwaitingOutcome => v1::State::AwaitingOutcome,
        State::Accepted => v1::State::Accepted,
        State::Settled => v1::State::Settled,
        State::Released => v1::State::Released,
        State::Lapsed => v1::State::Lapsed,
    }
}

fn next(next: Next) -> v1::Next {
    match next {
        Next::Deny => v1::Next::Deny,
        Next::Degrade => v1::Next::Degrade,
        Next::Overage => v1::Next::Overage,
        Next::Borrow => v1::Next::Borrow,
        Next::TopUp => v1::Next::TopUp,
    }
}

fn result(result: RunResult) -> v1::RunResult {
    match result {
        RunResult::Succeeded => v1::RunResult::Succeeded,
        RunResult::Partial => v1::RunResult::Partial,
        RunResult::Failed => v1::RunResult::Failed,
        RunResult::Cancelled => v1::RunResult::Cancelled,
    }
}

fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Account => "account",
        Scope::Team => "team",
        Scope::User => "user",
        Scope::Agent => "agent",
        Scope::Action => "action",
        Scope::Run => "run",
    }
}

fn subject(subject: &Subject) -> Option<v1::Subject> {
    (*subject != Subject::default()).then(|| v1::Subject {
        team: text(subject.team.as_ref()),
        user: text(subject.user.as_ref()),
        agent: text(subject.agent.as_ref()),
    })
}

pub fn paid_by(parts: &[(Species, Credits)]) -> BTreeMap<String, String> {
    parts.iter().map(|(species, credits)| (species.word().to_owned(), credits.to_string())).collect()
}

fn text(name: Option<&Name>) -> String {
    name.map_or_else(String::new, |name| name.as_str().to_owned())
}

fn texts(names: &[Name]) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

pub fn instant(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.micros();
    let nanos = micros.rem_euclid(1_000_000) * 1000;
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}

/// The time from `from` to `to`; zero where that is over.
pub fn between(from: Timestamp, to: Timestamp) -> prost_types::Duration {
    let micros = to.micros_since(from);
    prost_types::Duration {
        seconds: micros / 1_000_000,
        nanos: i32::try_from(micros % 1_000_000 * 1000).unwrap_or_default(),
    }
}
