//! The flags, and the run from end to end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::bar::Bar;
use super::calls::Runs;
use super::drive::{Driven, End, drive};
use super::pace::{Bounds, Pace, Schedule};
use super::plot;
use super::report::{self, Asked};
use super::verdict::Verdict;
use crate::cli::connection::SidecarArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::request_id::drawn;
use crate::cli::screen::Screen;
use crate::cli::usage::{Units, Who};
use crate::config::value;
use crate::grpc::client::wire_duration;
use crate::grpc::proto::v1;
use crate::runtime::{Clock, Shutdown};

/// Each holds a request, a stream and its answer in memory; a sidecar refuses beyond its `calls_max`, 4,096 unless told.
const IN_FLIGHT_MAX: usize = 65_536;

/// Half of what a sidecar takes: others stay connected.
const CONNECTIONS_MAX: usize = 256;

/// One run a microsecond, which is as fine as the clock.
const RATE_MAX: i64 = 1_000_000;

/// A day has every tide of an installation in it; what comes later is another measurement.
const DURATION_MAX: Duration = Duration::from_secs(86_400);

/// Shorter than this, there is little but noise.
const DURATION_MIN: Duration = Duration::from_millis(100);

/// What the largest installation that Bursar is measured with has.
const ACCOUNTS_MAX: u64 = 1_000_000;

/// Under way at once where nothing is said: a busy agent runtime, and for an open loop as many as four connections carry.
const IN_FLIGHT_CLOSED: usize = 16;
const IN_FLIGHT_OPEN: usize = 1_024;

#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// The customer who is billed; with `--accounts` the stem of several
    account: String,

    /// What is metered, as the playbook names it
    action: String,

    /// What a run is: one call, or one and then the other with its handle
    #[arg(long, value_enum, default_value_t = Calls::AuthorizeCommit)]
    calls: Calls,

    /// Open loop: begin so many runs a second, evenly spaced, however long answers take
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=RATE_MAX))]
    rate: Option<u32>,

    /// Closed loop: keep so many runs under way, each begun when another ends [default: 16]. With `--rate`: begin no
    /// more while so many are under way; they wait [default: 1024]
    #[arg(long, value_name = "N", value_parser = in_flight)]
    in_flight: Option<usize>,

    /// How long to measure
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = duration)]
    duration: Duration,

    /// How long to do the same before, unmeasured
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = warmup)]
    warmup: Duration,

    /// Connections that the runs go round
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = connections)]
    connections: usize,

    /// Go round so many accounts: ACCOUNT-0, ACCOUNT-1 and so on
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=ACCOUNTS_MAX))]
    accounts: Option<u64>,

    /// Draw latency by percentile into this file, as SVG
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,

    #[command(flatten)]
    units: Units,

    #[command(flatten)]
    who: Who,

    /// How long each reservation lives [default: the action's `reserve.ttl`]
    #[arg(long, value_name = "TIME", value_parser = read::span)]
    ttl: Option<Duration>,

    #[command(flatten)]
    to: SidecarArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Calls {
    /// Leaves what it reserves until that lapses
    Authorize,
    /// A whole run, charged
    AuthorizeCommit,
}

impl BenchArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let shutdown = Shutdown::on_signals()?;
        let clock = Clock::system();
        let runs = self.runs(&clock).await?;
        // Whoever waits for the end must not learn only then that there is no such place.
        self.plot.as_deref().map(has_a_place).transpose()?;
        let asked = self.asked();
        let (warmup, duration, patience) = (self.warmup, self.duration, self.to.patience.timeout);
        let bounds = Bounds { warmup, duration, in_flight: asked.in_flight, patience };
        let schedule = Schedule::new(asked.pace, bounds, clock.boottime());
        let mut bar = Bar::new(screen, clock.boottime(), schedule.ends());
        let driven = drive(schedule, &clock, |start| runs.run(start), &shutdown, &mut bar).await?;
        if driven.tally.late.is_empty() {
            self.judge(driven).await?;
            return Err(Failure::new("it ended before a run was measured")
                .help("`--warmup 0s` measures from the start on, `--duration` says how long"));
        }
        if screen.json {
            screen.print_json(&report::json(&asked, &driven))?;
        } else {
            screen.print(&report::people(&asked, &driven))?;
        }
        if let Some(path) = &self.plot {
            let picture = plot::svg(&asked.title(), &report::latencies(&driven.tally))?;
            std::fs::write(path, picture).map_err(|error| unwritable(path, &error))?;
        }
        self.judge(driven).await
    }

    fn asked(&self) -> Asked {
        let pace = self.rate.map_or(Pace::Closed, |rate| Pace::Open { rate });
        let usual = if pace == Pace::Closed { IN_FLIGHT_CLOSED } else { IN_FLIGHT_OPEN };
        Asked {
            calls: match self.calls {
                Calls::Authorize => "authorize",
                Calls::AuthorizeCommit => "authorize-commit",
            },
            pace,
            in_flight: self.in_flight.unwrap_or(usual),
            connections: self.connections,
            accounts: self.accounts.unwrap_or(1),
        }
    }

    async fn runs(&self, clock: &Clock) -> Result<Runs, Failure> {
        let sidecar = self.to.connect().await?;
        let mut others = Vec::new();
        for _ in 1..self.connections {
            others.push(self.to.connect().await?);
        }
        let form = v1::AuthorizeRequest {
            account: self.account.clone(),
            action: self.action.clone(),
            subject: self.who.subject(),
            quantity: self.units.quantity.clone(),
            quantities: self.units.quantities(),
            dimensions: self.who.dimensions(),
            run_id: self.who.run_id.clone(),
            parent: self.who.parent.clone(),
            retry_of: self.who.retry_of.clone(),
            ttl: self.ttl.map(wire_duration),
            ..v1::AuthorizeRequest::default()
        };
        let (accounts, commits) = (self.accounts, self.calls == Calls::AuthorizeCommit);
        Ok(Runs { form, accounts, stem: drawn()?, commits, sidecar, others, clock: clock.clone() })
    }

    /// How the command ends.
    async fn judge(&self, driven: Driven) -> Result<Exit, Failure> {
        match driven.end {
            End::Done | End::Interrupted => Ok(Exit::Success),
            End::Stopped(Verdict::Wrong(failure)) => Err(failure),
            // Where nobody listens there any more, that says it best.
            End::Stopped(Verdict::Lost(error)) => {
                Err(self.to.connect().await.err().unwrap_or_else(|| Failure::from(error)))
            }
        }
    }
}

fn has_a_place(path: &Path) -> Result<(), Failure> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::read_dir(directory).map(|_| ()).map_err(|error| unwritable(path, &error))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`--plot {}` cannot be written: {error}", path.display()))
        .help("name a file in a directory that exists")
}

fn in_flight(text: &str) -> Result<usize, String> {
    value::count(text, 1..=IN_FLIGHT_MAX)
}

fn connections(text: &str) -> Result<usize, String> {
    value::count(text, 1..=CONNECTIONS_MAX)
}

fn duration(text: &str) -> Result<Duration, String> {
    value::duration(text, DURATION_MIN..=DURATION_MAX)
}

fn warmup(text: &str) -> Result<Duration, String> {
    value::duration(text, Duration::ZERO..=DURATION_MAX)
}
