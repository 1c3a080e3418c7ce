//! Steps, one after the other, and what is checked after each.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::tz::TimeZone;

use super::deal::{Dealing, dealt};
use super::file::{self, At, Malformed, Scenario, Step};
use super::operation::{Unread, Wrong};
use super::value::{self, Value};
use super::world::World;
use crate::playbook::load;
use crate::playbook::tree::{Kind, Node};
use crate::types::{Timestamp, calendar};

/// What became of one scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub file: String,
    pub scenario: String,
    pub line: u32,
    pub result: Result<(), Failure>,
}

/// The first step that went wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// From 1; 0 = the scenario itself could not be read.
    pub step: usize,
    pub line: u32,
    pub operation: String,
    pub expected: String,
    pub got: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.step == 0 {
            return write!(f, "line {}: {}", self.line, self.got);
        }
        write!(
            f,
            "step {} ({}, line {}): expected {}, got {}",
            self.step, self.operation, self.line, self.expected, self.got
        )
    }
}

/// Runs every scenario of a file. `other` reads a playbook that a scenario names by its path relative to this file.
pub fn run_source(file: &str, source: &str, other: &dyn Fn(&str) -> Result<String, String>) -> Vec<Outcome> {
    file::read(source, other).into_iter().map(|read| outcome(file, read)).collect()
}

