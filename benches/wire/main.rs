//! What a call costs over the wire: `Authorize` with a warm lease and durable `Commit` of the real sidecar process, each alone and in a session, beside
//! an empty tonic handler with the same messages, in one run, interleaved.
//!
//! | file | what |
//! |---|---|
//! | `floor` | the empty handler, a process of its own |
//! | `processes` | starts ledger, sidecar and floor |
//! | `accounts` | opens the accounts, and warms the leases of those that are called about |
//! | `calls` | the messages |
//! | `client` | a small gRPC client with several connections |
//! | `burst` | calls made at once |
//! | `meter` | the CPU time that a server used |
//! | `measure` | one burst of every kind, in turn |
//! | `cells` | turns, round by round, at every level |
//! | `many` | many accounts and open runs: memory, latency, restarts |
//! | `spread` | what the rounds showed |
//! | `report` | ratios, tables, JSON |
//!
//! Only figures of one run may be compared with each other, and best the ratios: on a shared machine everything else moves.

mod accounts;
mod burst;
mod calls;
mod cells;
mod client;
mod floor;
mod many;
mod measure;
mod meter;
mod processes;
mod report;
mod spread;

use std::process::ExitCode;

use calls::Size;
use cells::Extent;
use measure::{Form, Kind, Transport};

#[global_allocator]
#[cfg(feature = "jemalloc")]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
usage: cargo bench [-- OPTION…]

  --quick            a few seconds, and small: does it run, and is anything off by far
  --size NAME        `full` (without --quick): 100,000 accounts known to the sidecar, calls about 1,000 of them with 20 blocks and
                     5 caps each, a playbook that makes every choice; `small` (with --quick): 16 accounts of each plan
  --accounts N       `full` with so many accounts
  --json             everything measured, as JSON, instead of the table
  --transport NAME   only `tcp` or `uds`
  --in-flight N      only so many calls in flight
  --rounds N         so many rounds
  --burst N          so many calls in each burst: long ones are good for a profiler
  --only NAME        only `authorize` or `session`, and the empty handler: good for a profiler
  --many N,M         something else: memory, latency and restarts with N accounts and M open runs over them
  --threads N        server threads, of both servers (1)
  --playbook FILE    another one, with the same plans and action, such as `benches/wire/whole.yaml`
  --under COMMAND    starts both servers under it, such as `valgrind --tool=callgrind`";

fn main() -> ExitCode {
    let done = if std::env::var_os(floor::ROLE).is_some() { floor::main() } else { bench() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why:#}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> anyhow::Result<()> {
    let (mut form, mut extent) = (Form::full(), Extent::whole());
    let (mut json, mut many) = (false, None);
    // What is told of one thing stands, wherever `--quick` is.
    if std::env::args().any(|argument| argument == "--quick") {
        form = Form::quick();
    }
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value =
            || arguments.next().ok_or_else(|| anyhow::anyhow!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            // `cargo bench` says the first to every bench.
            "--bench" | "--quick" => {}
            "--json" => json = true,
            "--size" => {
                form.size = match value()?.as_str() {
                    "full" => Size::FULL,
                    "small" => Size::Small,
                    other => anyhow::bail!("`{other}` is no size; `full` and `small` are"),
                }
            }
            "--accounts" => form.size = Size::Full { accounts: value()?.parse()? },
            "--transport" => extent.transports = vec![Transport::named(&value()?)?],
            "--in-flight" => {
                let wanted: usize = value()?.parse()?;
                extent.levels.retain(|level| level.in_flight == wanted);
                anyhow::ensure!(
                    !extent.levels.is_empty(),
                    "`{wanted}` is not measured; 1, 16, 64 and 256 are"
                );
            }
            "--rounds" => form.rounds = value()?.parse()?,
            "--burst" => {
                let calls = value()?.parse()?;
                extent.levels.iter_mut().for_each(|level| level.burst = calls);
            }
            "--only" => {
                form.only = Some(match value()?.as_str() {
                    "authorize" => Kind::Authorize,
                    "session" => Kind::SessionAuthorize,
                    other => anyhow::bail!("`{other}` cannot stand alone; `authorize` and `session` can"),
                });
            }
            "--under" => form.under = value()?.split_whitespace().map(str::to_owned).collect(),
            "--playbook" => form.playbook = Some(std::fs::read_to_string(value()?)?),
            "--many" => many = Some(value()?.parse()?),
            "--threads" => form.threads = value()?.parse()?,
            _ => anyhow::bail!("`{argument}` is no option\n{USAGE}"),
        }
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(many) = many {
        return runtime.block_on(many::run(many, form));
    }
    let cells = runtime.block_on(cells::run(&form, &extent))?;
    if json {
        println!("{}", report::json(&cells, &form));
    } else {
        print!("{}", report::table(&cells, &form));
    }
    Ok(())
}
