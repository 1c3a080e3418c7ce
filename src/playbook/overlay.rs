//! C15: what one account has beside its plan, or in its place: add-ons, a negotiated contract, caps of its own.
//!
//! An account's plan is read anew from the published text with these parts put in, so that it passes the same rules.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use thiserror::Error;

use super::document;
use super::finding::{Findings, Report, why};
use super::meaning::{Plan, Playbook};
use super::tree::{self, Entry, Kind, Mark, Node};
use super::{compile, rules};
use crate::types::{Name, Timestamp};

/// The longest text of overrides or of a cap, in bytes: it comes with the account's terms to every sidecar that serves it.
pub const TEXT_BYTES_MAX: usize = 64 << 10;

/// The most caps of an account's own.
pub const CAPS_MAX: usize = 64;

#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Overlay {
    #[n(0)]
    pub addons: Vec<Name>,
    /// Keys of the plan that stand in the place of its own, as YAML.
    #[n(1)]
    pub overrides: Option<String>,
    /// The keys of each cap that was set for the account, as YAML; one stands in the place of the plan's cap of its name.
    #[n(2)]
    pub caps: Vec<String>,
    #[n(3)]
    pub seats: Option<u32>,
    /// The subscription is over since then: nothing is granted, borrowed or billed for a period any more.
    #[n(4)]
    pub ended: Option<Timestamp>,
}

/// Why an account's own terms cannot hold.
#[derive(Debug, Error)]
pub enum OverlayFault {
    #[error("the playbook has no plan `{0}`")]
    PlanUnknown(Name),
    #[error("the playbook has no add-on `{0}`")]
    AddOnUnknown(Name),
    #[error("the plan with these keys is refused:\n{}", .0.in_file("overrides"))]
    Refused(Box<Report>),
}

impl Overlay {
    fn changes_text(&self) -> bool {
        self.overrides.is_some() || !self.caps.is_empty()
    }
}

/// What a plan means for an account.
///
/// Errors: a plan or an add-on that the playbook does not have, and keys that its check refuses.
pub fn plan(playbook: &Playbook, name: &Name, overlay: &Overlay) -> Result<Arc<Plan>, OverlayFault> {
    let published = playbook.plans.get(name).ok_or_else(|| OverlayFault::PlanUnknown(name.clone()))?;
    if !overlay.changes_text() && overlay.addons.is_empty() && overlay.ended.is_none() {
        return Ok(published.clone());
    }
    let mut plan =
        if overlay.changes_text() { rewritten(playbook, name, overlay)? } else { Plan::clone(published) };
    for addon in &overlay.addons {
        let bought = playbook.addons.get(addon).ok_or_else(|| OverlayFault::AddOnUnknown(addon.clone()))?;
        bought.add_to(&mut plan);
    }
    if overlay.ended.is_some() {
        plan.end();
    }
    Ok(Arc::new(plan))
}

/// The plan with the account's keys in it, through the same check as a whole playbook.
fn rewritten(playbook: &Playbook, name: &Name, overlay: &Overlay) -> Result<Plan, OverlayFault> {
    let mut findings = Findings::default();
    let f = &mut findings;
    let mut root = only(&playbook.source).ok_or_else(|| OverlayFault::PlanUnknown(name.clone()))?;
    if let Some(plan) = entry(&mut root, "plans").and_then(|plans| entry(plans, name.as_str())) {
        let given = overlay.overrides.as_deref().map(|text| map_of(text, f)).unwrap_or_default();
        for change in given {
            replace(plan, change);
        }
        for text in &overlay.caps {
            set_cap(plan, map_of(text, f));
        }
    }
    // Other plans are none of this account's business, and reading them takes time.
    if let Some(Kind::Map(plans)) = entry(&mut root, "plans").map(|plans| &mut plans.kind) {
        plans.retain(|plan| plan.key == name.as_str());
    }
    let document = document::read(&root, f);
    rules::apply(&document, f);
    let whole = if f.refused() == 0 { compile::playbook(&document, "") } else { None };
    let refused = |findings: Findings| OverlayFault::Refused(Box::new(findings.report(None)));
    match whole.and_then(|mut whole| whole.plans.remove(name)) {
        Some(plan) => Ok(Arc::unwrap_or_clone(plan)),
        None => Err(refused(findings)),
    }
}

fn only(source: &str) -> Option<Node> {
    tree::documents(source).0.into_iter().next()
}

fn map_of(text: &str, f: &mut Findings) -> Vec<Entry> {
    let (documents, faults) = tree::documents(text);
    for fault in faults {
        f.plain_error(&Default::default(), fault.mark, fault.problem, why::YAML, fault.help);
    }
    match documents.into_iter().next().map(|node| (node.mark, node.kind)) {
        Some((_, Kind::Map(entries))) => entries,
        other => {
            let mark = other.map_or(Mark { line: 1, column: 1 }, |(mark, _)| mark);
            let help = "write keys of the plan, such as `{price: 0.08}`".to_owned();
            f.plain_error(
                &Default::default(),
                mark,
                "this is not a map of keys".to_owned(),
                why::VALUE,
                help,
            );
            Vec::new()
        }
    }
}

