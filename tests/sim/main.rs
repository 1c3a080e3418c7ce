//! Worlds of the simulator: the seeds that ever failed, then as many as `BURSAR_WORLDS` says; and bugs planted on purpose,
//! each of which must be found.
//!
//! `BURSAR_SEED` plays one world alone, `BURSAR_STEPS` says how long worlds are.

#![cfg_attr(
    test,
    expect(
        clippy::panic,
        clippy::unwrap_used,
        clippy::disallowed_methods,
        reason = "helpers of tests fail as tests do, and a test tells how long it took"
    )
)]

mod fleet;

use std::sync::atomic::{AtomicU64, Ordering};

use bursar::simulation::{Outcome, simulate, simulate_briefly};

/// Seeds that failed before, one a line, the steps behind it.
const SEEDS: &str = include_str!("seeds.txt");

const WORLDS: u64 = 300;
const STEPS: u64 = 2000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name)
        .ok()
        .map(|text| text.parse().unwrap_or_else(|_| panic!("{name}: `{text}` is not a number")))
}

fn told(outcome: &Outcome) -> String {
    let Some(problem) = &outcome.problem else { return format!("seed {}: nothing is wrong", outcome.seed) };
    let (seed, steps) = (outcome.seed, outcome.steps);
    format!("seed {seed}, step {steps}: {}\n{}\n", problem.what, problem.lines.join("\n"))
}

/// Plays worlds on as many threads as the machine has, until one fails.
fn play(worlds: &[(u64, u64)]) -> Option<Outcome> {
    let next = AtomicU64::new(0);
    let failed = std::sync::Mutex::new(None);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while failed.lock().unwrap().is_none() {
                    let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
                    let Some((seed, steps)) = worlds.get(at) else { return };
                    let outcome = simulate(*seed, *steps);
                    if outcome.problem.is_some() {
                        failed.lock().unwrap().get_or_insert(outcome);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap()
}

#[test]
fn nothing_is_wrong_in_any_world() {
    let steps = number("BURSAR_STEPS").unwrap_or(STEPS);
    let mut worlds: Vec<(u64, u64)> = Vec::new();
    match number("BURSAR_SEED") {
        Some(seed) => worlds.push((seed, steps)),
        None => {
            for line in SEEDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                let mut words =
                    line.split_whitespace().map(|word| word.parse().expect("a seed and its steps"));
                worlds.push((words.next().unwrap(), words.next().unwrap_or(STEPS)));
            }
            worlds.extend((1..=number("BURSAR_WORLDS").unwrap_or(WORLDS)).map(|seed| (seed, steps)));
        }
    }
    let began = std::time::Instant::now();
    if let Some(outcome) = play(&worlds) {
        panic!("{}", told(&outcome));
    }
    eprintln!("{} worlds of {steps} steps in {:?}", worlds.len(), began.elapsed());
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let (once, twice, other) = (simulate_briefly(7, 300), simulate_briefly(7, 300), simulate_briefly(8, 300));
    assert_eq!(once, twice);
    assert_ne!(once.trace, other.trace);
}

#[cfg(debug_assertions)]
#[test]
fn every_planted_bug_is_found() {
    use bursar::types::Planted;
    let only = std::env::var("BURSAR_PLANTED").ok();
    let mut missed = Vec::new();
    for bug in Planted::ALL {
        if only.as_ref().is_some_and(|only| format!("{bug:?}") != *only) {
            continue;
        }
        let found = (1..=WORLDS).find_map(|seed| {
            let outcome = bug.during(|| simulate_briefly(seed, STEPS));
            // A world in which something is wrong without it has not found it.
            let problem = outcome.problem.filter(|_| simulate_briefly(seed, STEPS).problem.is_none())?;
            Some((seed, outcome.steps, problem.what))
        });
        match found {
            Some((worlds, step, what)) => eprintln!("{bug:?}: found in world {worlds}, step {step}: {what}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found within {WORLDS} worlds: {missed:?}");
}
