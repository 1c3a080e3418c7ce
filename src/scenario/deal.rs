//! Dealing: one scenario's runs over several sidecars, one after the other, as a balancer in front of them would.

use std::collections::BTreeMap;

use super::file::{Scenario, get, map, text};
use crate::playbook::tree::{Kind, Node};

/// Operations that begin a run.
const BEGIN: [&str; 2] = ["authorize", "record"];

/// Operations about a run that an earlier step named.
const GO_ON: [&str; 4] = ["progress", "commit", "release", "state"];

/// Operations that say what becomes of one sidecar.
const FAULTS: [&str; 5] = ["partition", "heal", "crash", "restart", "lose_disk"];

/// What depends on who leased which block: a sidecar may have a later block in hand than its neighbour, and knows only of
/// its own part whether it is the last.
const OF_THE_SIDECAR: [&str; 2] = ["paid_by", "final"];

/// How runs are dealt.
#[derive(Clone, Copy, Debug)]
pub struct Dealing {
    /// Over so many sidecars.
    pub over: usize,
    /// So many of them are passed over at the beginning.
    pub skip: usize,
    /// Each later step about a run goes to the next in turn, too; else it goes where the run began.
    pub each_step: bool,
}

/// Deals the runs of a scenario. A repeated `request_id` goes where it went first: a second sidecar may hold the amount
/// once more until its time ends.
///
/// `None` for a scenario that says itself what is done where: it names the sidecars of steps, or what befalls one.
pub fn dealt(mut scenario: Scenario, dealing: Dealing) -> Option<Scenario> {
    let says = |step: &super::file::Step| step.sidecar.is_some() || FAULTS.contains(&step.operation.as_str());
    if scenario.steps.iter().any(says) {
        return None;
    }
    scenario.sidecars = (1..=dealing.over).map(|number| format!("s{number}")).collect();
    let mut turn = scenario.sidecars.iter().cycle().skip(dealing.skip);
    let (mut requests, mut runs) = (BTreeMap::new(), BTreeMap::new());
    for step in &mut scenario.steps {
        let says = |key| get(map(&step.body).unwrap_or_default(), key).and_then(text).map(str::to_owned);
        let begins = BEGIN.contains(&step.operation.as_str());
        if begins || GO_ON.contains(&step.operation.as_str()) {
            let (request, run) = (says("request_id"), says(if begins { "as" } else { "run" }));
            let began = run.as_ref().filter(|_| !begins && !dealing.each_step).and_then(|run| runs.get(run));
            let before = request.as_ref().and_then(|request| requests.get(request)).or(began).cloned();
            let Some(to) = before.or_else(|| turn.next().cloned()) else { continue };
            request.and_then(|request| requests.insert(request, to.clone()));
            run.filter(|_| begins).and_then(|run| runs.insert(run, to.clone()));
            step.sidecar = Some(to);
        }
        if let Some(Node { kind: Kind::Map(expected), .. }) = &mut step.expect {
            expected.retain(|entry| !OF_THE_SIDECAR.contains(&entry.key.as_str()));
        }
    }
    Some(scenario)
}
