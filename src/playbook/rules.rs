//! What the language refuses although each value by itself is well written: names that lead nowhere, and numbers and
//! links that could never work.

use std::collections::BTreeSet;

use super::cap::Scope;
use super::compile;
use super::document::Document;
use super::document::actions::Reserve;
use super::document::chain::Link;
use super::document::governance::{CapLine, Condition};
use super::document::plan::{AllowanceLine, Plan, Trading};
use super::finding::{At, Findings, Place, shown, why};
use super::meaning::Feature;
use super::nearest::nearest;
use super::pooling::{PoolScope, SEATS_MAX};
use super::scalar::Portion;
use crate::types::{Credits, Name};

/// Every rule over what could be read of a document; nothing is concluded from a part whose writing has an error: that
/// has been reported already.
pub fn apply(document: &Document, f: &mut Findings) {
    for action in document.actions.values() {
        let written = std::iter::once(&action.keys).chain(action.when.iter().map(|entry| &entry.keys));
        for reserve in written.filter_map(|keys| keys.reserve.as_ref()) {
            lifetime(reserve, f);
        }
    }
    let actions = document.action_names.iter().map(Name::as_str).collect();
    for plan in &document.plans {
        names(plan, &actions, f);
        if plan.read_well("overage") {
            chain(plan, f);
            overage_alerts(plan, f);
        }
        if plan.read_well("allowance") {
            allowance_wanted(plan, f);
        }
        trading(plan, f);
        seats(plan, f);
    }
    precision(document, f);
}

fn lifetime(reserve: &At<Reserve>, f: &mut Findings) {
    let ttl = compile::ttl(&reserve.value);
    if let Some(longest) = &reserve.value.longest
        && longest.value.approximate_micros() < ttl.approximate_micros()
    {
        let problem =
            format!("`{}` is shorter than the time `{ttl}` that a reservation lives at first", longest.value);
        let why = "the bound on all extensions would end a reservation before its first time is over.";
        f.error_because(&longest.place, problem, why, "write a longer time, or a shorter `ttl`");
    }
}

/// Names that there are, each found in the time of a tree.
type Known<'a> = BTreeSet<&'a str>;

/// Up to so many names the nearest one is looked for: each comparison takes time.
const NEAREST_AMONG_MAX: usize = 1_000;

fn dangling(name: &At<Name>, what: &str, known: &Known<'_>, f: &mut Findings) {
    let word = name.value.as_str();
    if known.contains(word) {
        return;
    }
    let near = if f.is_full() || known.len() > NEAREST_AMONG_MAX {
        None
    } else {
        nearest(word, known.iter().copied())
    };
    let help = match near {
        Some(meant) => format!("did you mean `{meant}`?"),
        None if known.is_empty() => format!("there is no {what} here; add it, or leave this out"),
        None => {
            let some: Vec<_> = known.iter().take(10).map(|other| format!("`{}`", shown(other))).collect();
            format!("write one that there is, such as {}", some.join(", "))
        }
    };
    let why = "a rule about something that does not exist is never kept.";
    f.error_because(&name.place, format!("there is no {what} `{}`", shown(word)), why, help);
}

fn names(plan: &Plan, actions: &Known<'_>, f: &mut Findings) {
    for action in plan.includes.iter().flatten() {
        dangling(action, "action", actions, f);
    }
    let shelf = plan.on_demand.iter().flat_map(|shelf| &shelf.value.packs);
    let packs = shelf.map(|(name, _)| name.value.as_str()).collect();
    for link in plan.overage.iter().filter(|_| plan.read_well("on_demand")) {
        if let Link::TopUp { pack, .. } = &link.value {
            dangling(pack, "pack", &packs, f);
        }
    }
    let caps = plan.caps.iter().map(|line| line.name.value.as_str()).collect();
    for alert in plan.alerts.iter().filter(|_| plan.read_well("caps")) {
        if let Condition::CapReaches { cap, .. } = &alert.when.value {
            dangling(cap, "cap", &caps, f);
        }
    }
    for line in &plan.caps {
        capped_action(line, actions, f);
    }
}

/// A cap on one action by its whole name must mean an action that there is; a pattern may wait for some to come.
fn capped_action(line: &CapLine, actions: &Known<'_>, f: &mut Findings) {
    let (Some(pattern), Some(place)) = (&line.cap.matches, &line.matches) else { return };
    if line.cap.per != Scope::Action || pattern.0.contains(['*', '?']) {
        return;
    }
    match Name::parse(&pattern.0) {
        Ok(name) => dangling(&At { place: place.clone(), value: name }, "action", actions, f),
        Err(error) => {
            let help = "write an action's name, or a pattern such as `*.email`";
            f.error_because(place, format!("the action `{}` {error}", shown(&pattern.0)), why::NAME, help);
        }
    }
}

fn chain(plan: &Plan, f: &mut Findings) {
    let endless = plan.overage.iter().position(|link| matches!(&link.value, Link::Soft { up_to: None, .. }));
    if let Some(next) = endless.and_then(|n| plan.overage.get(n + 1)) {
        let problem = format!("`{}` is never reached: the `soft` before it has no limit", next.value.word());
        let why = "whoever reads the chain counts on a link that never comes into play.";
        let help = "give `soft` its `up_to`, or leave out what follows it";
        f.error_because(&next.place, problem, why, help);
    }
}

