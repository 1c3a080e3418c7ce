//! Instructions and allocations of each call, held against what they were.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::allocations;
use super::plans::Plan;
use super::warm::{WARM_UP, Warm, begun, ended, published};
use bursar_core::engine::wallet::Step;
use bursar_core::engine::{Authorize, AuthorizeAnswer, Commit, RunAnswer};

/// Runs that are counted: a minute of them, in which everything has come round.
const RUNS: u64 = 6_000;

/// More than this part of what was is too much, and less than that is worth keeping.
const TOLERANCE: f64 = 0.05;

/// What was, in the order of `Plan::ALL`.
const KEPT: &str = "counts.txt";

const HEAD: &str = "# Of one call: instructions, allocations, and how many of these the answer itself takes.
# `benches/core/count --update` writes this anew; docs/performance.md says what is counted.
";

/// Figures of one call, over `RUNS`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Figures {
    instructions: f64,
    allocations: f64,
    own: f64,
}

type Counts = BTreeMap<String, Figures>;

/// Authorises in a function of its own: its instructions are what callgrind says of this name.
#[inline(never)]
fn counted_authorize(warm: &mut Warm, call: &Authorize) -> anyhow::Result<Step<AuthorizeAnswer>> {
    warm.authorize(call)
}

#[inline(never)]
fn counted_commit(warm: &mut Warm, call: &Commit) -> anyhow::Result<Step<RunAnswer>> {
    warm.commit(call)
}

/// What time does between two runs: mostly nothing but looking whether it does something.
#[inline(never)]
fn counted_time(warm: &mut Warm) -> anyhow::Result<()> {
    warm.pass_time()
}

/// What runs under valgrind: prints the allocations.
pub fn run(plan: Plan) -> anyhow::Result<()> {
    let mut warm = Warm::new(plan, &published(plan)?, WARM_UP)?;
    let mut said = [("authorize", 0, 0), ("commit", 0, 0), ("time", 0, 0)];
    for _ in 0..RUNS {
        let call = warm.next();
        let before = allocations::so_far();
        let step = black_box(counted_authorize(&mut warm, &call)?);
        let after = allocations::so_far();
        // As many as it takes to make the same answer again.
        let own = matches!(&step, Step::Done { answer, .. } if { black_box(answer.clone()); true });
        said[0].1 += after - before;
        said[0].2 += allocations::so_far() - after;
        ensure!(own, "the ledger had to be asked");
        begun(step)?;
        let commit = warm.commit_of(&call);
        let before = allocations::so_far();
        let step = black_box(counted_commit(&mut warm, &commit)?);
        let after = allocations::so_far();
        let own = matches!(&step, Step::Done { answer, .. } if { black_box(answer.clone()); true });
        said[1].1 += after - before;
        said[1].2 += allocations::so_far() - after;
        ensure!(own, "the ledger had to be asked");
        ended(step)?;
        let before = allocations::so_far();
        counted_time(&mut warm)?;
        said[2].1 += allocations::so_far() - before;
    }
    for (call, all, own) in said {
        println!("{call} {all} {own}");
    }
    Ok(())
}

/// Counts every plan's calls anew, and compares them with what was, or keeps them.
pub fn compare(update: bool) -> anyhow::Result<()> {
    if !cfg!(target_arch = "x86_64") {
        println!("not counted: what is kept was counted on x86-64");
        return Ok(());
    }
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(KEPT);
    let now = count_all()?;
    let table = table(&now);
    print!("{table}");
    if update {
        std::fs::write(&kept, table)?;
        return Ok(());
    }
    let before = read(&std::fs::read_to_string(&kept)?)?;
    let wrong = differences(&before, &now);
    ensure!(
        wrong.is_empty(),
        "{}\nwhat is meant to be so is kept by `benches/core/count --update`",
        wrong.join("\n")
    );
    Ok(())
}

fn differences(before: &Counts, now: &Counts) -> Vec<String> {
    let mut wrong = Vec::new();
    for (call, now) in now {
        let Some(before) = before.get(call) else {
            wrong.push(format!("{call}: was never counted"));
            continue;
        };
        let change = now.instructions / before.instructions - 1.0;
        let said = format!("{call}: {:.0} instructions, {:+.1}%", now.instructions, 100.0 * change);
        if change > TOLERANCE {
            wrong.push(format!("{said}: too many"));
        } else if change < -TOLERANCE {
            wrong.push(format!("{said}: fewer than are kept; keep them"));
        }
        if (now.allocations - before.allocations).abs() > TOLERANCE {
            wrong.push(format!(
                "{call}: {:.1} allocations, kept are {:.1}",
                now.allocations, before.allocations
            ));
        }
    }
    wrong
}

fn count_all() -> anyhow::Result<Counts> {
    let dir = tempfile::tempdir()?;
    let mut counts = Counts::new();
    for plan in Plan::ALL {
        let costs = dir.path().join(plan.name());
        let said = valgrind(plan, &costs)?;
        let costs = std::fs::read_to_string(&costs)?;
        for line in said.lines() {
            let [call, allocations, own] = line.split(' ').collect::<Vec<_>>()[..] else {
                bail!("`{line}` are no figures");
            };
            let of = |sum: &str| Ok::<_, anyhow::Error>(sum.parse::<f64>()? / RUNS as f64);
            let instructions = inclusive(&costs, &format!("counted_{call}"))? as f64 / RUNS as f64;
            let figures = Figures { instructions, allocations: of(allocations)?, own: of(own)? };
            counts.insert(format!("{} {call}", plan.name()), figures);
        }
    }
    Ok(counts)
}

/// Answers what the program said.
fn valgrind(plan: Plan, costs: &PathBuf) -> anyhow::Result<String> {
    let mut to = std::ffi::OsString::from("--callgrind-out-file=");
    to.push(costs);
    let done = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(to)
        .arg(std::env::current_exe()?)
        .args(["--count", plan.name()])
        .output()
        .context("valgrind is missing; on Debian: apt-get install valgrind")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?)
}

/// Instructions of a function and all that it called, summed over its calls.
fn inclusive(costs: &str, function: &str) -> anyhow::Result<u64> {
    let (mut is_it, mut counts, mut calls, mut sum) = (false, false, 0, 0);
    for line in costs.lines() {
        if let Some(name) = line.strip_prefix("cfn=") {
            is_it = name.contains(function);
        } else if let Some(call) = line.strip_prefix("calls=") {
            counts = is_it;
            if counts {
                calls += call.split(' ').next().context("calls without a number")?.parse::<u64>()?;
            }
        } else if std::mem::take(&mut counts) {
            sum += line.rsplit(' ').next().context("a call without its cost")?.parse::<u64>()?;
        }
    }
    ensure!(calls == RUNS, "`{function}` was called {calls} times instead of {RUNS}");
    Ok(sum)
}

fn table(counts: &Counts) -> String {
    let mut table = HEAD.to_owned();
    for (call, Figures { instructions, allocations, own }) in counts {
        // Nothing goes wrong when writing to a string.
        let _written = writeln!(table, "{call} {instructions:.0} {allocations:.2} {own:.2}");
    }
    table
}

fn read(kept: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for line in kept.lines().filter(|line| !line.starts_with('#')) {
        let [plan, call, instructions, allocations, own] = line.split(' ').collect::<Vec<_>>()[..] else {
            bail!("`{line}` are no figures");
        };
        let figures = Figures {
            instructions: instructions.parse()?,
            allocations: allocations.parse()?,
            own: own.parse()?,
        };
        counts.insert(format!("{plan} {call}"), figures);
    }
    Ok(counts)
}
