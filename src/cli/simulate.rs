//! `bursar simulate`

use clap::Args;
use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use crate::simulation::{Outcome, simulate_about};

#[derive(Clone, Debug, Args)]
pub struct SimulateArgs {
    /// The seed of the (first) world: the same seed plays the same world
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// How many questions, writes and faults a world has
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    steps: u64,

    /// How many worlds to play, their seeds counted up from `--seed`; it stops at the first in which something is wrong
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    worlds: u64,

    /// Where something is wrong, show only the events that name this: a run, an account
    #[arg(long, value_name = "TEXT")]
    about: Option<String>,
}

impl SimulateArgs {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut traces = blake3::Hasher::new();
        let mut last = None;
        for seed in (self.seed..).take(usize::try_from(self.worlds).unwrap_or(usize::MAX)) {
            let outcome = simulate_about(seed, self.steps, self.about.as_deref());
            if outcome.problem.is_some() {
                say(&outcome, &outcome.trace, 1, screen)?;
                return Ok(Exit::Failure);
            }
            traces.update(outcome.trace.as_bytes());
            last = Some(outcome);
        }
        if let Some(outcome) = last {
            let all = traces.finalize().to_hex();
            let all: String = all.chars().take(outcome.trace.len()).collect();
            let trace = if self.worlds == 1 { &outcome.trace } else { &all };
            say(&outcome, trace, self.worlds, screen)?;
        }
        Ok(Exit::Success)
    }
}

fn say(outcome: &Outcome, trace: &str, worlds: u64, screen: Screen) -> Result<(), Failure> {
    let Outcome { seed, steps, problem, .. } = outcome;
    if screen.json {
        let wrong = problem.as_ref().map(|problem| json!({ "what": problem.what, "events": problem.lines }));
        return screen.print_json(
            &json!({ "seed": seed, "steps": steps, "worlds": worlds, "trace": trace, "problem": wrong }),
        );
    }
    match problem {
        None if worlds == 1 => screen.print(&format!("seed {seed}: {steps} steps, trace {trace}")),
        None => screen.print(&format!("{worlds} worlds to seed {seed}: {steps} steps each, traces {trace}")),
        Some(problem) => {
            for line in &problem.lines {
                screen.print(line)?;
            }
            screen.print(&format!("seed {seed}, step {steps}: {}", problem.what))?;
            screen.print(&format!("again: bursar simulate --seed {seed} --steps {steps}; trace {trace}"))
        }
    }
}
