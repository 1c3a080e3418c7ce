//! Bursts of calls, each kind in turn, over and over: whatever else the machine does meets all kinds alike.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use hdrhistogram::Histogram;
use prost::Message;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::calls::{self, Plan};
use super::client::{Connection, Head, framed, head};
use super::processes::Server;
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::session_request::Request;
use bursar::grpc::proto::v1::session_response::Answer;

/// Connections of the client: what an agent runtime is advised to have.
pub const CONNECTIONS: usize = 4;

/// The longest latency that is told apart from longer ones, in nanoseconds, and the digits that are.
const LATENCY_MAX: u64 = 60_000_000_000;
const LATENCY_DIGITS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Uds,
}

impl Transport {
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Uds => "uds",
        }
    }
}

/// So many calls in flight, in bursts of so many calls.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    pub in_flight: usize,
    pub burst: u64,
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Form {
    pub transports: Vec<Transport>,
    pub levels: Vec<Level>,
    /// Ratios are made within a round.
    pub rounds: usize,
    /// Turns of all kinds within a round.
    turns: usize,
    pub threads: usize,
    /// Nothing but these authorises and the empty handler's; what they hold is never committed.
    pub only: Option<Kind>,
    /// A command that both servers run under; empty = none.
    pub under: Vec<String>,
    /// The document that prices the runs.
    pub playbook: String,
}

impl Form {
    /// About five minutes.
    pub fn full() -> Self {
        let level = |in_flight, burst| Level { in_flight, burst };
        Self {
            transports: vec![Transport::Tcp, Transport::Uds],
            levels: vec![level(1, 250), level(16, 1_000), level(64, 2_000), level(256, 4_000)],
            rounds: 7,
            turns: 6,
            threads: 1,
            only: None,
            under: Vec::new(),
            playbook: calls::PLAYBOOK.to_owned(),
        }
    }

    fn measures(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| kind == only || kind == only.floor())
    }

    /// A few seconds.
    pub fn quick(self) -> Self {
        Self { rounds: 3, turns: 1, ..self }
    }
}

/// What is called, at whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    FloorAuthorize,
    Authorize,
    AuthorizeCapped,
    SessionAuthorize,
    FloorCommit,
    Commit,
    SessionCommit,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::FloorAuthorize,
        Self::Authorize,
        Self::AuthorizeCapped,
        Self::SessionAuthorize,
        Self::FloorCommit,
        Self::Commit,
        Self::SessionCommit,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::FloorAuthorize => "empty handler, Authorize",
            Self::Authorize => "Authorize",
            Self::AuthorizeCapped => "Authorize, 5 caps",
            Self::SessionAuthorize => "Authorize, session",
            Self::FloorCommit => "empty handler, Commit",
            Self::Commit => "Commit, durable",
            Self::SessionCommit => "Commit, session, durable",
        }
    }

    /// What it is compared with.
    pub fn floor(self) -> Self {
        match self {
            Self::FloorAuthorize | Self::Authorize | Self::AuthorizeCapped | Self::SessionAuthorize => {
                Self::FloorAuthorize
            }
            Self::FloorCommit | Self::Commit | Self::SessionCommit => Self::FloorCommit,
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::FloorAuthorize | Self::Authorize | Self::AuthorizeCapped => "Authorize",
            Self::FloorCommit | Self::Commit => "Commit",
            Self::SessionAuthorize | Self::SessionCommit => "Session",
        }
    }

    fn is_session(self) -> bool {
        matches!(self, Self::SessionAuthorize | Self::SessionCommit)
    }
}

/// What one kind did in one round.
#[derive(Clone, Debug, Default)]
pub struct Round {
    pub calls: u64,
    pub took: Duration,
    pub cpu: Duration,
}

/// One kind of call over one transport at one level.
pub struct Cell {
    pub transport: Transport,
    pub in_flight: usize,
    pub kind: Kind,
    pub rounds: Vec<Round>,
    /// Nanoseconds, of all rounds.
    pub latency: Histogram<u64>,
}

/// Both servers over one transport.
struct Wires {
    floor: Vec<Connection>,
    sidecar: Vec<Connection>,
}

pub struct Bench {
    floor: Server,
    pub sidecar: Server,
    pub ledger: Server,
    /// The number of the next call.
    next: u64,
    pub disk: TempDir,
    pub sockets: TempDir,
}

pub async fn run(form: &Form) -> anyhow::Result<Vec<Cell>> {
    let mut bench = Bench::start(form).await?;
    let mut cells = Vec::new();
    for transport in &form.transports {
        for level in &form.levels {
            cells.extend(bench.level(form, *transport, *level).await?);
        }
    }
    Ok(cells)
}

