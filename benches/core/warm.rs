//! A wallet in steady use: a lease that is renewed, runs that begin and end, records that reach the disk.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{anyhow, bail, ensure};
use bursar_core::credit::cap::Need;
use bursar_core::credit::{Block, Decision, PoolId, Subject};
use bursar_core::engine::contract::Playbooks;
use bursar_core::engine::wallet::{Here, Link, Log, Step, Wallet};
use bursar_core::engine::{Authorize, AuthorizeAnswer, Commit, RunAnswer};
use bursar_core::entry::Entry;
use bursar_core::lease::terms::HandleKey;
use bursar_core::lease::{AccountTerms, Ask, Grant, Room, WalletEvent};
use bursar_core::playbook;
use bursar_core::playbook::charge::{Quantities, RunResult};
use bursar_core::playbook::draw_order::Species;
use bursar_core::types::{AccountId, BlockId, Credits, LeaseId, Name, ReservationId, Timestamp};

use super::plans::Plan;

/// From one run to the next, in microseconds. Runs are remembered for their minute.
const PACE: i64 = 10_000;

/// After so many runs all that is remembered is as much as it ever is.
pub const WARM_UP: u64 = 7_000;

/// 1 January 2026.
const BEGIN: i64 = 1_767_225_600_000_000;

/// A lease lasts a minute, a period a month.
const LEASE: i64 = 60_000_000;
const PERIOD: i64 = 31 * 86_400_000_000;

/// Of everything that is leased there is plenty.
const PLENTY: i64 = 1_000_000_000;

/// Room that one run's need brings: what several hundred thousand runs use.
const ROOM: i64 = 10_000_000;

/// Users of an account, each with counters of their own.
const USERS: u64 = 7;

pub struct Warm {
    wallet: Wallet,
    playbooks: Arc<Playbooks>,
    log: Paper,
    at: Timestamp,
    plan: Plan,
    users: Vec<Name>,
    names: Names,
    reserved: Quantities,
    used: Quantities,
    /// Grants so far.
    grants: u32,
    begun: u64,
}

/// What every run is called by.
struct Names {
    action: Name,
    team: Name,
    agent: Name,
    dimensions: BTreeMap<Name, Name>,
}

/// A journal that forgets: records are put into bytes, and are durable once `flush` says so.
#[derive(Default)]
struct Paper {
    scratch: Vec<u8>,
    last: u64,
    durable: u64,
}

impl Log for Paper {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.scratch.clear();
        Entry::Record(account, event).write(&mut self.scratch);
    }

    fn append(&mut self, _: &AccountId, _: bool) -> u64 {
        self.last += 1;
        self.last
    }

    fn durable(&self) -> u64 {
        self.durable
    }

    fn last(&self) -> u64 {
        self.last
    }
}

/// The plan's playbook, as all accounts share it.
pub fn published(plan: Plan) -> anyhow::Result<Arc<Playbooks>> {
    let mut playbooks = Playbooks::default();
    playbooks.publish(playbook::load(&plan.playbook()?).map_err(|error| anyhow!("{error:?}"))?);
    Ok(Arc::new(playbooks))
}

impl Warm {
    pub fn new(plan: Plan, playbooks: &Arc<Playbooks>, warm_up: u64) -> anyhow::Result<Self> {
        let dimensions = plan.dimensions().map(|(key, value)| Ok((name(key)?, name(value)?)));
        let account = AccountId::parse("acme").map_err(|error| anyhow!("{error:?}"))?;
        let mut warm = Self {
            wallet: Wallet::new(account),
            playbooks: Arc::clone(playbooks),
            log: Paper::default(),
            at: Timestamp::from_micros(BEGIN),
            plan,
            users: (0..USERS).map(|user| name(&format!("user-{user}"))).collect::<Result<_, _>>()?,
            names: Names {
                action: name("ticket.answer")?,
                team: name("support")?,
                agent: name("triage")?,
                dimensions: dimensions.collect::<anyhow::Result<_>>()?,
            },
            reserved: quantity("1.5")?,
            used: quantity("1")?,
            grants: 0,
            begun: 0,
        };
        for _ in 0..warm_up {
            warm.run()?;
        }
        Ok(warm)
    }

    /// Begins and ends one run.
    pub fn run(&mut self) -> anyhow::Result<()> {
        let call = self.next();
        self.begin(&call)?;
        let commit = self.commit_of(&call);
        ended(self.commit(&commit)?)?;
        self.pass_time()
    }

    /// A run begins, whatever the ledger must be asked for.
    pub fn begin(&mut self, call: &Authorize) -> anyhow::Result<()> {
        // Credits, then room, then nothing is lacking.
        for _ in 0..4 {
            match self.authorize(call)? {
                Step::Lease(ask) => self.lend(&ask)?,
                step => return begun(step),
            }
        }
        bail!("the ledger is asked without end")
    }

