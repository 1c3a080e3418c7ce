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
use warm::{WARM_UP, Warm, begun, ended, published};

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

/// Accounts whose calls come in turn: together they do not fit a processor's nearer caches.
const ACCOUNTS: usize = 1_000;

/// Runs of each of many accounts before they are measured.
const SOME_RUNS: u64 = 100;

#[expect(clippy::expect_used, reason = "criterion takes no errors from what it measures")]
fn timed() -> anyhow::Result<()> {
    let mut criterion = Criterion::default().configure_from_args();
    let alone = Plan::ALL.into_iter().map(|plan| (plan.name().to_owned(), plan, 1, WARM_UP));
    let many = (format!("{}-{ACCOUNTS}", Plan::Whole.name()), Plan::Whole, ACCOUNTS, SOME_RUNS);
    for (name, plan, accounts, warm_up) in alone.chain([many]) {
        let playbooks = published(plan)?;
        let new = |_| Warm::new(plan, &playbooks, warm_up);
        let mut warm = (0..accounts).map(new).collect::<Result<Vec<_>, _>>()?;
        let mut next = 0;
        for call in ["authorize", "commit"] {
            let mut group = criterion.benchmark_group(call);
            group.bench_function(BenchmarkId::from_parameter(&name), |bencher| {
                bencher.iter_custom(|calls| {
                    let (authorize, commit) = times(&mut warm, &mut next, calls).expect("runs begin and end");
                    if call == "authorize" { authorize } else { commit }
                });
            });
            group.finish();
        }
    }
    criterion.final_summary();
    Ok(())
}

/// How long so many authorisations took, and how long their commits. The accounts take turns.
fn times(warm: &mut [Warm], next: &mut usize, calls: u64) -> anyhow::Result<(Duration, Duration)> {
    let mut taken = (Duration::ZERO, Duration::ZERO);
    let mut left = calls;
    while left > 0 {
        let some = left.min(AT_ONCE);
        left -= some;
        let mut calls = Vec::new();
        for _ in 0..some {
            *next = (*next + 1) % warm.len();
            let account = of(warm, *next)?;
            let call = account.next();
            calls.push((*next, account.commit_of(&call), call));
        }
        let mut answers = Vec::with_capacity(calls.len());
        let began = WallTime.start();
        for (account, _, call) in &calls {
            answers.push(of(warm, *account)?.authorize(call)?);
        }
        taken.0 += WallTime.end(began);
        for (step, (account, _, call)) in answers.drain(..).zip(&calls) {
            match step {
                // A window began: seldom, and not what is measured.
                Step::Lease(_) => of(warm, *account)?.begin(call)?,
                step => begun(step)?,
            }
        }
        let mut answers = Vec::with_capacity(calls.len());
        let began = WallTime.start();
        for (account, commit, _) in &calls {
            answers.push(of(warm, *account)?.commit(commit)?);
        }
        taken.1 += WallTime.end(began);
        for (step, (account, ..)) in answers.into_iter().zip(&calls) {
            ended(step)?;
            of(warm, *account)?.pass_time()?;
        }
    }
    Ok(taken)
}

fn of(warm: &mut [Warm], account: usize) -> anyhow::Result<&mut Warm> {
    warm.get_mut(account).context("there are fewer accounts")
}
