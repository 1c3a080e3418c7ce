//! One burst of everything, in turn, round by round: whatever else the machine does meets all alike.

use anyhow::Result;
use bursar::grpc::proto::v1::session_request::Request;

use super::burst::{Burst, commits};
use super::calls::{self, Plan};
use super::measure::{Bench, Form, Kind, Level, Site, Transport, Wires};
use super::postgresql::Postgresql;
use super::redis::{Asked, Policy, Redis};
use super::spread::Tally;

/// As many in flight as the figures are wanted of.
const LEVELS: [Level; 2] = [Level { in_flight: 64, burst: 2_000 }, Level { in_flight: 256, burst: 4_000 }];

/// PostgreSQL is so much slower that its bursts are this part.
const POSTGRESQL_PART: u64 = 5;

/// Calls about the hot account are numbered from here on: no others get there.
const HOT: u64 = 500_000_000_000;

/// Who does what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Bursar, or the empty handler.
    Wire(Kind),
    /// Bursar, on one account.
    Hot,
    Reserve(Policy),
    /// The same without a pipeline, with `everysec`.
    ReserveOneByOne,
    Settle(Policy),
    Postgresql,
}

impl Who {
    pub fn all() -> Vec<Self> {
        let mut all = Kind::ALL.map(Self::Wire).to_vec();
        all.push(Self::Hot);
        all.extend(Policy::ALL.map(Self::Reserve));
        all.push(Self::ReserveOneByOne);
        all.extend(Policy::ALL.map(Self::Settle));
        all.push(Self::Postgresql);
        all
    }

    pub fn name(self) -> String {
        match self {
            Self::Wire(kind) => kind.name().to_owned(),
            Self::Hot => "Authorize, one account".to_owned(),
            Self::Reserve(policy) => format!("Redis, reserve, {}", policy.name()),
            Self::ReserveOneByOne => "Redis, reserve, one by one".to_owned(),
            Self::Settle(policy) => format!("Redis, settle, {}", policy.name()),
            Self::Postgresql => "PostgreSQL, one account".to_owned(),
        }
    }

    /// What it is compared with.
    pub fn beside(self) -> Self {
        match self {
            Self::Wire(kind) if kind.floor() == Kind::FloorAuthorize => Self::Reserve(Policy::Everysec),
            Self::Reserve(_) | Self::ReserveOneByOne => Self::Reserve(Policy::Everysec),
            Self::Wire(_) | Self::Settle(_) => Self::Settle(Policy::Always),
            Self::Hot | Self::Postgresql => Self::Postgresql,
        }
    }
}

/// What one did with so many in flight.
pub struct Line {
    pub in_flight: usize,
    pub who: Who,
    pub tally: Tally,
}

struct All {
    bench: Bench,
    wires: Wires,
    redises: Vec<Redis>,
    postgresql: Postgresql,
    /// The number of the next call about the hot account.
    hot: u64,
}

pub async fn run(form: &Form, transport: Transport) -> Result<Vec<Line>> {
    // What is missing on this machine shows before the accounts are opened.
    let postgresql = Postgresql::start().await?;
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let most = LEVELS.iter().map(|level| level.in_flight).max().unwrap_or_default();
    let mut redises = Vec::new();
    for policy in Policy::ALL {
        redises.push(Redis::start(policy, transport, form.size, most, disk.path()).await?);
    }
    let site = Site::open()?;
    let bench = Bench::start(&site, form).await?;
    let wires = bench.connect(transport).await?;
    let mut all = All { bench, wires, redises, postgresql, hot: HOT };
    let mut lines = Vec::new();
    for level in LEVELS {
        lines.extend(all.level(form, level).await?);
    }
    Ok(lines)
}

impl All {
    async fn level(&mut self, form: &Form, level: Level) -> Result<Vec<Line>> {
        let mut lines = Vec::new();
        for who in Who::all() {
            if !matches!(who, Who::Wire(kind) if !form.measures(kind)) {
                lines.push(Line { in_flight: level.in_flight, who, tally: Tally::new(form.rounds)? });
            }
        }
        self.turn(form, level, |_, _| Ok(())).await?;
        for round in 0..form.rounds {
            for _ in 0..form.turns {
                self.turn(form, level, |who, burst| {
                    let line = lines.iter_mut().find(|line| line.who == who);
                    line.map_or(Ok(()), |line| line.tally.add(round, burst))
                })
                .await?;
            }
        }
        Ok(lines)
    }

    async fn turn(
        &mut self,
        form: &Form,
        level: Level,
        mut seen: impl FnMut(Who, &Burst) -> Result<()>,
    ) -> Result<()> {
        self.bench.turn(form, level, &self.wires, |kind, burst| seen(Who::Wire(kind), burst)).await?;
        seen(Who::Hot, &self.hot(level).await?)?;
        for redis in &mut self.redises {
            let [reserved, settled] = redis.turn(level, Asked::Pipelined).await?;
            seen(Who::Reserve(redis.policy), &reserved)?;
            seen(Who::Settle(redis.policy), &settled)?;
            if redis.policy == Policy::Everysec {
                let [reserved, _] = redis.turn(level, Asked::OneByOne).await?;
                seen(Who::ReserveOneByOne, &reserved)?;
            }
        }
        seen(Who::Postgresql, &self.postgresql.burst(level.burst / POSTGRESQL_PART).await?)
    }

    /// Authorises about one account, then commits them.
    async fn hot(&mut self, level: Level) -> Result<Burst> {
        let account = Plan::Plain.account(0);
        let call = |number| Request::Authorize(calls::authorize(account.clone(), number));
        let runs = (self.hot..self.hot + level.burst).map(call).collect();
        self.hot += level.burst;
        let burst = self.bench.burst(Kind::Authorize, level, &self.wires, runs).await?;
        self.bench.burst(Kind::Commit, level, &self.wires, commits(&burst)?).await?;
        Ok(burst)
    }
}
