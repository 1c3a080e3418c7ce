//! A real ledger on a real port and disk, with the engine's own wallet as the sidecar.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bursar::config::{LedgerConfig, Sources, load};
use bursar::engine::account::{RunAsk, RunReply};
use bursar::engine::wallet::{Here, Link, Log, Step, Wallet};
use bursar::engine::{Authorize, Commit, Playbooks};
use bursar::grpc::lease_client::{DecideError, LeaseClient, Leased, LinkError, Reported, Sender, Told};
use bursar::grpc::proto::ledger_v1 as wire;
use bursar::grpc::proto::ledger_v1::account_service_client::AccountServiceClient;
use bursar::grpc::proto::ledger_v1::audit_service_client::AuditServiceClient;
use bursar::grpc::proto::ledger_v1::playbook_service_client::PlaybookServiceClient;
use bursar::lease::{Ask, LeaseTotals, SidecarRecord, WalletEvent};
use bursar::playbook::RunResult;
use bursar::runtime::{Shutdown, Stopper};
use bursar::types::{AccountId, Credits, Epoch, Name, ReservationId, SidecarId, Timestamp};
use tokio_stream::StreamExt;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::postgresql::{Cluster, Database};

pub const PLAYBOOK: &str = "
bursar: 1
playbook: tests
version: 1
credit: {unit: output, price: 0.10, currency: USD, scale: 2}
actions: {draft: {weight: 1}, note: {weight: 1, basic: true}}
plans:
  basic: {allowance: {credits: 100, every: month}}
  soft: {allowance: {credits: 10, every: month}, overage: [{soft: {up_to: 20, price: 0.12}}]}
";

pub const WAIT: Duration = Duration::from_secs(5);

/// Where a ledger keeps its accounts.
pub enum Place {
    Embedded(tempfile::TempDir),
    PostgreSql(Database),
}

impl Place {
    pub async fn embedded() -> Self {
        Self::Embedded(tempfile::tempdir().unwrap())
    }

    pub async fn postgresql() -> Self {
        Self::PostgreSql(Database::migrated(Cluster::shared()).await)
    }

    fn keeps_totals(&self) -> bool {
        matches!(self, Self::PostgreSql(_))
    }

    /// A copy of a store that nobody has open, to be put back later.
    pub async fn backup(&self) -> Backup {
        match self {
            Self::Embedded(dir) => {
                let copy = tempfile::tempdir().unwrap();
                copy_all(dir.path(), copy.path());
                Backup::Directory(copy)
            }
            Self::PostgreSql(database) => Backup::Database(database.copy().await),
        }
    }

    /// Everything since is lost.
    pub async fn restore(&self, backup: &Backup) {
        match (self, backup) {
            (Self::Embedded(dir), Backup::Directory(copy)) => {
                std::fs::remove_dir_all(dir.path()).unwrap();
                copy_all(copy.path(), dir.path());
            }
            (Self::PostgreSql(database), Backup::Database(copy)) => database.replace_by(copy).await,
            _ => panic!("a backup of another store"),
        }
    }

    fn flags(&self) -> BTreeMap<&'static str, String> {
        let mut flags = BTreeMap::from([("listen", "127.0.0.1:0".to_owned())]);
        match self {
            Self::Embedded(dir) => flags.insert("data_dir", dir.path().display().to_string()),
            Self::PostgreSql(database) => flags.insert("database", database.url.clone()),
        };
        flags
    }
}

pub enum Backup {
    Directory(tempfile::TempDir),
    Database(Database),
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Each of these holds on every store.
macro_rules! on_every_store {
    ($($name:ident)*) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::Place::embedded().await).await;
            })*
        }

        mod on_postgresql {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(&super::Place::postgresql().await).await;
            })*
        }
    };
}

on_every_store! {
    a_charge_reaches_the_ledger_once_and_survives_its_restart
    idle_slices_are_recalled_before_the_ledger_says_no
    an_administrator_is_heard_at_once
    a_process_that_is_no_longer_current_is_fenced
    the_ledger_decides_and_its_faults_are_the_callers_answer
    a_record_that_cannot_be_applied_stops_no_other
    time_does_its_work_without_anybody_asking
    writes_that_cannot_be_are_refused_by_name
    a_journal_is_read_back_and_credits_move_between_accounts
}

