//! Many accounts, and many open runs over them: what each takes in memory, whether calls wait longer for it, and how long a
//! restart takes.

use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use bursar::config::Endpoint;
use bursar::grpc::client::{LedgerClient, SidecarClient};
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::session_request::Request;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::accounts::PATIENCE;
use super::burst::{Burst, commits};
use super::calls::{self, Plan, Size};
use super::cells;
use super::client::{Connection, head};
use super::measure::{Bench, CONNECTIONS, Form, Kind, Level, Site, Transport};
use super::processes::Server;

/// Calls that are made ready at once.
const AT_ONCE: u64 = 20_000;

/// Clients that open accounts, and calls in flight.
const IN_FLIGHT: usize = 64;

/// Latency is measured where a server is neither idle nor full.
const PROBE: Level = Level { in_flight: 16, burst: 2_000 };

/// What a first run leaves of its lease: enough for all runs that follow.
const FIRST: &str = "200";

/// Longer than everything here takes, and not so long that the answer must wait for the disk.
const TTL: i64 = 3_000;

/// Then leases that nobody uses are over, runs have outlived their minute, and the allocator has given back what was freed.
const REST: Duration = Duration::from_secs(90);

/// How many.
#[derive(Clone, Copy, Debug)]
pub struct Many {
    accounts: u64,
    open: u64,
}

impl FromStr for Many {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (accounts, open) = text.split_once(',').context("two numbers, as in `1000,10000`")?;
        Ok(Self { accounts: accounts.parse()?, open: open.parse()? })
    }
}

/// Both processes, and what they stand on.
struct Scene {
    bench: Bench,
    site: Site,
}

/// What both processes hold, in bytes.
#[derive(Clone, Copy)]
struct Memory {
    sidecar: u64,
    ledger: u64,
}

impl Memory {
    async fn of(scene: &Scene) -> anyhow::Result<Self> {
        scene.bench.sidecar.meter().quiet().await?;
        scene.site.ledger.meter().quiet().await?;
        Ok(Self { sidecar: memory(&scene.bench.sidecar)?, ledger: memory(&scene.site.ledger)? })
    }

    fn say(self, when: &str, before: Self, items: u64, what: &str) {
        for (process, now, then) in
            [("sidecar", self.sidecar, before.sidecar), ("ledger", self.ledger, before.ledger)]
        {
            let each = (now as f64 - then as f64) / items.max(1) as f64;
            println!(
                "{when}: {process} {:.1} MiB, {each:.0} bytes for each {what}",
                now as f64 / f64::from(1 << 20)
            );
        }
    }
}

pub async fn run(many: Many, mut form: Form) -> anyhow::Result<()> {
    form = Form { only: Some(Kind::Authorize), size: Size::Small, ..form };
    let site = Site::open()?;
    let bench = Bench::start(&site, &form).await?;
    let mut scene = Scene { bench, site };
    let alone = probe(&mut scene, &form).await?;
    alone.say("before", alone);
    let empty = Memory::of(&scene).await?;

    let began = Instant::now();
    accounts(&scene, many).await?;
    println!("{} accounts opened in {:.1} s", many.accounts, began.elapsed().as_secs_f64());
    Memory::of(&scene).await?.say("leased", empty, many.accounts, "account");
    tokio::time::sleep(REST).await;
    let idle = Memory::of(&scene).await?;
    idle.say("idle", empty, many.accounts, "account");

    let began = Instant::now();
    open(&scene, many).await?;
    println!("{} runs begun in {:.1} s", many.open, began.elapsed().as_secs_f64());
    Memory::of(&scene).await?.say("open", idle, many.open, "run");
    probe(&mut scene, &form).await?.say("with open runs", alone);
    restart(&mut scene, &form, "-KILL").await?;
    probe(&mut scene, &form).await?.say("after the restart", alone);
    tokio::time::sleep(REST).await;
    Memory::of(&scene).await?.say("open for longer than a minute", idle, many.open, "run");
    probe(&mut scene, &form).await?.say("with runs open for longer than a minute", alone);
    for signal in ["-KILL", "-TERM", "-KILL"] {
        restart(&mut scene, &form, signal).await?;
    }
    Ok(())
}

/// The 99th percentile of `Authorize` and of the empty handler, in microseconds.
#[derive(Clone, Copy)]
struct Tail {
    sidecar: f64,
    floor: f64,
}

impl Tail {
    fn ratio(self) -> f64 {
        self.sidecar / self.floor
    }

    fn say(self, when: &str, alone: Self) {
        println!(
            "{when}: p99 {:.0} µs beside an empty handler's {:.0} µs; to before {:.2}, both taken by their empty handler's {:.2}",
            self.sidecar,
            self.floor,
            self.sidecar / alone.sidecar,
            self.ratio() / alone.ratio(),
        );
    }
}