/// The same with the runs of each scenario dealt over several sidecars: `paid_by` and `final`, which may then differ, are not
/// compared. A scenario that says itself which sidecar does what is left out.
pub fn run_dealt(
    file: &str,
    source: &str,
    dealing: Dealing,
    other: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<Outcome> {
    let read = file::read(source, other).into_iter();
    let dealt = read.filter_map(|read| read.map(|scenario| dealt(scenario, dealing)).transpose());
    dealt.map(|read| outcome(file, read)).collect()
}

fn outcome(file: &str, read: Result<Scenario, Malformed>) -> Outcome {
    match read {
        Err(Malformed { line, problem }) => Outcome {
            file: file.to_owned(),
            scenario: format!("(line {line})"),
            line,
            result: Err(unreadable(line, problem)),
        },
        Ok(scenario) => {
            let result = catch_unwind(AssertUnwindSafe(|| run(&scenario))).unwrap_or_else(|panic| {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Err(unreadable(scenario.line, format!("a bug: {}", text.unwrap_or_default())))
            });
            Outcome { file: file.to_owned(), scenario: scenario.name, line: scenario.line, result }
        }
    }
}

fn unreadable(line: u32, problem: String) -> Failure {
    Failure { step: 0, line, operation: String::new(), expected: String::new(), got: problem }
}

fn run(scenario: &Scenario) -> Result<(), Failure> {
    let playbook = load(&scenario.playbook).map_err(|report| {
        let shown = report.in_file(&scenario.playbook_path);
        unreadable(scenario.line, format!("the playbook is refused\n{shown}"))
    })?;
    let mut world = World::new(scenario.start, playbook, &scenario.sidecars);
    play(scenario, &mut world)?;
    world.verify_replay().map_err(|problem| Failure {
        step: scenario.steps.len(),
        line: scenario.line,
        operation: "replay".to_owned(),
        expected: "the same state".to_owned(),
        got: problem,
    })
}

/// Where steps are carried out: the core in memory, or processes of a test's.
pub trait Site {
    fn now(&self) -> Timestamp;

    /// Moves the clock: every timer due on the way fires first, in order of time, each at its own instant.
    fn move_to(&mut self, at: Timestamp) -> Result<(), Wrong>;

    /// Carries out one operation.
    fn operate(&mut self, sidecar: &str, step: &Step) -> Result<Value, Unread>;

    /// Delivers messages between sidecars and ledger until none is left.
    fn deliver(&mut self) -> Result<(), Wrong>;

    /// Checks what holds whatever happened.
    fn verify(&self) -> Result<(), String>;
}

/// Plays a scenario's steps, each compared with what it expects.
pub fn play(scenario: &Scenario, site: &mut impl Site) -> Result<(), Failure> {
    for (index, step) in scenario.steps.iter().enumerate() {
        let failure = |(expected, got): (String, String)| Failure {
            step: index + 1,
            line: step.line,
            operation: step.operation.clone(),
            expected,
            got,
        };
        take(site, scenario, step).map_err(failure)?;
        site.verify().map_err(|problem| failure(("every invariant to hold".to_owned(), problem)))?;
    }
    Ok(())
}

/// The numbers of choices are sorted lists; whether `C10` stands before `C2`, as text, or after it, is one to a reader.
fn sorted_as_text(expect: &Node) -> Node {
    let mut expect = expect.clone();
    if let Kind::Map(entries) = &mut expect.kind {
        for entry in entries {
            if let Kind::List(choices) = &mut entry.value.kind {
                choices.sort_by(|a, b| file::text(a).cmp(&file::text(b)));
            }
        }
    }
    expect
}

/// Carries one step out and compares; answers what was expected and what came.
fn take(site: &mut impl Site, scenario: &Scenario, step: &Step) -> Result<(), (String, String)> {
    let wrong = |problem| ("a step that can be carried out".to_owned(), problem);
    if let Some(at) = step.at {
        let at = match at {
            At::Absolute(at) => at,
            At::After(length) => calendar::plus(scenario.start, length, &TimeZone::UTC),
        };
        if at < site.now() {
            return Err(("time to go on".to_owned(), format!("{at}, before {}", site.now())));
        }
        site.move_to(at).map_err(wrong)?;
    }
    let sidecar =
        step.sidecar.as_deref().or_else(|| scenario.sidecars.first().map(String::as_str)).unwrap_or_default();
    let done = match step.operation.as_str() {
        // A text is the same wherever it is looked at.
        "check" => Ok(Value::Map(World::check(file::text(&step.body).unwrap_or_default()))),
        _ => site.operate(sidecar, step),
    };
    site.deliver().map_err(wrong)?;
    let wanted = value::expected_error(step.expect.as_ref());
    let expect = match step.operation.as_str() {
        "check" => step.expect.as_ref().map(sorted_as_text),
        _ => step.expect.clone(),
    };
    match (done, wanted) {
        (Ok(value), None) => match &expect {
            None => Ok(()),
            Some(expect) => value::compare(expect, &value).map_err(|difference| {
                (format!("{} {}", difference.path, difference.expected), difference.got)
            }),
        },
        (Ok(value), Some(error)) => Err((format!("error {error}"), value.to_string())),
        (Err(Unread::Error { reason, .. }), Some(error)) if reason == error => Ok(()),
        (Err(Unread::Error { reason, words }), wanted) => {
            let expected = wanted.map_or_else(|| "an answer".to_owned(), |error| format!("error {error}"));
            let words = if words.is_empty() { words } else { format!(": {}", words.trim_end()) };
            Err((expected, format!("error {reason}{words}")))
        }
        (Err(Unread::Wrong(problem)), _) => Err(wrong(problem)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAYBOOK: &str = "playbook: |\n  bursar: 1\n  playbook: p\n  version: 1\n  credit: {unit: output, price: 0.10, currency: USD}\n  \
        actions: {draft: {weight: 1}}\n  plans:\n    a: {allowance: {credits: 1, every: month}}\n";

    fn played(scenario: &str) -> Result<(), String> {
        let broken = |_: &str| Ok("bursar: 1\nplans: [".to_owned());
        let mut outcomes = run_source("f.yaml", scenario, &broken);
        outcomes.remove(0).result.map_err(|failure| failure.to_string())
    }

    fn steps(steps: &str) -> Result<(), String> {
        played(&format!("scenario: s\n{PLAYBOOK}steps:\n{steps}"))
    }

    #[test]
    fn an_error_that_was_not_expected_says_what_is_wrong() {
        let said = steps("  - subscribe: {account: acme, plan: nine}\n").unwrap_err();
        assert!(said.ends_with("got error PLAN_UNKNOWN: the playbook in force has no plan `nine`"), "{said}");
        let said = steps("  - subscribe: {account: acme, plan: a, overrides: {colour: red}}\n").unwrap_err();
        assert!(said.contains("got error INVALID_OVERRIDES: ") && said.contains("`colour`"), "{said}");
        let said = steps("  - {balance: {account: acme}, expect: {error: POOL_UNKNOWN}}\n").unwrap_err();
        assert!(said.ends_with("expected error POOL_UNKNOWN, got error ACCOUNT_UNKNOWN"), "{said}");
    }

    #[test]
    fn a_refused_playbook_is_called_by_its_path() {
        let said =
            played("scenario: s\nplaybook: broken.yaml\nsteps:\n  - suspend: {account: a}\n").unwrap_err();
        assert!(said.starts_with("line 1: the playbook is refused\nbroken.yaml:2:"), "{said}");
    }

    #[test]
    fn a_date_is_its_midnight() {
        let start = format!(
            "scenario: s\n{PLAYBOOK}start: 2026-03-01\nsteps:\n  - subscribe: {{account: acme, plan: a}}\n"
        );
        let ends = |at: &str, end: &str| {
            played(&format!(
                "{start}  - {{at: {at}, balance: {{account: acme}}, expect: {{period_ends: {end}}}}}\n"
            ))
        };
        assert_eq!(ends("2026-03-31", "2026-04-01T00:00:00Z"), Ok(()));
        assert_eq!(ends("2026-04-01", "2026-05-01T00:00:00Z"), Ok(()));
        assert!(ends("2026-13-01", "2026-04-01T00:00:00Z").is_err());
    }

    #[test]
    fn a_fee_that_goes_back_is_called_by_its_own_plan() {
        let dear = PLAYBOOK.replace("every: month}}", "every: month}, fee: {amount: 31.00, every: month}}");
        let playbook = format!("{dear}    b: {{allowance: {{credits: 1, every: month}}}}\n");
        let text = format!(
            "scenario: s\n{playbook}steps:\n  - subscribe: {{account: acme, plan: a}}\n  - change_plan: {{account: acme, plan: b, when: now}}\n  \
             - change_plan: {{account: acme, plan: a, when: now}}\n"
        );
        let scenario = file::read(&text, &|_| Err(String::new())).remove(0).unwrap();
        let mut world = World::new(scenario.start, load(&scenario.playbook).unwrap(), &scenario.sidecars);
        play(&scenario, &mut world).unwrap();
        let account = world.accounts.values().next().unwrap();
        let lines: Vec<_> = account.lines.iter().map(|line| (line.what.as_ref(), line.amount)).collect();
        let named: Vec<_> = lines
            .iter()
            .map(|(what, amount)| format!("{} {}", what.unwrap().as_str(), amount.decimal().normalize()))
            .collect();
        assert_eq!(named, ["a 31", "a -31", "a 31"]);
    }
}