/// One life of the ledger.
pub struct Server {
    pub address: SocketAddr,
    stopper: Stopper,
    task: tokio::task::JoinHandle<anyhow::Result<()>>,
}

impl Server {
    pub async fn start(place: &Place) -> Self {
        loop {
            match Self::tried(place).await {
                Ok(server) => return server,
                // A process that another test starts at this moment has this one's files, and their locks, until it runs.
                Err(error) if error.to_string().contains("is in use by another process") => {}
                Err(error) => panic!("the ledger ended before it was ready: {error:#}"),
            }
            tokio::task::yield_now().await;
        }
    }

    /// Its sidecars find it again at the same socket.
    pub async fn start_at(place: &Place, socket: &std::path::Path) -> Self {
        let mut flags = place.flags();
        flags.insert("socket", socket.display().to_string());
        Self::with_flags(flags).await.unwrap()
    }

    async fn tried(place: &Place) -> anyhow::Result<Self> {
        Self::with_flags(place.flags()).await
    }

    async fn with_flags(flags: BTreeMap<&'static str, String>) -> anyhow::Result<Self> {
        let sources = Sources { flags, ..Sources::default() };
        let config = load::<LedgerConfig>(&sources).unwrap().config;
        let (stopper, shutdown) = Shutdown::new();
        let (said, ready) = tokio::sync::oneshot::channel();
        let task = tokio::spawn(async move {
            bursar::ledger::run(&config, move |at| said.send(at.tcp.unwrap()).unwrap(), shutdown).await
        });
        match ready.await {
            Ok(address) => Ok(Self { address, stopper, task }),
            Err(_) => Err(task.await?.expect_err("it ended before it was ready")),
        }
    }

    pub async fn stop(self) {
        self.stopper.stop();
        self.task.await.unwrap().unwrap();
    }

    pub async fn channel(&self) -> Channel {
        tonic::transport::Endpoint::from_shared(self.url()).unwrap().connect().await.unwrap()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub async fn accounts(&self) -> AccountServiceClient<Channel> {
        AccountServiceClient::new(self.channel().await)
    }

    pub async fn publish(&self, document: &str, request_id: &str) -> Result<u32, Status> {
        let request = wire::PlaybookServicePublishRequest {
            document: document.to_owned(),
            validate_only: request_id.is_empty(),
            request_id: request_id.to_owned(),
        };
        let published = PlaybookServiceClient::new(self.channel().await).publish(request).await?;
        Ok(published.into_inner().version.unwrap().version)
    }

    pub async fn subscribe(&self, account: &str, plan: &str) -> Result<wire::Account, Status> {
        let request = wire::SubscribeRequest {
            account: account.to_owned(),
            plan: plan.to_owned(),
            request_id: format!("subscribe {account}"),
            ..Default::default()
        };
        Ok(self.accounts().await.subscribe(request).await?.into_inner().account.unwrap())
    }

    pub async fn grant(&self, account: &str, credits: &str, request_id: &str) -> Result<u64, Status> {
        let request = wire::GrantRequest {
            account: account.to_owned(),
            credits: credits.to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        Ok(self.accounts().await.grant(request).await?.into_inner().grant)
    }

    /// (available, held, spent, leased)
    pub async fn balance(&self, account: &str) -> (String, String, String, String) {
        let request = wire::GetBalanceRequest { account: account.to_owned(), pool: String::new() };
        let answer = self.accounts().await.get_balance(request).await.unwrap().into_inner();
        let balance = answer.balance.unwrap();
        (balance.available, balance.held, balance.spent, answer.leased)
    }
}

/// A sidecar in miniature: one wallet, its journal in memory, a connection.
pub struct Sidecar {
    pub client: LeaseClient,
    pub who: Sender,
    pub playbooks: Playbooks,
    pub wallet: Wallet,
    pub journal: Journal,
    reported: usize,
    pub now: Timestamp,
    runs: u8,
}

#[derive(Default)]
pub struct Journal(Vec<SidecarRecord>, Option<SidecarRecord>);

impl Log for Journal {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.1 = Some(SidecarRecord { account: account.clone(), event: event.clone() });
    }

    fn append(&mut self, _: &AccountId, _: bool) -> u64 {
        self.0.extend(self.1.take());
        self.0.len() as u64
    }

    fn durable(&self) -> u64 {
        self.0.len() as u64
    }

    fn last(&self) -> u64 {
        self.0.len() as u64
    }
}

impl Sidecar {
    pub async fn attach(server: &Server, id: u8, account: &str) -> Self {
        let client = LeaseClient::new(&server.url()).unwrap();
        let sidecar = SidecarId([id; 16]);
        let attached = client.attach(sidecar, 1).await.unwrap();
        let mut playbooks = Playbooks::default();
        for source in &attached.playbooks {
            playbooks.publish(bursar::playbook::load(source).unwrap());
        }
        Self {
            client,
            who: Sender { sidecar, epoch: attached.epoch },
            playbooks,
            wallet: Wallet::new(AccountId::parse(account).unwrap()),
            journal: Journal::default(),
            reported: 0,
            now: attached.now,
            runs: 0,
        }
    }

