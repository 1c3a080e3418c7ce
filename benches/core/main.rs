//! What a decision costs without the wire: `authorize` and `commit` of a warm wallet, their records put into bytes.
//!
//! | file | what |
//! |---|---|
//! | `rooms` | the rooms that decide, as a crate of their own |
//! | `plans` | what is decided on |
//! | `warm` | a wallet in steady use |
//! | `count` | instructions and allocations of each call, held against what they were |
//! | `allocations` | an allocator that counts |
//!
//! ```sh
//! cargo bench --package bursar-core    # time
//! benches/core/count                   # instructions and allocations, held against counts.txt
//! benches/core/count --update          # …and kept there
//! ```

mod allocations;
mod count;
mod plans;
mod warm;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use bursar_core::engine::wallet::Step;
use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkId, Criterion};

use plans::Plan;
use warm::{Warm, begun, ended};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// Calls between two readings of the clock.
const AT_ONCE: u64 = 32;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let done = match arguments.next().as_deref() {
        Some("--count") => counted(arguments.next()),
        Some("--compare") => count::compare(false),
        Some("--update") => count::compare(true),
        _ => timed(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn counted(plan: Option<String>) -> anyhow::Result<()> {
    let plan = plan.context("--count needs a plan")?;
    let known = Plan::ALL.into_iter().find(|known| known.name() == plan);
    count::run(known.with_context(|| format!("`{plan}` is no plan"))?)
}

#[expect(clippy::expect_used, reason = "criterion takes no errors from what it measures")]
fn timed() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    for plan in Plan::ALL {
        let mut warm = Warm::new(plan)?;
        for call in ["authorize", "commit"] {
            let mut group = criterion.benchmark_group(call);
            group.bench_function(BenchmarkId::from_parameter(plan.name()), |bencher| {
                bencher.iter_custom(|calls| {
                    let (authorize, commit) = times(&mut warm, calls).expect("runs begin and end");
                    if call == "authorize" { authorize } else { commit }
                });
            });
            group.finish();
        }
    }
    criterion.final_summary();
    Ok(())
}

/// How long so many authorisations took, and how long their commits.
fn times(warm: &mut Warm, calls: u64) -> anyhow::Result<(Duration, Duration)> {
    let mut taken = (Duration::ZERO, Duration::ZERO);
    let mut left = calls;
    while left > 0 {
        let some = left.min(AT_ONCE);
        left -= some;
        let calls: Vec<_> = (0..some).map(|_| warm.next()).collect();
        let commits: Vec<_> = calls.iter().map(|call| warm.commit_of(call)).collect();
        let mut answers = Vec::with_capacity(calls.len());
        let began = WallTime.start();
        for call in &calls {
            answers.push(warm.authorize(call)?);
        }
        taken.0 += WallTime.end(began);
        for (step, call) in answers.drain(..).zip(&calls) {
            match step {
                // A window began: seldom, and not what is measured.
                Step::Lease(_) => warm.begin(call)?,
                step => begun(step)?,
            }
        }
        let mut answers = Vec::with_capacity(calls.len());
        let began = WallTime.start();
        for commit in &commits {
            answers.push(warm.commit(commit)?);
        }
        taken.1 += WallTime.end(began);
        for step in answers {
            ended(step)?;
            warm.pass_time()?;
        }
    }
    Ok(taken)
}