async fn probe(scene: &mut Scene, form: &Form) -> anyhow::Result<Tail> {
    let wires = scene.bench.connect(Transport::Uds).await?;
    let cells = cells::of(&mut scene.bench, form, Transport::Uds, PROBE, &wires).await?;
    let p99 = |kind| {
        let cell = cells.iter().find(|cell| cell.kind == kind).context("not measured")?;
        anyhow::Ok(cell.tally.quantile(0.99))
    };
    Ok(Tail { sidecar: p99(Kind::Authorize)?, floor: p99(Kind::FloorAuthorize)? })
}

fn account(number: u64) -> String {
    format!("many-{number:06}")
}

/// Subscribes the accounts, and leases credits of each by a first run, which ends.
async fn accounts(scene: &Scene, many: Many) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    for client in 0..IN_FLIGHT {
        let mut ledger =
            LedgerClient::connect(&Endpoint::Http(scene.site.ledger.tcp.to_string()), PATIENCE).await?;
        tasks.spawn(async move {
            for number in (0..many.accounts).skip(client).step_by(IN_FLIGHT) {
                ledger.subscribe(calls::subscribe(account(number), Plan::Plain)).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(task) = tasks.join_next().await {
        task??;
    }
    let connections = connected(scene).await?;
    for first in (0..many.accounts).step_by(AT_ONCE as usize) {
        let some = first..many.accounts.min(first + AT_ONCE);
        let runs = some.map(|number| call("first", number, number, Some(FIRST))).collect();
        let begun = Burst::of(&connections, &head("Authorize")?, IN_FLIGHT, runs).await?;
        Burst::of(&connections, &head("Commit")?, IN_FLIGHT, commits(&begun)?).await?;
    }
    Ok(())
}

/// Begins runs that nobody ends, on every account in turn.
async fn open(scene: &Scene, many: Many) -> anyhow::Result<()> {
    let connections = connected(scene).await?;
    for first in (0..many.open).step_by(AT_ONCE as usize) {
        let some = first..many.open.min(first + AT_ONCE);
        let runs = some.map(|number| call("open", number, number % many.accounts, None)).collect();
        let begun = Burst::of(&connections, &head("Authorize")?, IN_FLIGHT, runs).await?;
        commits(&begun)?;
    }
    Ok(())
}

fn call(what: &str, number: u64, of: u64, quantity: Option<&str>) -> Request {
    let mut call = calls::authorize(account(of), number);
    call.request_id = format!("{what}-{number}");
    call.quantity = quantity.map(str::to_owned).or(call.quantity);
    call.ttl = Some(prost_types::Duration { seconds: TTL, nanos: 0 });
    Request::Authorize(call)
}

async fn connected(scene: &Scene) -> anyhow::Result<Vec<Connection>> {
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::unix(&scene.bench.sidecar.socket).await?);
    }
    Ok(connections)
}

/// Ends a process by this signal; answers how long that took.
fn end(server: &mut Server, signal: &str) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let id = server.child.id().to_string();
    let sent = Command::new("kill").args([signal, &id]).status()?;
    anyhow::ensure!(sent.success(), "process {id} takes no signal");
    server.child.wait()?;
    Ok(began.elapsed())
}

/// Bytes of a process's memory that are in use.
fn memory(server: &Server) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id()))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = resident.and_then(|rest| rest.trim().strip_suffix(" kB")).context("no VmRSS")?;
    Ok(kib.parse::<u64>()? << 10)
}

/// Ends the sidecar by the signal, and starts it again on the same journal.
async fn restart(scene: &mut Scene, form: &Form, signal: &str) -> anyhow::Result<()> {
    let ended = end(&mut scene.bench.sidecar, signal)?;
    let began = Instant::now();
    let sidecar = scene.site.sidecar(form)?;
    let ready = began.elapsed();
    let mut client = SidecarClient::connect(&Endpoint::Http(sidecar.tcp.to_string()), PATIENCE).await?;
    let mut probe = calls::authorize(Plan::Plain.account(0), 0);
    probe.request_id = format!("again-{}", sidecar.child.id());
    let answer = client.authorize(probe).await?;
    let answered = began.elapsed();
    anyhow::ensure!(answer.decision == i32::from(v1::Decision::Allowed), "a run is denied: {answer:?}");
    println!(
        "kill {signal}: ended in {:.2} s; ready {:.2} s and first answer {:.2} s after the start",
        ended.as_secs_f64(),
        ready.as_secs_f64(),
        answered.as_secs_f64(),
    );
    scene.bench.sidecar = sidecar;
    Ok(())
}
