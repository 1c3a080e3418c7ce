//! What a call costs over the wire: `Authorize` with a warm lease and durable `Commit` of the real sidecar process, each alone and in a session, beside
//! an empty tonic handler with the same messages, in one run, interleaved.
//!
//! | file | what |
//! |---|---|
//! | `floor` | the empty handler, a process of its own |
//! | `processes` | starts ledger, sidecar and floor, and reads the CPU time that they used |
//! | `client` | a small gRPC client with several connections |
//! | `calls` | the messages |
//! | `measure` | bursts, interleaved, round by round |
//! | `many` | many accounts and open runs: memory, latency, restarts |
//! | `report` | ratios, tables, JSON |
//!
//! Only figures of one run may be compared with each other, and best the ratios: on a shared machine everything else moves.

mod calls;
mod client;
mod floor;
mod many;
mod measure;
mod processes;
mod report;

use std::process::ExitCode;

use measure::{Form, Kind};

#[global_allocator]
#[cfg(feature = "jemalloc")]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const USAGE: &str = "\
usage: cargo bench [-- OPTION…]

  --quick            a few seconds: does it run, and is anything off by far
  --json             everything measured, as JSON, instead of the table
  --transport NAME   only `tcp` or `uds`
  --in-flight N      only so many calls in flight
  --rounds N         so many rounds
  --burst N          so many calls in each burst: long ones are good for a profiler
  --only NAME        only `authorize` or `session`, and the empty handler: good for a profiler
  --threads N        server threads, of both servers (1)
  --playbook FILE    another one, with the same plans and action, such as `benches/wire/whole.yaml`
  --under COMMAND    starts both servers under it, such as `valgrind --tool=callgrind`
  --many A,R         instead: what A accounts and R open runs over them take in memory, do to latency, and to a restart";

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
    let mut form = Form::full();
    let (mut json, mut rounds, mut many) = (false, None, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value =
            || arguments.next().ok_or_else(|| anyhow::anyhow!("{argument} needs a value\n{USAGE}"));
        match argument.as_str() {
            // `cargo bench` says so to every bench.
            "--bench" => {}
            "--quick" => form = form.quick(),
            "--json" => json = true,
            "--transport" => {
                let wanted = value()?;
                form.transports.retain(|transport| transport.name() == wanted);
                anyhow::ensure!(
                    !form.transports.is_empty(),
                    "`{wanted}` is no transport; `tcp` and `uds` are"
                );
            }
            "--in-flight" => {
                let wanted: usize = value()?.parse()?;
                form.levels.retain(|level| level.in_flight == wanted);
                anyhow::ensure!(!form.levels.is_empty(), "`{wanted}` is not measured; 1, 16, 64 and 256 are");
            }
            "--rounds" => rounds = Some(value()?.parse()?),
            "--burst" => {
                let calls = value()?.parse()?;
                form.levels.iter_mut().for_each(|level| level.burst = calls);
            }
            "--only" => {
                form.only = Some(match value()?.as_str() {
                    "authorize" => Kind::Authorize,
                    "session" => Kind::SessionAuthorize,
                    other => anyhow::bail!("`{other}` cannot stand alone; `authorize` and `session` can"),
                });
            }
            "--under" => form.under = value()?.split_whitespace().map(str::to_owned).collect(),
            "--playbook" => form.playbook = std::fs::read_to_string(value()?)?,
            "--many" => many = Some(value()?.parse()?),
            "--threads" => form.threads = value()?.parse()?,
            _ => anyhow::bail!("`{argument}` is no option\n{USAGE}"),
        }
    }
    form.rounds = rounds.unwrap_or(form.rounds);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if let Some(many) = many {
        return runtime.block_on(many::run(many, form));
    }
    let cells = runtime.block_on(measure::run(&form))?;
    if json {
        println!("{}", report::json(&cells, &form));
    } else {
        print!("{}", report::table(&cells, &form));
    }
    Ok(())
}
