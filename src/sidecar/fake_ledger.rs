//! A ledger in the same process for tests: the real account machine, without a disk or a wire.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::upstream::Upstream;
use crate::engine::account::{Account, Command, Leasing, Report, RunAsk, RunReply, Work};
use crate::engine::contract::Playbooks;
use crate::grpc::lease_client::{
    self as ledger, Attached, DecideError, Hello, Leased, LinkError, Sender, Told,
};
use crate::grpc::status::of_fault;
use crate::lease::terms::HandleKey;
use crate::lease::{Ask, SidecarRecord};
use crate::playbook;
use crate::runtime::Clock;
use crate::types::{AccountId, Credits, Epoch, Name, SidecarId, Timestamp};

pub const PLAYBOOK: &str = "
bursar: 1
playbook: test
version: 1
credit: {unit: output, price: 0.10, currency: USD}
actions:
  draft: {weight: 1, reserve: {ttl: 15m, longest: 24h}}
  ping: {weight: 2, trigger: event}
plans:
  hard:
    allowance: {credits: 500, every: month}
  teams:
    allowance: {credits: 500, every: month}
    pooling: {scope: team}
  capped:
    allowance: {credits: 1000000, every: month}
    caps: [{name: monthly, per: account, limit: 300, every: month}]
";

#[derive(Clone, Default)]
pub struct FakeLedger(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    playbooks: Playbooks,
    sources: Vec<String>,
    acknowledged: BTreeMap<SidecarId, u64>,
    starts: BTreeMap<SidecarId, u64>,
    watchers: Vec<mpsc::UnboundedSender<Result<Told, LinkError>>>,
    away: bool,
    /// How long an attach waits for its answer.
    attach_takes: Duration,
    /// Answers to reports that get lost on their way.
    lose_answers: usize,
    /// Answers to asks for leases that get lost on their way.
    lose_grants: usize,
    /// How many accounts each call for several leases named.
    together: Vec<usize>,
    /// The account whose asks fail.
    faulty: Option<AccountId>,
    /// Reports wait.
    hold_reports: bool,
    /// Of each report that was taken: the recall that it claims as answered, and whether credits of the first account
    /// are leased after it.
    claims: Vec<(u64, bool)>,
    pub records: u64,
}

fn now() -> Timestamp {
    Clock::system().wall()
}

impl FakeLedger {
    pub fn new(accounts: &[(&str, &str)]) -> Self {
        let ledger = Self::default();
        {
            let mut state = ledger.0.lock();
            state.playbooks.publish(playbook::load(PLAYBOOK).unwrap());
            state.sources.push(PLAYBOOK.to_owned());
        }
        for (account, plan) in accounts {
            ledger.subscribe(account, plan);
        }
        ledger
    }

    pub fn subscribe(&self, account: &str, plan: &str) {
        let key = HandleKey { id: 1, secret: [7; 32] };
        let (plan, overlay) = (Name::parse(plan).unwrap(), Box::default());
        self.administer(account, &Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay });
    }

    pub fn administer(&self, account: &str, command: &Command) {
        let id = AccountId::parse(account).unwrap();
        let state = &mut *self.0.lock();
        let account = state.accounts.entry(id.clone()).or_insert_with(|| Account::new(id));
        let mut work = Work::begin(account, &state.playbooks, now());
        work.administer(command, None).unwrap();
        work.finish();
    }

    /// From now on nothing gets through, or it does again.
    pub fn away(&self, away: bool) {
        let mut state = self.0.lock();
        state.away = away;
        if away {
            state.watchers.clear();
        }
    }

    pub fn attach_takes(&self, time: Duration) {
        self.0.lock().attach_takes = time;
    }

    pub fn lose_answers(&self, reports: usize) {
        self.0.lock().lose_answers = reports;
    }

    pub fn together(&self) -> Vec<usize> {
        self.0.lock().together.clone()
    }

    pub fn faulty(&self, account: &str) {
        self.0.lock().faulty = AccountId::parse(account).ok();
    }

    pub fn hold_reports(&self, hold: bool) {
        self.0.lock().hold_reports = hold;
    }

    pub fn claims(&self) -> Vec<(u64, bool)> {
        self.0.lock().claims.clone()
    }

    pub fn lose_grants(&self, grants: usize) {
        self.0.lock().lose_grants = grants;
    }

    pub fn recall(&self, account: &str) {
        self.recall_as(account, 0);
    }

    pub fn recall_as(&self, account: &str, number: u64) {
        let told = Told::Recall(AccountId::parse(account).unwrap(), number);
        self.0.lock().watchers.retain(|watcher| watcher.send(Ok(told.clone())).is_ok());
    }

    pub fn with<R>(&self, account: &str, look: impl FnOnce(&Account) -> R) -> R {
        look(&self.0.lock().accounts[account])
    }

    pub fn spent(&self, account: &str) -> Credits {
        self.with(account, |account| account.balance(now(), &BTreeMap::new()).spent)
    }

    /// Held and available.
    pub fn balance(&self, account: &str) -> (Credits, Credits) {
        let balance = self.with(account, |account| account.balance(now(), &BTreeMap::new()));
        (balance.held, balance.available)
    }

    pub fn leased(&self, account: &str) -> Credits {
        self.with(account, |account| {
            account.leases.values().flat_map(|lease| lease.out.values()).copied().sum()
        })
    }

    fn reached(&self) -> Result<(), LinkError> {
        if self.0.lock().away { Err(LinkError::Unreachable("away".to_owned())) } else { Ok(()) }
    }

    fn current(&self, who: Sender) -> Result<(), LinkError> {
        self.reached()?;
        let current = self.0.lock().starts.get(&who.sidecar) == Some(&who.epoch.start);
        if current { Ok(()) } else { Err(LinkError::Fenced) }
    }
}

