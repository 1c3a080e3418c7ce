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
    let outcome = play(seed, steps, false);
    if outcome.problem.is_some() { play(seed, steps, true) } else { outcome }
}

/// Plays one world, without words: whether something is wrong.
pub fn simulate_briefly(seed: u64, steps: u64) -> Outcome {
    play(seed, steps, false)
}

fn play(seed: u64, steps: u64, speaks: bool) -> Outcome {
    let mut playbooks = Playbooks::default();
    if let Ok(playbook) = playbook::load(PLAYBOOK) {
        playbooks.publish(playbook);
    }
    let mut world = World::new(seed, NODES, steps, playbooks);
    world.trace.speaks = speaks;
    let played = catch_unwind(AssertUnwindSafe(|| {
        world.open();
        while !world.callers.ended && world.go_on() {}
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
