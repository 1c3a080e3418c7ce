//! What it costs that many sidecars share one account: 1, 10, 100 and 1,000 simulated sidecars and one ledger, the real
//! machines of both, from a full allowance with a hard cap down to nothing and past it.
//!
//!     cargo bench --bench fleet
//!
//! Everything but the CPU columns follows from the seed and is the same at every run. `docs/reliability.md` says what each
//! column means.

use anyhow::{Result, anyhow, ensure};
use rustix::time::{ClockId, clock_gettime};

use bursar::simulation::{Figures, Load, MEAN_USE, Tally, play_fleet};

const SEED: u64 = 1;
const SIDECARS: [usize; 4] = [1, 10, 100, 1000];

/// The same load in all, and for how long: 60,000 runs.
const SHARED: (i64, i64) = (200, 300);

/// The same load at each sidecar, and for how long: up to 60,000 runs.
const EACH: (i64, i64) = (1, 60);

/// Of what would be used, so much is there, in percent: then the rest is refused.
const ALLOWANCE: i64 = 75;

/// When a sidecar dies, in a world of its own, with the same load in all.
const DIES: i64 = 30;

/// The CPU time is the least of so many rounds: what else the machine does only ever adds to it.
const ROUNDS: usize = 2;

fn main() -> Result<()> {
    println!("{HEAD}");
    println!("|{}", "---:|".repeat(HEAD.matches('|').count() - 1));
    let reclaimed: Vec<i64> = SIDECARS.iter().map(|sidecars| reclaimed(*sidecars)).collect::<Result<_>>()?;
    let mut base = None;
    for (form, each) in [("in all", false), ("each", true)] {
        for (sidecars, reclaimed) in SIDECARS.into_iter().zip(&reclaimed) {
            let (rate, seconds) = if each { (EACH.0 * i64::try_from(sidecars)?, EACH.1) } else { SHARED };
            let measured = measured(load(sidecars, rate, seconds))?;
            let cpu = cpu(&measured);
            let base = *base.get_or_insert(cpu);
            let per_second = if each { EACH.0 } else { SHARED.0 };
            println!("| {per_second} {form} {}", row(&measured, *reclaimed, cpu, base));
            ensure!(measured.false_refusals == 0, "{sidecars} sidecars: refused what would have fitted");
            ensure!(measured.late == 0, "{sidecars} sidecars: refused because the ledger's word came late");
        }
    }
    Ok(())
}

const HEAD: &str = "| runs/s | sidecars | runs | lease calls | …when scarce | waits | decided | …with scarce | stranded | …at refusals \
    | …at the end | recall, ms | …longest | death, s | refused | falsely | late | CPU, sidecar | CPU, all |";

fn load(sidecars: usize, runs_per_second: i64, seconds: i64) -> Load {
    let allowance = runs_per_second * seconds * MEAN_USE / 100 * ALLOWANCE / 100;
    Load { seed: SEED, sidecars, runs_per_second, seconds, allowance, dies: None }
}

/// Microseconds from a sidecar's death until what it held is usable again.
fn reclaimed(sidecars: usize) -> Result<i64> {
    let load = Load { dies: Some(DIES), ..load(sidecars, SHARED.0, SHARED.1) };
    play(load)?.reclaimed_after.ok_or_else(|| anyhow!("{sidecars} sidecars: nothing was reclaimed"))
}

fn measured(load: Load) -> Result<Figures> {
    let first = play(load)?;
    (1..ROUNDS).try_fold(first, |best, _| {
        let again = play(load)?;
        ensure!(best.trace == again.trace, "the same load went another way");
        let sidecar_nanos = best.sidecar_nanos.min(again.sidecar_nanos);
        Ok(Figures { sidecar_nanos, ledger_nanos: best.ledger_nanos.min(again.ledger_nanos), ..best })
    })
}

fn play(load: Load) -> Result<Figures> {
    play_fleet(load, nanos).map_err(|problem| anyhow!("{load:?}: {problem}"))
}

/// CPU time of this thread: whatever else the machine does is not in it.
fn nanos() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec * 1_000_000_000 + time.tv_nsec).unwrap_or_default()
}

/// Nanoseconds for each authorisation and its commit: of the sidecars' machines, and of all.
fn cpu(figures: &Figures) -> (f64, f64) {
    let runs = figures.all().asked.max(1) as f64;
    let (sidecar, ledger) = (figures.sidecar_nanos as f64, figures.ledger_nanos as f64);
    (sidecar / runs, (sidecar + ledger) / runs)
}

fn row(figures: &Figures, reclaimed: i64, cpu: (f64, f64), base: (f64, f64)) -> String {
    let per_1000 = |part: u64, of: &Tally| 1000.0 * part as f64 / of.asked.max(1) as f64;
    let percent = |part: u64, of: &Tally| per_1000(part, of) / 10.0;
    let (plenty, scarce, all) = (figures.plenty, figures.scarce, figures.all());
    let mean = |(sum, looks): (bursar::types::Credits, u64)| number(sum) / looks.max(1) as f64;
    let (recalls, longest, times) = figures.recall;
    format!(
        "| {} | {} | {:.1} | {:.1} | {:.2}% | {:.2}% | {:.1}% | {:.2}% | {:.2} | {} | {:.0} | {:.0} | {:.0} | {} | {} | {} | {:.2} | {:.2} |",
        figures.load.sidecars,
        all.asked,
        per_1000(plenty.leases, &plenty),
        per_1000(scarce.leases, &scarce),
        percent(plenty.waited, &plenty),
        percent(plenty.decided, &plenty),
        percent(all.decided, &all),
        100.0 * mean(figures.stranded) / figures.load.allowance as f64,
        mean(figures.stranded_at_refusals),
        figures.stranded_at_end,
        recalls as f64 / times.max(1) as f64 / 1000.0,
        longest as f64 / 1000.0,
        reclaimed as f64 / 1_000_000.0,
        figures.refused,
        figures.false_refusals,
        figures.late,
        cpu.0 / base.0,
        cpu.1 / base.1,
    )
}

fn number(credits: bursar::types::Credits) -> f64 {
    credits.to_string().parse().unwrap_or(f64::NAN)
}
