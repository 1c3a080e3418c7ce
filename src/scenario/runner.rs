//! Steps, one after the other, and what is checked after each.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::deal::{Dealing, dealt};
use super::file::{self, At, Malformed, Scenario, Step};
use super::operation::{Keys, Unread};
use super::value::{self, Reply, Value};
use super::world::World;
use crate::engine::account::Command;
use crate::playbook::load;

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
        unreadable(scenario.line, format!("the playbook is refused\n{}", report.in_file("playbook")))
    })?;
    let mut world = World::new(scenario.start, playbook, &scenario.sidecars);
    for (index, step) in scenario.steps.iter().enumerate() {
        let failure = |expected: String, got: String| Failure {
            step: index + 1,
            line: step.line,
            operation: step.operation.clone(),
            expected,
            got,
        };
        take(&mut world, scenario, step).map_err(|(expected, got)| failure(expected, got))?;
        world.verify().map_err(|problem| failure("every invariant to hold".to_owned(), problem))?;
    }
    world.verify_replay().map_err(|problem| Failure {
        step: scenario.steps.len(),
        line: scenario.line,
        operation: "replay".to_owned(),
        expected: "the same state".to_owned(),
        got: problem,
    })
}

/// Carries one step out and compares; answers what was expected and what came.
fn take(world: &mut World, scenario: &Scenario, step: &Step) -> Result<(), (String, String)> {
    if let Some(at) = step.at {
        let at = match at {
            At::Absolute(at) => at,
            At::After(micros) => scenario.start.plus_micros(micros),
        };
        if at < world.at {
            return Err(("time to go on".to_owned(), format!("{at}, before {}", world.at)));
        }
        world.move_to(at);
    }
    let node =
        step.sidecar.as_deref().or_else(|| scenario.sidecars.first().map(String::as_str)).unwrap_or_default();
    let done = operate(world, node, step);
    world.deliver();
    let wanted = value::expected_error(step.expect.as_ref());
    match (done, wanted) {
        (Ok(value), None) => match &step.expect {
            None => Ok(()),
            Some(expect) => value::compare(expect, &value).map_err(|difference| {
                (format!("{} {}", difference.path, difference.expected), difference.got)
            }),
        },
        (Ok(value), Some(error)) => Err((format!("error {error}"), value.to_string())),
        (Err(Unread::Error(got)), Some(error)) if got == error => Ok(()),
        (Err(Unread::Error(got)), wanted) => {
            let expected = wanted.map_or_else(|| "an answer".to_owned(), |error| format!("error {error}"));
            Err((expected, format!("error {got}")))
        }
        (Err(Unread::Wrong(problem)), _) => Err(("a step that can be carried out".to_owned(), problem)),
    }
}

pub(super) fn operate(world: &mut World, node: &str, step: &Step) -> Result<Value, Unread> {
    let keys = Keys::of(&step.body);
    let text = file::text(&step.body).unwrap_or_default();
    let reply: Reply = match step.operation.as_str() {
        "subscribe" => world.subscribe(&keys)?,
        "suspend" => world.switch(&keys, &Command::Suspend)?,
        "resume" => world.switch(&keys, &Command::Resume)?,
        "grant" => world.grant(&keys)?,
        "void" => world.void(&keys)?,
        "set_overage_limit" => world.set_overage_limit(&keys)?,
        "publish" => world.publish(text)?,
        "authorize" => world.authorize(node, &keys)?,
        "progress" => world.progress(node, &keys)?,
        "commit" => world.commit(node, &keys)?,
        "release" => world.release(node, &keys)?,
        "record" => world.record(node, &keys)?,
        "state" => world.state(node, &keys)?,
        "balance" => world.balance(&keys)?,
        "features" => world.features(&keys)?,
        "alerts" => return world.alerts(&keys),
        "invoice" => world.invoice(&keys)?,
        "check" => World::check(text),
        "partition" => world.partition(text, true)?,
        "heal" => world.partition(text, false)?,
        "crash" => {
            let name = if text.is_empty() { keys.wanted("sidecar")? } else { text };
            let unflushed = keys.read::<usize>("unflushed")?.unwrap_or(0);
            world.crash(name, unflushed)?
        }
        "restart" => world.restart(text)?,
        "lose_disk" => world.lose_disk(text)?,
        other => return Err(Unread::Wrong(format!("no operation is called `{other}`"))),
    };
    Ok(Value::Map(reply))
}
