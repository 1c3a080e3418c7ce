//! Bursar beside what one would otherwise write for the same decision: Redis with an atomic script, PostgreSQL with a conditional
//! UPDATE and an INSERT; in one run, interleaved, on one machine. Bursar, its empty handler and the client are those of the wire
//! benchmark.
//!
//! | file | what |
//! |---|---|
//! | `redis` | a Redis, its two scripts, and a client that pipelines |
//! | `postgresql` | a PostgreSQL, its function, and 16 clients |
//! | `rounds` | one burst of everything, in turn, round by round |
//! | `report` | ratios, verdicts, tables, JSON |

#[path = "../wire/accounts.rs"]
mod accounts;
#[path = "../wire/burst.rs"]
mod burst;
#[path = "../wire/calls.rs"]
mod calls;
#[path = "../wire/client.rs"]
mod client;
#[path = "../ledger/cluster.rs"]
mod cluster;
#[path = "../wire/floor.rs"]
mod floor;
#[path = "../wire/measure.rs"]
mod measure;
#[path = "../wire/meter.rs"]
mod meter;
mod postgresql;
#[path = "../wire/processes.rs"]
mod processes;
mod redis;
mod report;
mod rounds;
#[path = "../wire/spread.rs"]
mod spread;

use std::process::ExitCode;

use calls::Size;
use measure::{Form, Transport};

#[global_allocator]
#[cfg(feature = "jemalloc")]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
usage: cargo bench --bench peers [-- OPTION…]

  --quick            a minute, and small: does it run, and is anything off by far
  --json             everything measured, as JSON, instead of the table
  --transport NAME   how Bursar and Redis are called: `uds` (as it is) or `tcp`
  --accounts N       so many accounts and wallets (100,000), calls about 1,000 of them
  --rounds N         so many rounds

Fails where Bursar is below what is required beside the others.";

fn main() -> ExitCode {
    let done = if std::env::var_os(floor::ROLE).is_some() { floor::main().map(|()| true) } else { bench() };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what is required was reached.
fn bench() -> anyhow::Result<bool> {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let mut form = if quick { Form::quick() } else { Form::full() };
    let (mut json, mut transport) = (false, Transport::Uds);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value =
            || arguments.next().ok_or_else(|| anyhow::anyhow!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            // `cargo bench` says the first to every bench.
            "--bench" | "--quick" => {}
            "--json" => json = true,
            "--transport" => transport = Transport::named(&value()?)?,
            "--accounts" => form.size = Size::Full { accounts: value()?.parse()? },
            "--rounds" => form.rounds = value()?.parse()?,
            _ => anyhow::bail!("`{argument}` is no option\n{USAGE}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lines = runtime.block_on(rounds::run(&form, transport))?;
    let verdicts = report::verdicts(&lines);
    if json {
        println!("{}", report::json(&lines, &verdicts));
    } else {
        print!("{}", report::text(&lines, &verdicts));
    }
    Ok(verdicts.iter().all(report::Verdict::is_reached))
}