    pub async fn lease(&mut self, ask: &Ask) {
        let leased = self.client.lease(self.who, &self.wallet.account, ask, WAIT).await.unwrap();
        let Leased::Granted(grant) = leased else { panic!("{leased:?}") };
        self.now = grant.at;
        let here = Here { playbooks: &self.playbooks, at: self.now };
        self.wallet.leased(&grant, self.now, here, &mut self.journal);
    }

    /// A run of so many drafts; answers its reservation.
    pub async fn authorize(&mut self, quantity: &str) -> Option<ReservationId> {
        self.runs += 1;
        let mut id = [self.runs; 16];
        id[0] = self.who.sidecar.0[0];
        let call = call(ReservationId(id), quantity);
        let mut link = Link::Untried;
        loop {
            let here = Here { playbooks: &self.playbooks, at: self.now };
            match self.wallet.authorize(&call, false, link, here, &mut self.journal).unwrap() {
                Step::Done { answer, .. } => return answer.reservation,
                Step::Lease(ask) => {
                    assert_eq!(link, Link::Untried);
                    let known = self.wallet.contract.is_some();
                    self.lease(&ask).await;
                    link = if known { Link::Asked } else { Link::Untried };
                }
                Step::Decide => {
                    self.report().await;
                    let ask = RunAsk::Authorize(Box::new(call));
                    let decided = self.client.decide(self.who, &self.wallet.account, &ask, WAIT).await;
                    let Ok(RunReply::Authorize(answer)) = decided else { panic!("{decided:?}") };
                    return answer.reservation;
                }
            }
        }
    }

    pub fn commit(&mut self, id: ReservationId) {
        let commit = Commit::new(id, RunResult::Succeeded);
        let here = Here { playbooks: &self.playbooks, at: self.now };
        let step = self.wallet.commit(&commit, "", Link::Untried, here, &mut self.journal).unwrap();
        assert!(matches!(step, Step::Done { .. }));
    }

    pub fn records(&self, from: usize) -> Vec<Reported> {
        let numbered = self.journal.0.iter().zip(1u64..).skip(from).filter(|(r, _)| r.event.is_reported());
        numbered
            .map(|(record, number)| {
                let body = minicbor::to_vec(record).unwrap();
                Reported { number, epoch: self.who.epoch, body }
            })
            .collect()
    }