fn entry<'a>(node: &'a mut Node, key: &str) -> Option<&'a mut Node> {
    match &mut node.kind {
        Kind::Map(entries) => entries.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.value),
        _ => None,
    }
}

fn replace(node: &mut Node, change: Entry) {
    if node.is_null() {
        node.kind = Kind::Map(Vec::new());
    }
    let Kind::Map(entries) = &mut node.kind else { return };
    match entries.iter_mut().find(|entry| entry.key == change.key) {
        Some(entry) => *entry = change,
        None => entries.push(change),
    }
}

fn set_cap(plan: &mut Node, keys: Vec<Entry>) {
    let mark = plan.mark;
    let cap = Node { mark, kind: Kind::Map(keys) };
    if entry(plan, "caps").is_none() {
        let value = Node { mark, kind: Kind::List(Vec::new()) };
        replace(plan, Entry { key: "caps".to_owned(), mark, value });
    }
    let Some(Kind::List(caps)) = entry(plan, "caps").map(|caps| &mut caps.kind) else { return };
    let name = cap_name(&cap);
    match caps.iter_mut().find(|other| name.is_some() && cap_name(other) == name) {
        Some(other) => *other = cap,
        None => caps.push(cap),
    }
}

/// The name that a cap's keys give it.
fn cap_name(cap: &Node) -> Option<String> {
    let Kind::Map(entries) = &cap.kind else { return None };
    let name = entries.iter().find(|entry| entry.key == "name")?;
    match &name.value.kind {
        Kind::Scalar { text, .. } => Some(text.clone()),
        _ => None,
    }
}

/// The name in the text of a cap's keys.
pub fn name_of_cap(text: &str) -> Option<String> {
    cap_name(&only(text)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::load;
    use crate::types::Credits;

    const SOURCE: &str = "
bursar: 1
playbook: p
version: 1
credit: {unit: output, price: 0.10, currency: USD}
actions: {draft: {weight: 1}}
plans:
  basic: {allowance: {credits: 100, every: month}, caps: [{name: c, per: user, limit: 5, every: day}]}
  other: {}
addons: {more: {allowance: {credits: 7, every: month}, features: {sso: true}, fee: {amount: 2, every: month}}}
";

    fn overlaid(overlay: &Overlay) -> Result<Arc<Plan>, String> {
        let playbook = load(SOURCE).unwrap();
        plan(&playbook, &Name::parse("basic").unwrap(), overlay).map_err(|fault| fault.to_string())
    }

    #[test]
    fn keys_stand_in_the_place_of_the_plans_own() {
        let overlay = Overlay {
            addons: vec![Name::parse("more").unwrap()],
            overrides: Some("{price: 0.08, allowance: {credits: 300, every: month}}".to_owned()),
            caps: vec![
                "{name: c, per: user, limit: 9, every: day}".to_owned(),
                "{name: d, per: run, limit: 3}".to_owned(),
            ],
            ..Overlay::default()
        };
        let plan = overlaid(&overlay).unwrap();
        assert_eq!(plan.price.to_string(), "0.08");
        let credits: Vec<_> = plan.allowances.iter().map(|allowance| allowance.credits).collect();
        assert_eq!(credits, [Credits::whole(300), Credits::whole(7)]);
        let limits: Vec<_> = plan.caps.iter().map(|cap| (cap.name.as_str(), cap.limit())).collect();
        assert_eq!(limits, [("c", Credits::whole(9)), ("d", Credits::whole(3))]);
        assert_eq!((plan.fees.len(), plan.features.contains_key("sso")), (1, true));
        let ended = Overlay { ended: Some(Timestamp::default()), ..overlay };
        let plan = overlaid(&ended).unwrap();
        assert_eq!((plan.allowances.len(), plan.fees.len(), plan.caps.len()), (0, 0, 2));
    }

    #[test]
    fn what_a_playbook_may_not_say_an_account_may_not_say_either() {
        for (overrides, problem) in [
            ("{prise: 0.08}", "prise"),
            ("{trading: open}", "not traded"),
            ("[1, 2]", "not a map"),
            ("{overage: [{top_up: {pack: none}}]}", "none"),
        ] {
            let overlay = Overlay { overrides: Some(overrides.to_owned()), ..Overlay::default() };
            let said = overlaid(&overlay).unwrap_err();
            assert!(said.contains(problem), "{overrides}: {said}");
        }
        let unknown = Overlay { addons: vec![Name::parse("none").unwrap()], ..Overlay::default() };
        assert!(overlaid(&unknown).unwrap_err().contains("no add-on `none`"));
    }
}
