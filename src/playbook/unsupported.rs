//! Parts of the language that parse, are checked, and are not done yet: refused by name, never ignored.

use super::document::Document;
use super::document::chain::Link;
use super::document::credits::{Between, PoolScope};
use super::document::governance::Condition;
use super::document::plan::Plan;
use super::finding::{Findings, Place};

pub fn refuse(document: &Document, f: &mut Findings) {
    let versions = [
        ("effective", document.effective.as_ref().map(|at| &at.place)),
        ("notice", document.notice.as_ref().map(|at| &at.place)),
        ("grandfather", document.grandfather.as_ref().map(|at| &at.place)),
        ("addons", document.addons_place.as_ref()),
    ];
    named(&versions, f);
    for plan in &document.plans {
        parts(plan, f);
        links(plan, f);
        alerts(plan, f);
    }
}

fn named(parts: &[(&str, Option<&Place>)], f: &mut Findings) {
    for (part, place) in parts {
        if let Some(place) = place {
            f.unsupported(place, part);
        }
    }
}

fn parts(plan: &Plan, f: &mut Findings) {
    let pooling = plan.pooling.as_ref().filter(|pooling| pooling.value.scope.value != PoolScope::Account);
    let transfers =
        plan.transfers.as_ref().filter(|transfers| transfers.value.between.value != Between::None);
    let parts = [
        ("term", plan.term.as_ref().map(|at| &at.place)),
        ("fee", plan.fee.as_ref().map(|at| &at.place)),
        ("commitment", plan.commitment.as_ref().map(|at| &at.place)),
        ("rollover", plan.rollover_place.as_ref()),
        ("pooling", pooling.map(|at| &at.place)),
        ("on_demand", plan.on_demand.as_ref().map(|at| &at.place)),
        ("incentives", plan.incentives_place.as_ref()),
        ("refunds", plan.refunds.as_ref().map(|at| &at.place)),
        ("transfers", transfers.map(|at| &at.place)),
    ];
    named(&parts, f);
}

fn links(plan: &Plan, f: &mut Findings) {
    for link in &plan.overage {
        match &link.value {
            Link::TopUp { .. } | Link::Borrow { .. } => f.unsupported(&link.place, link.value.word()),
            Link::Soft { per_user: Some(per_user), .. } => f.unsupported(&per_user.place, "soft.per_user"),
            Link::Soft { .. } | Link::Degraded { .. } => {}
        }
    }
}

fn alerts(plan: &Plan, f: &mut Findings) {
    for alert in &plan.alerts {
        let part = match &alert.when.value {
            Condition::BalanceBelow(_) | Condition::CapReaches { .. } => continue,
            Condition::ExpiresWithin { .. } => "expires_within",
            Condition::OverageReaches(_) => "overage_reaches",
            Condition::BurnAbove(_) => "burn_above",
        };
        f.unsupported(&alert.when.place, part);
    }
}
