//! The servers and what is called at them: bursts, each kind in turn, over and over, so that whatever else the machine does meets
//! all kinds alike.

use anyhow::Context;
use prost::Message;
use tempfile::TempDir;

use super::accounts;
use super::burst::{Burst, commits};
use super::calls::{self, Plan, Size};
use super::client::{Connection, head};
use super::processes::Server;
use bursar::grpc::proto::v1::session_request::Request;

/// Connections of the client: what an agent runtime is advised to have.
pub const CONNECTIONS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Uds,
}

impl Transport {
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Uds];

    pub fn named(name: &str) -> anyhow::Result<Self> {
        let found = Self::ALL.into_iter().find(|transport| transport.name() == name);
        found.ok_or_else(|| anyhow::anyhow!("`{name}` is no transport; `tcp` and `uds` are"))
    }

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
    pub size: Size,
    /// Ratios are made within a round.
    pub rounds: usize,
    /// Turns of all kinds within a round.
    pub turns: usize,
    pub threads: usize,
    /// Nothing but these authorises and the empty handler's; what they hold is never committed.
    pub only: Option<Kind>,
    /// A command that both servers run under; empty = none.
    pub under: Vec<String>,
    /// The document that prices the runs; `None` = the size's own.
    pub playbook: Option<String>,
}

impl Form {
    /// As large as the world that figures are wanted of.
    pub fn full() -> Self {
        let (only, under, playbook) = (None, Vec::new(), None);
        Self { size: Size::FULL, rounds: 7, turns: 6, threads: 1, only, under, playbook }
    }

    /// A few seconds.
    pub fn quick() -> Self {
        Self { size: Size::Small, rounds: 3, turns: 1, ..Self::full() }
    }

    pub fn measures(&self, kind: Kind) -> bool {
        let is_there = kind != Kind::AuthorizeCapped || self.size.plans().contains(&Plan::Capped);
        is_there && self.only.is_none_or(|only| kind == only || kind == only.floor())
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

/// Both servers over one transport.
pub struct Wires {
    floor: Vec<Connection>,
    sidecar: Vec<Connection>,
}

/// What the servers stand on.
pub struct Site {
    pub ledger: Server,
    /// The journals belong on a disk, as in use; where the system keeps its temporary files, there may be none.
    pub disk: TempDir,
    pub sockets: TempDir,
}

impl Site {
    pub fn open() -> anyhow::Result<Self> {
        let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let sockets = tempfile::tempdir()?;
        Ok(Self { ledger: Server::ledger(disk.path())?, disk, sockets })
    }

    pub fn sidecar(&self, form: &Form) -> anyhow::Result<Server> {
        Server::sidecar(self.disk.path(), self.sockets.path(), self.ledger.tcp, form)
    }
}

/// The servers that are called.
pub struct Bench {
    floor: Server,
    pub sidecar: Server,
    /// The number of the next call.
    next: u64,
}

impl Bench {
    pub async fn start(site: &Site, form: &Form) -> anyhow::Result<Self> {
        let sidecar = site.sidecar(form)?;
        let playbook = form.playbook.as_deref().unwrap_or(form.size.playbook());
        let (authorized, committed) = accounts::open(&site.ledger, &sidecar, form.size, playbook).await?;
        let (authorized, committed) = (authorized.encode_to_vec(), committed.encode_to_vec());
        let floor = Server::floor(site.sockets.path(), &authorized, &committed, form)?;
        Ok(Self { floor, sidecar, next: 0 })
    }

    pub async fn connect(&self, transport: Transport) -> anyhow::Result<Wires> {
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

    /// One burst of every kind. What was authorised is committed, measured or not, so that every turn begins alike.
    pub async fn turn(
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
            let burst =
                self.burst(kind, level, wires, self.authorizes(form.size, Plan::Plain, level.burst)).await?;
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
        if !form.measures(Kind::AuthorizeCapped) {
            return Ok(());
        }
        let capped = self.authorizes(form.size, Plan::Capped, level.burst);
        self.next += level.burst;
        let burst = self.burst(Kind::AuthorizeCapped, level, wires, capped).await?;
        seen(Kind::AuthorizeCapped, &burst)?;
        self.burst(Kind::Commit, Level { in_flight: 64, ..level }, wires, commits(&burst)?).await?;
        Ok(())
    }

    fn authorizes(&self, size: Size, plan: Plan, count: u64) -> Vec<Request> {
        let call = |number| calls::authorize(plan.account(number % size.called()), number);
        (self.next..self.next + count).map(|number| Request::Authorize(call(number))).collect()
    }

    pub async fn burst(
        &self,
        kind: Kind,
        level: Level,
        wires: &Wires,
        calls: Vec<Request>,
    ) -> anyhow::Result<Burst> {
        let is_floor = kind == kind.floor();
        let (server, connections) =
            if is_floor { (&self.floor, &wires.floor) } else { (&self.sidecar, &wires.sidecar) };
        let (meter, head) = (server.meter(), head(kind.method())?);
        if kind.is_session() {
            let connection = connections.first().context("no connection")?;
            Burst::metered(&meter, Burst::session(connection, &head, level.in_flight, calls)).await
        } else {
            Burst::metered(&meter, Burst::of(connections, &head, level.in_flight, calls)).await
        }
    }
}
