//! Parts of the language that parse, are checked, and are not done yet: refused by name, never ignored.

use super::document::Document;
use super::document::chain::Link;
use super::document::credits::PoolScope;
use super::document::plan::Plan;
use super::finding::{Findings, Place};

pub fn refuse(document: &Document, f: &mut Findings) {
    for plan in &document.plans {
        parts(plan, f);
        links(plan, f);
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
    let parts = [
        ("rollover", plan.rollover_place.as_ref()),
        ("pooling", pooling.map(|at| &at.place)),
        ("on_demand", plan.on_demand.as_ref().map(|at| &at.place)),
        ("incentives", plan.incentives_place.as_ref()),
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