impl Upstream for FakeLedger {
    type Watching = UnboundedReceiverStream<Result<Told, LinkError>>;

    async fn attach(&self, hello: &Hello) -> Result<Attached, LinkError> {
        let &Hello { sidecar, start, .. } = hello;
        self.reached()?;
        let takes = self.0.lock().attach_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let mut state = self.0.lock();
        let newest = state.starts.entry(sidecar).or_default();
        if *newest > start {
            return Err(LinkError::Fenced);
        }
        *newest = start;
        Ok(Attached {
            epoch: Epoch { generation: 1, start },
            generation: 1,
            now: now(),
            playbooks: state.sources.clone(),
            acknowledged: state.acknowledged.get(&sidecar).copied().unwrap_or_default(),
        })
    }

    async fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        _: Duration,
    ) -> Result<Leased, LinkError> {
        self.current(who)?;
        tokio::task::yield_now().await;
        let state = &mut *self.0.lock();
        if state.faulty.as_ref() == Some(account) {
            return Err(LinkError::Refused("the account is broken".to_owned()));
        }
        let Some(account) = state.accounts.get_mut(account) else { return Ok(Leased::Unknown) };
        let mut work = Work::begin(account, &state.playbooks, now());
        let leasing = work.lease(who.sidecar, who.epoch, ask, true);
        work.finish();
        account.verify().unwrap();
        if state.lose_grants > 0 && matches!(&leasing, Leasing::Granted(grant) if !grant.slices.is_empty()) {
            state.lose_grants -= 1;
            return Err(LinkError::Unreachable("the answer was lost".to_owned()));
        }
        match leasing {
            Leasing::Granted(grant) => Ok(Leased::Granted(grant)),
            Leasing::Unknown => Ok(Leased::Unknown),
            Leasing::Fenced => Err(LinkError::Fenced),
            Leasing::Overtaken => Err(LinkError::Unreachable("overtaken".to_owned())),
            Leasing::Recall(_) => panic!("nothing more comes from others"),
        }
    }

    async fn lease_all(
        &self,
        who: Sender,
        asks: &[(AccountId, Ask)],
        wait: Duration,
    ) -> Vec<Result<Leased, LinkError>> {
        self.0.lock().together.push(asks.len());
        let mut answers = Vec::new();
        for (account, ask) in asks {
            answers.push(self.lease(who, account, ask, wait).await);
        }
        answers
    }

    async fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        _: &[ledger::NamedRun],
        _: Duration,
    ) -> Result<RunReply, DecideError> {
        self.current(who).map_err(|why| DecideError::Unreachable(why.to_string()))?;
        let state = &mut *self.0.lock();
        let Some(account) = state.accounts.get_mut(account) else {
            return Err(DecideError::Fault(of_fault(&crate::engine::Fault::AccountUnknown)));
        };
        let mut work = Work::begin(account, &state.playbooks, now());
        let reply = work.decide(ask, who.sidecar);
        work.finish();
        account.verify().unwrap();
        reply.map_err(|fault| DecideError::Fault(of_fault(&fault)))
    }

    async fn report(&self, who: Sender, report: ledger::Report) -> Result<u64, LinkError> {
        while self.0.lock().hold_reports {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.current(who)?;
        let state = &mut *self.0.lock();
        let acknowledged = state.acknowledged.entry(who.sidecar).or_default();
        let mut last = 0;
        for reported in report.records {
            assert!(reported.number > last, "records are told in order");
            last = reported.number;
            if reported.number <= *acknowledged {
                continue;
            }
            let record: SidecarRecord = minicbor::decode(&reported.body).unwrap();
            if let Some(account) = state.accounts.get_mut(&record.account) {
                let mut work = Work::begin(account, &state.playbooks, now());
                work.start(who.sidecar, who.epoch);
                let report = Report { epoch: reported.epoch, number: reported.number, event: record.event };
                work.absorb(who.sidecar, report);
                work.finish();
                account.verify().unwrap();
            }
            *acknowledged = reported.number;
            state.records += 1;
        }
        let leased = state.accounts.values().next().is_some_and(|account| {
            account.leases.values().flat_map(|lease| lease.out.values()).any(|out| out.is_positive())
        });
        state.claims.push((report.recalls_answered, leased));
        if state.lose_answers > 0 {
            state.lose_answers -= 1;
            return Err(LinkError::Unreachable("the answer was lost".to_owned()));
        }
        Ok(*acknowledged)
    }

    async fn watch(&self, who: Sender) -> Result<Self::Watching, LinkError> {
        self.current(who)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        self.0.lock().watchers.push(sender);
        Ok(UnboundedReceiverStream::new(receiver))
    }
}