impl Bench {
    /// Starts all servers, with warm leases.
    pub async fn start(form: &Form) -> anyhow::Result<Self> {
        // The journals belong on a disk, as in use; where the system keeps its temporary files, there may be none.
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let sockets = tempfile::tempdir()?;
        let ledger = Server::ledger(disk.path())?;
        let sidecar = Server::sidecar(disk.path(), sockets.path(), ledger.tcp, form)?;
        let (authorized, committed) = calls::prepare(&ledger, &sidecar, &form.playbook).await?;
        let answers = (authorized.encode_to_vec(), committed.encode_to_vec());
        let floor = Server::floor(sockets.path(), &answers.0, &answers.1, form)?;
        Ok(Self { floor, sidecar, ledger, next: 0, disk, sockets })
    }

    async fn connect(&self, transport: Transport) -> anyhow::Result<Wires> {
        let mut wires = Wires { floor: Vec::new(), sidecar: Vec::new() };
        for _ in 0..CONNECTIONS {
            for (server, connections) in
                [(&self.floor, &mut wires.floor), (&self.sidecar, &mut wires.sidecar)]
            {
                connections.push(match transport {
                    Transport::Tcp => Connection::tcp(server.tcp).await?,
                    Transport::Uds => Connection::unix(&server.socket).await?,
                });
            }
        }
        Ok(wires)
    }

    /// All kinds, interleaved.
    pub async fn level(
        &mut self,
        form: &Form,
        transport: Transport,
        level: Level,
    ) -> anyhow::Result<Vec<Cell>> {
        let wires = &self.connect(transport).await?;
        let mut cells = Vec::with_capacity(Kind::ALL.len());
        for kind in Kind::ALL.into_iter().filter(|kind| form.measures(*kind)) {
            let latency = Histogram::new_with_max(LATENCY_MAX, LATENCY_DIGITS)?;
            let rounds = vec![Round::default(); form.rounds];
            cells.push(Cell { transport, in_flight: level.in_flight, kind, rounds, latency });
        }
        self.turn(form, level, wires, |_, _| Ok(())).await?;
        for round in 0..form.rounds {
            for _ in 0..form.turns {
                self.turn(form, level, wires, |kind, burst| {
                    let Some(cell) = cells.iter_mut().find(|cell| cell.kind == kind) else { return Ok(()) };
                    cell.latency.add(&burst.latency)?;
                    if let Some(round) = cell.rounds.get_mut(round) {
                        round.calls += burst.answers.len() as u64;
                        round.took += burst.took;
                        round.cpu += burst.cpu;
                    }
                    Ok(())
                })
                .await?;
            }
        }
        Ok(cells)
    }

    /// One burst of every kind. What was authorised is committed, measured or not, so that every turn begins alike.
    async fn turn(
        &mut self,
        form: &Form,
        level: Level,
        wires: &Wires,
        mut seen: impl FnMut(Kind, &Burst) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let (mut open, mut open_by_session) = (Vec::new(), Vec::new());
        for kind in [Kind::FloorAuthorize, Kind::Authorize, Kind::SessionAuthorize] {
            if !form.measures(kind) {
                continue;
            }
            let burst = self.burst(kind, level, wires, self.authorizes(Plan::Plain, level.burst)).await?;
            seen(kind, &burst)?;
            if kind != kind.floor() {
                self.next += level.burst;
                let held = if kind.is_session() { &mut open_by_session } else { &mut open };
                *held = commits(&burst)?;
            }
        }
        if form.only.is_some() {
            return Ok(());
        }
        for (kind, runs) in
            [(Kind::FloorCommit, open.clone()), (Kind::Commit, open), (Kind::SessionCommit, open_by_session)]
        {
            let burst = self.burst(kind, level, wires, runs).await?;
            seen(kind, &burst)?;
        }
        let capped = self.authorizes(Plan::Capped, level.burst);
        self.next += level.burst;
        let burst = self.burst(Kind::AuthorizeCapped, level, wires, capped).await?;
        seen(Kind::AuthorizeCapped, &burst)?;
        self.burst(Kind::Commit, Level { in_flight: 64, ..level }, wires, commits(&burst)?).await?;
        Ok(())
    }

    fn authorizes(&self, plan: Plan, count: u64) -> Vec<Request> {
        (self.next..self.next + count)
            .map(|number| Request::Authorize(calls::authorize(plan, number)))
            .collect()
    }