/// What takes a share of an allowance, or rolls one, or borrows from the next one, needs one.
fn allowance_wanted(plan: &Plan, f: &mut Findings) {
    const HELP: &str = "give the plan an `allowance`, or write credits";
    for link in &plan.overage {
        if let Link::Borrow { .. } = &link.value
            && !plan.recurs()
        {
            let problem = "there is no next period to borrow from: the plan has no recurring allowance";
            let why = "what is borrowed is paid back by the next allowance; without one it is debt at once.";
            let help = "give the plan an `allowance` that recurs, or leave `borrow` out";
            f.error_because(&link.place, problem, why, help);
        }
    }
    if !plan.allowance.is_empty() {
        return;
    }
    if let Some(place) = &plan.rollover_place {
        f.error_because(
            place,
            "nothing rolls over: the plan has no allowance",
            "buyers would be promised that credits carry over, and there are none that end with a period.",
            "give the plan an `allowance`, or leave `rollover` out",
        );
    }
    let mut share = |place: &Place, portion: Portion| {
        if let Portion::Share(percent) = portion {
            let problem = format!("`{percent}` of an allowance, and the plan has none");
            f.error_because(
                place,
                problem,
                "a share of nothing is nothing: the rule would never apply.",
                HELP,
            );
        }
    };
    if let Some(personal) = plan.pooling.as_ref().and_then(|pooling| pooling.value.personal.as_ref()) {
        share(&personal.place, personal.value);
    }
    for alert in &plan.alerts {
        if let Condition::BalanceBelow(below) = alert.when.value {
            share(&alert.when.place, below);
        }
    }
}

fn overage_alerts(plan: &Plan, f: &mut Findings) {
    let limited = plan.overage.iter().any(|link| matches!(&link.value, Link::Soft { up_to: Some(_), .. }));
    for alert in &plan.alerts {
        if let Condition::OverageReaches(Portion::Share(percent)) = alert.when.value
            && !limited
        {
            let problem = format!("`{percent}` of `soft.up_to`, and the plan's overage has no such limit");
            let why = "a share of no limit is never reached: nobody would be warned.";
            let help = "give the plan `soft: {up_to: 2000}`, or write credits";
            f.error_because(&alert.when.place, problem, why, help);
        }
    }
}

fn trading(plan: &Plan, f: &mut Findings) {
    if let Some(At { place, value: Trading::Other(text) }) = &plan.trading {
        let problem = format!("`{}`: credits are not traded", shown(text));
        let why = "credits that can be sold on are worth what a market pays, and no longer what the price list says.";
        f.error_because(place, problem, why, "write `trading: none`, or leave it out");
    }
}

/// Shares of a hybrid plan go by its feature `seats` where a subscription names none: it must count something.
fn seats(plan: &Plan, f: &mut Findings) {
    let hybrid = plan.pooling.as_ref().filter(|pooling| pooling.value.scope.value == PoolScope::Hybrid);
    let (Some(pooling), Some(seats)) = (hybrid, plan.features.get("seats")) else { return };
    let count = match seats {
        Feature::Number(text) => text.parse().ok().filter(|seats: &u32| *seats <= SEATS_MAX),
        _ => None,
    };
    if count.is_none() {
        let given = match seats {
            Feature::Number(text) | Feature::Text(text) => format!("`{}`", shown(text)),
            Feature::Bool(flag) => format!("`{flag}`"),
            Feature::List(_) => "a list".to_owned(),
            Feature::Map(_) => "a map".to_owned(),
        };
        let problem =
            format!("`features.seats` is {given}, and seats are a whole number from 0 to {SEATS_MAX}");
        let why = "nobody would have a share, though the plan promises one for each seat.";
        let help = "write the number of seats, such as `seats: 25`, or give the feature another name";
        f.error_because(&pooling.place, problem, why, help);
    }
}

/// Credits that are granted must fit the balance they are granted to.
fn precision(document: &Document, f: &mut Findings) {
    let Some(credit) = &document.credit else { return };
    let scale = credit.scale.as_ref().map_or(0, |scale| scale.value);
    let mut fits = |credits: &At<Credits>| {
        if credits.value.decimal().normalize().scale() > scale {
            let problem =
                format!("`{}` has more decimal places than a balance, which has {scale}", credits.value);
            let why = "a balance could not show them, and what is not shown cannot be checked by a buyer.";
            f.error_because(&credits.place, problem, why, "write fewer places, or raise `credit.scale`");
        }
    };
    let lines = |lines: &[At<AllowanceLine>], fits: &mut dyn FnMut(&At<Credits>)| {
        lines.iter().for_each(|line| fits(&line.value.credits));
    };
    for addon in &document.addons {
        lines(&addon.allowance, &mut fits);
    }
    for plan in &document.plans {
        lines(&plan.allowance, &mut fits);
        plan.overage.iter().for_each(|link| link_credits(&link.value, &mut fits));
        for (_, pack) in plan.on_demand.iter().flat_map(|shelf| &shelf.value.packs) {
            fits(&pack.credits);
        }
        for (_, incentive) in &plan.incentives {
            fits(&incentive.credits);
            incentive.per_period.iter().for_each(&mut fits);
        }
        let emergency = plan.offline.iter().filter_map(|offline| offline.value.emergency.as_ref());
        emergency.for_each(|emergency| fits(&emergency.value.credits));
        let personal = plan.pooling.iter().filter_map(|pooling| pooling.value.personal.as_ref());
        personal.filter_map(credits_of).for_each(|credits| fits(&credits));
    }
}

fn link_credits(link: &Link, fits: &mut dyn FnMut(&At<Credits>)) {
    match link {
        Link::TopUp { .. } => {}
        Link::Borrow { up_to } => credits_of(up_to).iter().for_each(fits),
        Link::Soft { up_to, per_user, .. } => up_to.iter().chain(per_user).for_each(fits),
        Link::Degraded { credits, .. } => credits.iter().for_each(fits),
    }
}

fn credits_of(portion: &At<Portion>) -> Option<At<Credits>> {
    match portion.value {
        Portion::Credits(credits) => Some(portion.with(credits)),
        Portion::Share(_) => None,
    }
}