    /// What is asked next: no two have the same id.
    pub fn next(&mut self) -> Authorize {
        self.begun += 1;
        let mut id = [0; 16];
        // As a hash would be spread: ids are looked up by their bits.
        let drawn = u128::from(self.begun).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        id.copy_from_slice(&drawn.to_be_bytes());
        let place = usize::try_from(self.begun % USERS).unwrap_or_default();
        Authorize {
            id: ReservationId(id),
            action: self.names.action.clone(),
            subject: Subject {
                team: Some(self.names.team.clone()),
                user: self.users.get(place).cloned(),
                agent: Some(self.names.agent.clone()),
            },
            quantities: Some(self.reserved.clone()),
            dimensions: self.names.dimensions.clone(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: Some(60_000_000),
            validate_only: false,
        }
    }

    pub fn commit_of(&self, call: &Authorize) -> Commit {
        Commit { quantities: Some(self.used.clone()), ..Commit::new(call.id, RunResult::Succeeded) }
    }

    pub fn authorize(&mut self, call: &Authorize) -> anyhow::Result<Step<AuthorizeAnswer>> {
        let here = Here { playbooks: &self.playbooks, at: self.at };
        Ok(self.wallet.authorize(call, false, Link::Untried, here, &mut self.log)?)
    }

    pub fn commit(&mut self, call: &Commit) -> anyhow::Result<Step<RunAnswer>> {
        let here = Here { playbooks: &self.playbooks, at: self.at };
        Ok(self.wallet.commit(call, "", Link::Untried, here, &mut self.log)?)
    }

    /// The disk has what was written, and time goes on, as a sidecar lets it.
    pub fn pass_time(&mut self) -> anyhow::Result<()> {
        self.log.durable = self.log.last;
        self.at = self.at.plus_micros(PACE);
        if self.wallet.next_timer().is_none_or(|due| due > self.at) {
            return Ok(());
        }
        let here = Here { playbooks: &self.playbooks, at: self.at };
        match self.wallet.tick(here, &mut self.log) {
            Some(ask) => self.lend(&ask),
            None => Ok(()),
        }
    }

    /// The ledger's part: it gives what is asked for, and plenty of it.
    fn lend(&mut self, ask: &Ask) -> anyhow::Result<()> {
        let slices = if self.wallet.book.pools.is_empty() {
            self.plan.blocks(&self.users, self.at)
        } else {
            Vec::new()
        };
        let room =
            |need: &Need| Room { key: need.key.clone(), amount: Credits::whole(ROOM), ends_at: need.ends_at };
        self.grants += 1;
        let grant = Grant {
            lease: LeaseId(1),
            number: self.grants,
            slices,
            rooms: ask.caps.iter().chain(&ask.ahead).map(room).collect(),
            terms: self.terms()?,
            lasts: LEASE,
            rest: (Credits::whole(PLENTY), Credits::ZERO),
            rest_caps: Vec::new(),
            out_of_reach: None,
            at: self.at,
            emergency: None,
            scarce: false,
            rest_pools: Vec::new(),
            dry: Vec::new(),
        };
        let here = Here { playbooks: &self.playbooks, at: self.at };
        self.wallet.leased(&grant, self.at, here, &mut self.log);
        Ok(())
    }

    fn terms(&self) -> anyhow::Result<AccountTerms> {
        Ok(AccountTerms {
            plan: name(self.plan.plan())?,
            version: 1,
            origin: Timestamp::from_micros(BEGIN),
            zone: "UTC".to_owned(),
            suspended: false,
            overage_limit: None,
            period_ends: Timestamp::from_micros(BEGIN + PERIOD),
            key: HandleKey { id: 1, secret: [7; 32] },
            owes: false,
            overlay: Default::default(),
            refunds: Vec::new(),
        })
    }
}

/// An ordinary run may proceed.
pub fn begun(step: Step<AuthorizeAnswer>) -> anyhow::Result<()> {
    match step {
        Step::Done { answer, .. } if answer.decision == Decision::Allowed => Ok(()),
        other => bail!("the run may not begin: {other:?}"),
    }
}

pub fn ended(step: Step<RunAnswer>) -> anyhow::Result<()> {
    match step {
        Step::Done { answer, .. } => {
            ensure!(answer.charged.is_positive(), "the run was free: {answer:?}");
            Ok(())
        }
        other => bail!("the run does not end: {other:?}"),
    }
}

/// A block with plenty in it, of one that pays.
pub fn block(number: u64, pool: PoolId, at: Timestamp) -> Block {
    let mut block = Block::new(BlockId(number), pool, Species::OnDemand, at);
    block.expires_at = Some(Timestamp::from_micros(BEGIN + PERIOD + i64::try_from(number).unwrap_or(0)));
    block.with(Credits::whole(PLENTY))
}

fn name(text: &str) -> anyhow::Result<Name> {
    Name::parse(text).map_err(|error| anyhow!("`{text}`: {error:?}"))
}

fn quantity(text: &str) -> anyhow::Result<Quantities> {
    Ok(Quantities::Single(text.parse().map_err(|error| anyhow!("`{text}`: {error:?}"))?))
}
