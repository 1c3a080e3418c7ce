//! Worlds, from a seed to what became of them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::callers::PLAYBOOK;
use super::world::World;
use crate::engine::contract::Playbooks;
use crate::playbook;

/// Sidecars of a world.
const NODES: usize = 3;

/// What became of one world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub seed: u64,
    /// Questions, writes and troubles so far.
    pub steps: u64,
    /// Same seed, same trace.
    pub trace: String,
    pub problem: Option<Problem>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub what: String,
    /// The last of what happened.
    pub lines: Vec<String>,
}

/// Plays one world to its end. Where something is wrong it is played again, with words.
pub fn simulate(seed: u64, steps: u64) -> Outcome {
    simulate_about(seed, steps, None)
}

/// The same; of the events, only those that name `about` are told.
pub fn simulate_about(seed: u64, steps: u64, about: Option<&str>) -> Outcome {
    let outcome = play(seed, steps, None);
    if outcome.problem.is_some() { play(seed, steps, Some(about)) } else { outcome }
}

/// Plays one world, without words: whether something is wrong.
pub fn simulate_briefly(seed: u64, steps: u64) -> Outcome {
    play(seed, steps, None)
}

fn play(seed: u64, steps: u64, words: Option<Option<&str>>) -> Outcome {
    let mut playbooks = Playbooks::default();
    let loaded = playbook::load(PLAYBOOK).map(|playbook| playbooks.publish(playbook));
    let mut world = World::new(seed, NODES, steps, playbooks);
    if loaded.is_err() {
        world.fail("the playbook of this simulator is not one of this build's language".to_owned());
    }
    world.trace.speaks = words.is_some();
    world.trace.about = words.flatten().map(str::to_owned);
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.open();
        while world.problem.is_none() && !world.callers.ended && world.go_on() {}
        if world.problem.is_none() {
            world.settle_up();
        }
    }));
    if let Err(panic) = played {
        let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
        world.fail(format!("a panic: {}", text.unwrap_or_else(|| "no message".to_owned())));
    }
    let lines = world.trace.lines();
    Outcome {
        seed,
        steps: world.steps,
        trace: world.trace.hash(),
        problem: world.problem.map(|what| Problem { what, lines }),
    }
}
