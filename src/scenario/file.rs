//! A scenario as written: one YAML document.

use std::str::FromStr;

use super::keys;
use crate::playbook::tree::{self, Entry, Kind, Node};
use crate::types::{Length, Timestamp};

/// When a scenario starts that does not say.
const START: &str = "2026-01-01T00:00:00Z";

/// Of `2026-01-01`.
const DATE_LENGTH: usize = 10;

/// Steps of one scenario at most: each may cost a simulated year, and a file is meant to be read.
const STEPS_MAX: usize = 10_000;

/// Sidecars of one scenario at most.
const SIDECARS_MAX: usize = 100;

#[derive(Debug)]
pub struct Scenario {
    pub name: String,
    pub line: u32,
    pub playbook: String,
    /// The path of the playbook, as the scenario names it; `playbook` where it stands inline.
    pub playbook_path: String,
    pub start: Timestamp,
    pub sidecars: Vec<String>,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub struct Step {
    pub line: u32,
    pub at: Option<At>,
    pub sidecar: Option<String>,
    pub operation: String,
    pub body: Node,
    pub expect: Option<Node>,
}

#[derive(Clone, Copy, Debug)]
pub enum At {
    Absolute(Timestamp),
    /// After the start; months on the calendar of UTC.
    After(Length),
}

/// What is wrong with a scenario as it is written.
#[derive(Debug)]
pub struct Malformed {
    pub line: u32,
    pub problem: String,
}

/// Reads the scenarios of a file; a document that is none is answered as what is wrong with it.
pub fn read(
    source: &str,
    other: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<Result<Scenario, Malformed>> {
    let (documents, faults) = tree::documents(source);
    let mut out: Vec<_> = documents.iter().map(|document| scenario(document, other)).collect();
    out.extend(faults.into_iter().map(|fault| {
        Err(Malformed { line: fault.mark.line, problem: format!("{}; {}", fault.problem, fault.help) })
    }));
    out
}

fn scenario(node: &Node, other: &dyn Fn(&str) -> Result<String, String>) -> Result<Scenario, Malformed> {
    let line = node.mark.line;
    let wrong = |problem: String| Malformed { line, problem };
    let entries = map(node).ok_or_else(|| wrong("a scenario is a map of keys".to_owned()))?;
    for entry in entries {
        if !["scenario", "playbook", "start", "sidecars", "steps"].contains(&entry.key.as_str()) {
            let problem = format!(
                "a scenario has no key `{}`; it has scenario, playbook, start, sidecars, steps",
                entry.key
            );
            return Err(Malformed { line: entry.mark.line, problem });
        }
    }
    let name = get(entries, "scenario")
        .and_then(text)
        .ok_or_else(|| wrong("`scenario` is missing: its name".to_owned()))?;
    let playbook =
        get(entries, "playbook").and_then(text).ok_or_else(|| wrong("`playbook` is missing".to_owned()))?;
    // One line is the path of a playbook; a playbook itself has many.
    let (playbook, playbook_path) = match playbook.contains('\n') {
        true => (playbook.to_owned(), "playbook"),
        false => (other(playbook).map_err(wrong)?, playbook),
    };
    let start = get(entries, "start").and_then(text).unwrap_or(START);
    let start = instant(start).map_err(|error| wrong(format!("`start`: {error}")))?;
    let sidecars = match get(entries, "sidecars") {
        Some(node) => list(node).iter().filter_map(|item| text(item)).map(str::to_owned).collect(),
        None => vec!["s1".to_owned()],
    };
    if sidecars.is_empty() || sidecars.len() > SIDECARS_MAX {
        return Err(wrong(format!("`sidecars` names {}; name 1 to {SIDECARS_MAX}", sidecars.len())));
    }
    let steps = get(entries, "steps").map(list).unwrap_or_default();
    if steps.is_empty() || steps.len() > STEPS_MAX {
        return Err(wrong(format!("there are {} steps; give 1 to {STEPS_MAX}", steps.len())));
    }
    let steps = steps.iter().map(|node| step(node, &sidecars)).collect::<Result<_, _>>()?;
    let (name, playbook_path) = (name.to_owned(), playbook_path.to_owned());
    Ok(Scenario { name, line, playbook, playbook_path, start, sidecars, steps })
}

fn step(node: &Node, sidecars: &[String]) -> Result<Step, Malformed> {
    let line = node.mark.line;
    let wrong = |problem: String| Malformed { line, problem };
    let entries = map(node).ok_or_else(|| wrong("a step is a map with one operation".to_owned()))?;
    let mut operations =
        entries.iter().filter(|entry| !["at", "sidecar", "expect"].contains(&entry.key.as_str()));
    let (Some(operation), None) = (operations.next(), operations.next()) else {
        return Err(wrong("a step has one operation, and besides it only at, sidecar and expect".to_owned()));
    };
    keys::known(&operation.key).map_err(wrong)?;
    if keys::takes_text(&operation.key) {
        text(&operation.value).ok_or_else(|| wrong(format!("`{}` takes a text", operation.key)))?;
    } else if let Some(body) = map(&operation.value) {
        for entry in body {
            keys::key_of(&operation.key, &entry.key)
                .map_err(|problem| Malformed { line: entry.mark.line, problem })?;
        }
    } else if operation.key != "crash" {
        return Err(wrong(format!("`{}` takes a map of keys", operation.key)));
    }
    let expect = get(entries, "expect");
    for entry in expect.and_then(map).unwrap_or_default() {
        keys::expectation_of(&operation.key, &entry.key)
            .map_err(|problem| Malformed { line: entry.mark.line, problem: format!("expect: {problem}") })?;
    }
    let at = get(entries, "at").and_then(text).map(at).transpose().map_err(wrong)?;
    let sidecar = get(entries, "sidecar").and_then(text).map(str::to_owned);
    if let Some(name) = sidecar.as_ref().filter(|name| !sidecars.contains(name)) {
        return Err(wrong(format!("no sidecar is called `{name}`; there are {}", sidecars.join(", "))));
    }
    Ok(Step {
        line,
        at,
        sidecar,
        operation: operation.key.clone(),
        body: operation.value.clone(),
        expect: expect.cloned(),
    })
}

fn at(text: &str) -> Result<At, String> {
    let absolute = |text: &str| instant(text).map(At::Absolute).map_err(|error| format!("`at`: {error}"));
    match text.strip_prefix('+') {
        None => absolute(text),
        Some(length) => length.parse().map(At::After).map_err(|error| format!("`at`: {error}")),
    }
}

/// A date without a time is its midnight, UTC.
fn instant(text: &str) -> Result<Timestamp, <Timestamp as FromStr>::Err> {
    let midnight = format!("{text}T00:00:00Z");
    if text.len() == DATE_LENGTH { midnight.parse().or_else(|_| text.parse()) } else { text.parse() }
}

pub fn map(node: &Node) -> Option<&[Entry]> {
    match &node.kind {
        Kind::Map(entries) => Some(entries),
        _ => None,
    }
}

pub fn list(node: &Node) -> &[Node] {
    match &node.kind {
        Kind::List(items) => items,
        _ => &[],
    }
}

pub fn text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Scalar { text, .. } => Some(text),
        _ => None,
    }
}

pub fn get<'a>(entries: &'a [Entry], key: &str) -> Option<&'a Node> {
    entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
}
