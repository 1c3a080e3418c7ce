//! Parts of the language that parse, are checked, and are not done yet: refused by name, never ignored.

use super::document::Document;
use super::document::credits::Between;
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
    let transfers =
        plan.transfers.as_ref().filter(|transfers| transfers.value.between.value != Between::None);
    let parts = [
        ("term", plan.term.as_ref().map(|at| &at.place)),
        ("fee", plan.fee.as_ref().map(|at| &at.place)),
        ("commitment", plan.commitment.as_ref().map(|at| &at.place)),
        ("refunds", plan.refunds.as_ref().map(|at| &at.place)),
        ("transfers", transfers.map(|at| &at.place)),
    ];
    named(&parts, f);
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