    /// Reports what is new, with the totals.
    pub async fn report(&mut self) -> u64 {
        let records = self.records(self.reported);
        self.reported = self.journal.0.len();
        let totals = vec![(self.wallet.account.clone(), self.wallet.totals())];
        self.client.report(self.who, records, totals).await.unwrap()
    }
}

fn call(id: ReservationId, quantity: &str) -> Authorize {
    let quantity = quantity.parse().unwrap();
    Authorize {
        id,
        action: Name::parse("draft").unwrap(),
        subject: Default::default(),
        quantities: Some(bursar::playbook::Quantities::Single(quantity)),
        dimensions: Default::default(),
        run_id: None,
        parent: None,
        retry_of: None,
        ttl: None,
        validate_only: false,
    }
}

/// Waits until the watch says that the account is suspended. Terms may come twice, never older ones last.
pub async fn suspended(told: &mut (impl StreamExt<Item = Result<Told, LinkError>> + Unpin)) {
    loop {
        let heard = tokio::time::timeout(WAIT, told.next()).await.expect("nobody told it");
        match heard.unwrap().unwrap() {
            Told::Terms(_, terms) if terms.suspended => return,
            Told::Terms(..) | Told::Playbook(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn text(parts: (&str, &str, &str, &str)) -> (String, String, String, String) {
    (parts.0.to_owned(), parts.1.to_owned(), parts.2.to_owned(), parts.3.to_owned())
}

pub fn refusal(status: &Status) -> (Code, String) {
    (
        status.code(),
        status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default(),
    )
}

async fn a_charge_reaches_the_ledger_once_and_survives_its_restart(place: &Place) {
    let server = Server::start(place).await;
    assert_eq!(server.publish(PLAYBOOK, "p1").await.unwrap(), 1);
    server.subscribe("acme", "basic").await.unwrap();
    let grant = server.grant("acme", "50.25", "g1").await.unwrap();

    let mut sidecar = Sidecar::attach(&server, 7, "acme").await;
    let run = sidecar.authorize("3").await.unwrap();
    let open = sidecar.authorize("2").await.unwrap();
    sidecar.commit(run);
    let acknowledged = sidecar.report().await;
    assert_eq!(acknowledged, sidecar.records(0).last().unwrap().number);
    let balance = server.balance("acme").await;
    assert_eq!((&*balance.0, &*balance.1, &*balance.2), ("145.25", "2", "3"));

    // The same report again, as after a lost answer.
    let again = sidecar.client.report(sidecar.who, sidecar.records(0), Vec::new()).await.unwrap();
    assert_eq!(again, acknowledged);
    assert_eq!(server.balance("acme").await, balance);
    // The same write again.
    assert_eq!(server.grant("acme", "50.25", "g1").await.unwrap(), grant);
    assert_eq!(server.balance("acme").await, balance);
    server.stop().await;

    let server = Server::start(place).await;
    // Totals are what was heard last. A database keeps them; to a process that has only its journal, nobody has told them yet.
    let found = server.balance("acme").await;
    let expected = if place.keeps_totals() { ("145.25", "2", "3") } else { ("147.25", "0", "3") };
    assert_eq!((&*found.0, &*found.1, &*found.2), expected);
    sidecar.client = LeaseClient::new(&server.url()).unwrap();
    let attached = sidecar.client.attach(sidecar.who.sidecar, 1).await.unwrap();
    assert_eq!((attached.epoch, attached.acknowledged), (sidecar.who.epoch, acknowledged));
    assert_eq!(attached.playbooks, [PLAYBOOK]);
    assert_eq!(sidecar.report().await, acknowledged);
    assert_eq!(server.balance("acme").await, balance);
    assert_eq!(server.publish(PLAYBOOK, "p1").await.unwrap(), 1);
    assert_eq!(server.grant("acme", "50.25", "g1").await.unwrap(), grant);
    assert_eq!(
        refusal(&server.grant("acme", "50.5", "g1").await.unwrap_err()),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );
    sidecar.commit(open);
    sidecar.report().await;
    let settled = server.balance("acme").await;
    assert_eq!((&*settled.0, &*settled.1, &*settled.2), ("145.25", "0", "5"));
    server.stop().await;
}

async fn idle_slices_are_recalled_before_the_ledger_says_no(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let mut first = Sidecar::attach(&server, 1, "acme").await;
    let mut second = Sidecar::attach(&server, 2, "acme").await;
    let mut told = first.client.watch(first.who).await.unwrap();
    first.authorize("1").await.unwrap();
    let leased = server.balance("acme").await.3;
    assert!(leased.parse::<Credits>().unwrap() > Credits::whole(10), "{leased}");

    // All that is left but the run of 1, most of it idle at the first sidecar.
    let wants = tokio::spawn(async move {
        let run = second.authorize("99").await;
        (second, run)
    });
    loop {
        match told.next().await.unwrap().unwrap() {
            Told::Recall(account, _) => {
                assert_eq!(account.as_str(), "acme");
                let here = Here { playbooks: &first.playbooks, at: first.now };
                first.wallet.give_back(here, &mut first.journal);
                first.report().await;
                break;
            }
            Told::Terms(..) => {}
            other => panic!("{other:?}"),
        }
    }
    let (mut second, run) = wants.await.unwrap();
    assert!(run.is_some(), "what the recall brought is enough");
    second.report().await;
    assert_eq!(server.balance("acme").await, text(("0", "100", "0", "0")));

    // Nothing idle anywhere: told by totals alone, the recall ends at once and the answer is no.
    let asked = tokio::time::Instant::now();
    let wants = tokio::spawn(async move { second.authorize("1").await });
    while !matches!(told.next().await.unwrap().unwrap(), Told::Recall(..)) {}
    first.report().await;
    assert_eq!(wants.await.unwrap(), None);
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
    server.stop().await;
}

async fn an_administrator_is_heard_at_once(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let mut sidecar = Sidecar::attach(&server, 1, "acme").await;
    sidecar.authorize("1").await.unwrap();
    let mut told = sidecar.client.watch(sidecar.who).await.unwrap();
    // The watch begins with the terms that the sidecar has.
    assert!(matches!(told.next().await.unwrap().unwrap(), Told::Terms(_, terms) if !terms.suspended));
    let request = wire::SuspendRequest {
        account: "acme".to_owned(),
        note: "unpaid".to_owned(),
        request_id: "s1".to_owned(),
    };
    let account = server.accounts().await.suspend(request).await.unwrap().into_inner().account.unwrap();
    assert!(account.suspended);
    suspended(&mut told).await;
    let second = PLAYBOOK.replace("version: 1", "version: 2");
    server.publish(&second, "p2").await.unwrap();
    assert_eq!(told.next().await.unwrap().unwrap(), Told::Playbook(second));
    server.stop().await;
    assert!(told.next().await.is_none_or(|end| end.is_err()), "the watch ends with the ledger");
}

async fn a_process_that_is_no_longer_current_is_fenced(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let old = Sidecar::attach(&server, 1, "acme").await;
    let account = AccountId::parse("acme").unwrap();
    old.client.attach(old.who.sidecar, 2).await.unwrap();
    let lease = |server: &Server, who| {
        let (client, account) = (LeaseClient::new(&server.url()).unwrap(), account.clone());
        async move { client.lease(who, &account, &Ask::default(), WAIT).await }
    };
    assert_eq!(lease(&server, old.who).await, Err(LinkError::Fenced));
    assert_eq!(old.client.attach(old.who.sidecar, 1).await, Err(LinkError::Fenced));
    assert_eq!(old.client.report(old.who, Vec::new(), Vec::new()).await, Err(LinkError::Fenced));
    let ask = RunAsk::State(ReservationId([0; 16]), None);
    assert!(matches!(old.client.decide(old.who, &account, &ask, WAIT).await, Err(DecideError::Fenced)));
    server.stop().await;
    // It is remembered.
    let server = Server::start(place).await;
    assert_eq!(lease(&server, old.who).await, Err(LinkError::Fenced));
    let current = Sender { epoch: Epoch { start: 2, ..old.who.epoch }, ..old.who };
    assert!(matches!(lease(&server, current).await, Ok(Leased::Granted(_))));
    server.stop().await;
}

async fn the_ledger_decides_and_its_faults_are_the_callers_answer(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let sidecar = Sidecar::attach(&server, 1, "acme").await;
    let account = AccountId::parse("acme").unwrap();
    let decide = |ask: RunAsk| {
        let (client, who, account) = (sidecar.client.clone(), sidecar.who, account.clone());
        async move { client.decide(who, &account, &ask, WAIT).await }
    };
    let id = ReservationId([9; 16]);
    let RunReply::Authorize(answer) = decide(RunAsk::Authorize(Box::new(call(id, "4")))).await.unwrap()
    else {
        panic!("another answer")
    };
    assert_eq!((answer.reservation, answer.held), (Some(id), Credits::whole(4)));
    let other = RunAsk::Authorize(Box::new(call(id, "5")));
    let Err(DecideError::Fault(status)) = decide(other).await else { panic!("no fault") };
    assert_eq!(refusal(&status), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    let unknown = RunAsk::State(ReservationId([8; 16]), None);
    let Err(DecideError::Fault(status)) = decide(unknown).await else { panic!("no fault") };
    assert_eq!(refusal(&status), (Code::NotFound, "RESERVATION_UNKNOWN".to_owned()));
    assert_eq!(server.balance("acme").await, text(("96", "4", "0", "0")));
    server.stop().await;
}

async fn a_record_that_cannot_be_applied_stops_no_other(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let mut sidecar = Sidecar::attach(&server, 1, "acme").await;
    let run = sidecar.authorize("3").await.unwrap();
    sidecar.commit(run);
    let good = sidecar.records(0).pop().unwrap();
    let stray = Reported { number: 1, epoch: sidecar.who.epoch, body: b"no record".to_vec() };
    let stranger = Reported {
        number: 2,
        epoch: sidecar.who.epoch,
        body: minicbor::to_vec(SidecarRecord {
            account: AccountId::parse("nobody").unwrap(),
            event: WalletEvent::Returned(Default::default()),
        })
        .unwrap(),
    };
    let last = Reported { number: good.number + 1, ..stray.clone() };
    let batch = vec![stray, stranger, good.clone(), last.clone()];
    assert_eq!(sidecar.client.report(sidecar.who, batch, Vec::new()).await, Ok(last.number));
    assert_eq!(server.balance("acme").await.2, "3");
    let falling = vec![last.clone(), good];
    let refused = sidecar.client.report(sidecar.who, falling, Vec::new()).await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
    server.stop().await;
    let server = Server::start(place).await;
    let client = LeaseClient::new(&server.url()).unwrap();
    assert_eq!(client.attach(sidecar.who.sidecar, 1).await.unwrap().acknowledged, last.number);
    server.stop().await;
}

async fn time_does_its_work_without_anybody_asking(place: &Place) {
    let server = Server::start(place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let mut sidecar = Sidecar::attach(&server, 1, "acme").await;
    sidecar.authorize("1").await.unwrap();
    let mut told = sidecar.client.watch(sidecar.who).await.unwrap();
    assert!(matches!(told.next().await.unwrap().unwrap(), Told::Terms(..)), "what the watch begins with");
    let request = wire::GrantRequest {
        account: "acme".to_owned(),
        credits: "5".to_owned(),
        starts_in: Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 }),
        request_id: "soon".to_owned(),
        ..Default::default()
    };
    // A grant is recalled for first: this sidecar answers that it has nothing to give.
    let granted = tokio::spawn({
        let mut accounts = server.accounts().await;
        async move { accounts.grant(request).await }
    });
    while !matches!(told.next().await.unwrap().unwrap(), Told::Recall(..)) {}
    let totals = vec![(sidecar.wallet.account.clone(), LeaseTotals::default())];
    sidecar.client.report(sidecar.who, Vec::new(), totals).await.unwrap();
    granted.await.unwrap().unwrap();
    // Once for the grant, and once more when its credits begin to pay.
    for _ in 0..2 {
        let heard = tokio::time::timeout(WAIT, told.next()).await.expect("time stands still");
        assert!(matches!(heard, Some(Ok(Told::Terms(..)))), "{heard:?}");
    }
    assert_eq!(server.balance("acme").await.0, "105");
    server.stop().await;
}

async fn writes_that_cannot_be_are_refused_by_name(place: &Place) {
    let server = Server::start(place).await;
    let no_playbook = server.subscribe("acme", "basic").await.unwrap_err();
    assert_eq!(refusal(&no_playbook), (Code::NotFound, "PLAYBOOK_UNKNOWN".to_owned()));
    assert_eq!(server.publish(PLAYBOOK, "").await.unwrap(), 1, "only checked");
    assert!(server.subscribe("acme", "basic").await.is_err(), "nothing was published");
    server.publish(PLAYBOOK, "p1").await.unwrap();
    let row = |result: Result<u32, Status>| refusal(&result.unwrap_err());
    let other = PLAYBOOK.replace("weight: 1", "weight: 2");
    assert_eq!(
        row(server.publish(&other, "p1").await),
        (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned())
    );
    assert_eq!(
        row(server.publish(&other, "p2").await),
        (Code::FailedPrecondition, "VERSION_NOT_HIGHER".to_owned())
    );
    let wrong = server.publish("bursar: 1\nplan: x\n", "p3").await.unwrap_err();
    assert_eq!(refusal(&wrong), (Code::InvalidArgument, "PLAYBOOK_INVALID".to_owned()));
    assert!(!wrong.get_error_details().bad_request().unwrap().field_violations.is_empty());
    assert!(wrong.message().contains("plan"), "{}", wrong.message());

    assert!(server.subscribe("acme", "none").await.is_err());
    server.subscribe("acme", "basic").await.unwrap();
    // The same request again: the first answer.
    assert_eq!(server.subscribe("acme", "basic").await.unwrap().plan, "basic");
    for (credits, reason) in
        [("1.001", "INVALID_CREDITS"), ("-1", "INVALID_CREDITS"), ("x", "INVALID_CREDITS")]
    {
        let refused = server.grant("acme", credits, credits).await.unwrap_err();
        assert_eq!(refusal(&refused), (Code::InvalidArgument, reason.to_owned()));
    }
    let nobody = server.grant("nobody", "1", "g").await.unwrap_err();
    assert_eq!(refusal(&nobody), (Code::NotFound, "ACCOUNT_UNKNOWN".to_owned()));
    let accounts = server.accounts().await.list_accounts(wire::ListAccountsRequest::default()).await.unwrap();
    let names: Vec<_> = accounts.into_inner().accounts.into_iter().map(|account| account.account).collect();
    assert_eq!(names, ["acme"], "what was refused left nothing");
    server.stop().await;
}

const MOVING: &str = "
bursar: 1
playbook: tests
version: 1
credit: {unit: output, price: 0.10, currency: USD}
actions: {draft: {weight: 1}}
plans:
  basic: {allowance: {credits: 100, every: month}, transfers: {between: accounts, up_to: 50, every: month}}
";

async fn a_journal_is_read_back_and_credits_move_between_accounts(place: &Place) {
    let server = Server::start(place).await;
    server.publish(MOVING, "p").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    server.subscribe("other", "basic").await.unwrap();
    for n in 0..30 {
        server.grant("acme", "1", &format!("g{n}")).await.unwrap();
    }
    let transfer = |credits: &str, to: &str, id: &str| wire::TransferRequest {
        account: "acme".to_owned(),
        to_account: to.to_owned(),
        credits: credits.to_owned(),
        request_id: id.to_owned(),
        ..Default::default()
    };
    for _ in 0..2 {
        server.accounts().await.transfer(transfer("40", "other", "t")).await.unwrap();
    }
    assert_eq!(
        (server.balance("acme").await.0, server.balance("other").await.0),
        ("90".into(), "140".into())
    );
    for (credits, to, reason) in [
        ("20", "other", "TRANSFER_LIMIT"),
        ("5", "nobody", "ACCOUNT_UNKNOWN"),
        ("0", "other", "INVALID_CREDITS"),
    ] {
        let refused = server.accounts().await.transfer(transfer(credits, to, to)).await.unwrap_err();
        assert_eq!(refusal(&refused).1, reason);
    }
    let before = server.journal("acme").await;
    let kinds: Vec<&str> = before.iter().map(|entry| entry.kind.as_str()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "granted").count(), 31, "{kinds:?}");
    assert!(kinds.ends_with(&["transfer_sent", "transfer_answered"]), "{kinds:?}");
    let sent = &before[before.len() - 2];
    assert_eq!((sent.choice.as_str(), sent.playbook_version, sent.request_id.as_str()), ("C11", 1, "t"));
    let withdrawn: i64 = sent.changes.iter().map(|change| change.withdrawn.parse::<i64>().unwrap()).sum();
    assert_eq!(withdrawn, 40);
    server.stop().await;

    let server = Server::start(place).await;
    assert_eq!(server.journal("acme").await, before, "an earlier process wrote it");
    server.grant("acme", "1", "later").await.unwrap();
    assert_eq!(server.journal("acme").await.len(), before.len() + 1);
    server.stop().await;
}

impl Server {
    /// An account's journal, page by page, and whole.
    async fn journal(&self, account: &str) -> Vec<wire::AuditEntry> {
        let mut audit = AuditServiceClient::new(self.channel().await);
        let account = account.to_owned();
        let whole =
            audit.verify(wire::VerifyRequest { account: account.clone() }).await.unwrap().into_inner();
        let (mut entries, mut page_token) = (Vec::new(), String::new());
        loop {
            let account = account.clone();
            let request =
                wire::ListEntriesRequest { account, page_size: 7, page_token, ..Default::default() };
            let page = audit.list_entries(request).await.unwrap().into_inner();
            entries.extend(page.entries);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        assert!(whole.whole && whole.entries == entries.len() as u64, "{whole:?}");
        assert_eq!(whole.link, entries.last().unwrap().link);
        let mut export = audit.export(wire::ExportRequest { account }).await.unwrap().into_inner();
        let mut exported = Vec::new();
        while let Some(part) = export.message().await.unwrap() {
            exported.extend(part.entries);
        }
        assert_eq!(exported, entries);
        entries
    }
}