    async fn burst(
        &self,
        kind: Kind,
        level: Level,
        wires: &Wires,
        calls: Vec<Request>,
    ) -> anyhow::Result<Burst> {
        let is_floor = kind == kind.floor();
        let (server, connections) =
            if is_floor { (&self.floor, &wires.floor) } else { (&self.sidecar, &wires.sidecar) };
        let before = server.quiet().await?;
        let head = head(kind.method())?;
        let mut burst = if kind.is_session() {
            let connection = connections.first().context("no connection")?;
            Burst::session(connection, &head, level.in_flight, calls).await?
        } else {
            Burst::of(connections, &head, level.in_flight, calls).await?
        };
        // Journaling and reporting go on after the answers, and belong to the calls.
        burst.cpu = server.quiet().await?.saturating_sub(before);
        Ok(burst)
    }
}

/// What became of one burst.
pub struct Burst {
    pub answers: Vec<Bytes>,
    latency: Histogram<u64>,
    took: Duration,
    cpu: Duration,
}

impl Burst {
    /// Makes the calls, so many at once: each that is answered is followed by the next.
    pub async fn of(
        connections: &[Connection],
        head: &Head,
        in_flight: usize,
        calls: Vec<Request>,
    ) -> anyhow::Result<Self> {
        let calls: Arc<[Bytes]> = calls.iter().map(alone).collect::<Result<_, _>>()?;
        let next = Arc::new(AtomicUsize::new(0));
        let mut tasks = JoinSet::new();
        let began = Instant::now();
        for connection in connections.iter().cycle().take(in_flight) {
            let (mut connection, head) = (connection.clone(), head.clone());
            let (calls, next) = (Arc::clone(&calls), Arc::clone(&next));
            tasks.spawn(async move {
                let mut done = Vec::with_capacity(calls.len() / in_flight + 1);
                while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sent = Instant::now();
                    let answer = connection.call(&head, call.clone()).await?;
                    done.push((answer, sent.elapsed()));
                }
                anyhow::Ok(done)
            });
        }
        let mut done = Vec::with_capacity(calls.len());
        while let Some(task) = tasks.join_next().await {
            done.extend(task??);
        }
        Self::seen(done, began.elapsed())
    }

    /// Asks over one stream.
    async fn session(
        connection: &Connection,
        head: &Head,
        in_flight: usize,
        calls: Vec<Request>,
    ) -> anyhow::Result<Self> {
        let frame = |(sequence, request)| {
            framed(&v1::SessionRequest { sequence, request: Some(request), ..Default::default() })
        };
        let calls: Vec<Bytes> = (0..).zip(calls).map(frame).collect::<Result<_, _>>()?;
        let began = Instant::now();
        let done = connection.clone().session(head, &calls, in_flight).await?;
        let took = began.elapsed();
        let done = done.into_iter().map(|(response, waited)| Ok((answer(response)?, waited)));
        Self::seen(done.collect::<anyhow::Result<_>>()?, took)
    }

    fn seen(done: Vec<(Bytes, Duration)>, took: Duration) -> anyhow::Result<Self> {
        let mut latency = Histogram::new_with_max(LATENCY_MAX, LATENCY_DIGITS)?;
        for (_, waited) in &done {
            latency.record(u64::try_from(waited.as_nanos())?)?;
        }
        let answers = done.into_iter().map(|(answer, _)| answer).collect();
        Ok(Self { answers, latency, took, cpu: Duration::ZERO })
    }
}

/// A request as the message of a call of its own.
fn alone(request: &Request) -> anyhow::Result<Bytes> {
    match request {
        Request::Authorize(message) => framed(message),
        Request::Commit(message) => framed(message),
        other => anyhow::bail!("nobody measures {other:?}"),
    }
}

/// What a call of its own would have been answered.
fn answer(response: Bytes) -> anyhow::Result<Bytes> {
    match v1::SessionResponse::decode(response)?.answer {
        Some(Answer::Authorize(answer)) => Ok(answer.encode_to_vec().into()),
        Some(Answer::Commit(answer)) => Ok(answer.encode_to_vec().into()),
        other => anyhow::bail!("a request of a session failed: {other:?}"),
    }
}

/// The commits of what a burst reserved. A run that was denied would make the figures mean something else.
pub fn commits(burst: &Burst) -> anyhow::Result<Vec<Request>> {
    let commit = |answer: &Bytes| {
        let answer = v1::AuthorizeResponse::decode(answer.clone())?;
        anyhow::ensure!(
            answer.decision == i32::from(v1::Decision::Allowed)
                && answer.decided_by == i32::from(v1::DecidedBy::Sidecar),
            "a run was not decided on the lease: {answer:?}"
        );
        Ok(Request::Commit(calls::commit(answer.reservation)))
    };
    burst.answers.iter().map(commit).collect()
}
