//! The sidecar without sockets: its calls, its restarts, and what arrives at the ledger.

mod process;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::core::{Core, Keeping};
use super::door::Door;
use super::fake_ledger::FakeLedger;
use super::ids::Ids;
use super::recover::{self, Opened, Opening};
use crate::credit::{Decision, PoolId, Reason, State};
use crate::engine::Fault;
use crate::engine::account::Command;
use crate::engine::answer::{AuthorizeAnswer, RunAnswer};
use crate::grpc::convert;
use crate::grpc::entitlement_api::{Answered, Entitlements, Refused};
use crate::grpc::proto::v1;
use crate::runtime::{BootId, Clock, Shutdown, Stopper};
use crate::storage::{Engine, Limits, MemoryDisk};
use crate::types::Credits;

/// One sidecar at work, on a disk and a ledger that outlive it.
struct Rig {
    door: Arc<Door<FakeLedger>>,
    core: Arc<Core<FakeLedger>>,
    stopper: Stopper,
    tasks: JoinSet<()>,
}

fn start(ledger: &FakeLedger, disk: &MemoryDisk) -> Rig {
    let opening = Opening {
        acting: Default::default(),
        dir: PathBuf::from("memory"),
        engine: Engine::Memory(disk.clone()),
        limits: Limits::default(),
        outbox_bytes_max: 1 << 20,
        keeping: Keeping { retain: Duration::from_secs(3600), bytes_max: 1 << 20 },
        clock: Clock::system(),
        boot: Some(BootId::from_bytes([1; 16])),
        metrics: None,
    };
    let Opened { core, salvage } = recover::open(&opening, ledger.clone(), None).unwrap();
    let door = Arc::new(Door::new(Ids::new().unwrap()));
    door.open(Arc::clone(&core));
    let (stopper, stop) = Shutdown::new();
    let mut tasks = JoinSet::new();
    tasks.spawn(Arc::clone(&core).keep_link(stop.clone()));
    tasks.spawn(Arc::clone(&core).keep_reporting(stop.clone()));
    tasks.spawn(Arc::clone(&core).keep_time(stop.clone()));
    if let Some(salvage) = salvage {
        tasks.spawn(Arc::clone(&core).report_salvage(Arc::new(salvage), stop));
    }
    Rig { door, core, stopper, tasks }
}

impl Rig {
    /// The process is gone; its disk stays.
    async fn crash(mut self) {
        self.stopper.stop();
        while self.tasks.join_next().await.is_some() {}
        self.door.close(false);
        let core = Arc::into_inner(self.core).expect("nobody else holds the core");
        drop(core);
    }

    async fn online(&self) {
        self.core.link.up().await.unwrap();
    }

    async fn reported(&self) {
        tokio::time::timeout(Duration::from_secs(5), self.core.shards.outbox.flushed()).await.unwrap();
    }

    async fn authorize(&self, request: v1::AuthorizeRequest) -> Result<Answered<AuthorizeAnswer>, Refused> {
        self.door.authorize(&convert::authorize(request).unwrap(), None).await
    }

    async fn commit(&self, handle: &str, units: &str) -> Result<Answered<RunAnswer>, Refused> {
        let request = v1::CommitRequest {
            reservation: handle.to_owned(),
            quantity: Some(units.to_owned()),
            request_id: format!("commit-{units}"),
            ..v1::CommitRequest::default()
        };
        self.door.commit(convert::commit(request).unwrap(), None).await
    }
}

fn hold(account: &str, units: u32, request: &str) -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        account: account.to_owned(),
        action: "draft".to_owned(),
        quantity: Some(units.to_string()),
        request_id: request.to_owned(),
        ..v1::AuthorizeRequest::default()
    }
}

fn c(units: i64) -> Credits {
    Credits::whole(units)
}

#[tokio::test]
async fn a_run_is_held_charged_and_arrives() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let answered = rig.authorize(hold("acme", 30, "")).await.unwrap();
    assert_eq!((answered.answer.decision, answered.answer.held), (Decision::Allowed, c(30)));
    assert!(!answered.by_ledger);
    let handle = answered.handle.unwrap();
    let done = rig.commit(&handle, "20").await.unwrap();
    assert_eq!((done.answer.state, done.answer.charged), (State::Settled, c(20)));
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(20));
    let again = rig.commit(&handle, "20").await.unwrap();
    assert_eq!(again.answer.charged, c(20));
    let other = rig.commit(&handle, "21").await;
    assert!(matches!(other, Err(Refused::Fault(Fault::ReservationSettled { .. }))), "{other:?}");
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(20));
}

#[tokio::test]
async fn concurrent_holds_never_pass_the_limit() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = Arc::new(start(&ledger, &disk));
    rig.online().await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let rig = Arc::clone(&rig);
        calls.spawn(async move { rig.authorize(hold("acme", 75, "")).await.unwrap().answer });
    }
    let answers = calls.join_all().await;
    let allowed = answers.iter().filter(|answer| answer.decision == Decision::Allowed).count();
    assert_eq!(allowed, 6, "{answers:?}");
    let denied = answers.iter().filter(|answer| answer.decision == Decision::Denied);
    for answer in denied {
        assert_eq!(answer.reason, Some(Reason::CreditsExhausted));
    }
    rig.reported().await;
    let (held, available) = ledger.balance("acme");
    assert_eq!((held, available), (c(450), c(50)));
}

#[tokio::test]
async fn a_cap_holds_and_says_its_name() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "capped")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    assert_eq!(rig.authorize(hold("acme", 299, "")).await.unwrap().answer.decision, Decision::Allowed);
    let denied = rig.authorize(hold("acme", 2, "")).await.unwrap().answer;
    assert_eq!((denied.reason, denied.cap.unwrap().as_str()), (Some(Reason::CapReached), "monthly"));
    assert_eq!(rig.authorize(hold("acme", 1, "")).await.unwrap().answer.decision, Decision::Allowed);
}

#[tokio::test]
async fn the_same_request_gets_the_first_answer_across_a_crash() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let first = rig.authorize(hold("acme", 5, "r")).await.unwrap();
    let again = rig.authorize(hold("acme", 5, "r")).await.unwrap();
    assert_eq!((&again.handle, again.answer.held), (&first.handle, c(5)));
    let other = rig.authorize(hold("acme", 6, "r")).await;
    assert!(
        matches!(other, Err(Refused::Fault(Fault::RequestIdReused { field: "quantities" }))),
        "{other:?}"
    );
    rig.crash().await;

    let rig = start(&ledger, &disk);
    rig.online().await;
    let later = rig.authorize(hold("acme", 5, "r")).await.unwrap();
    assert_eq!((&later.handle, later.answer.held), (&first.handle, c(5)));
    rig.commit(&first.handle.unwrap(), "4").await.unwrap();
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(4));
    let ended = rig.authorize(hold("acme", 5, "r")).await;
    assert!(matches!(ended, Err(Refused::Fault(Fault::ReservationSettled { .. }))), "{ended:?}");
}

#[tokio::test]
async fn what_was_acknowledged_arrives_once_whatever_is_lost_between() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let mut handles = Vec::new();
    for _ in 0..5 {
        handles.push(rig.authorize(hold("acme", 10, "")).await.unwrap().handle.unwrap());
    }
    ledger.lose_answers(2);
    rig.commit(&handles[0], "1").await.unwrap();
    rig.reported().await;
    ledger.away(true);
    rig.commit(&handles[1], "2").await.unwrap();
    rig.crash().await;

    // Without the ledger: the runs of the journal are committed all the same.
    let rig = start(&ledger, &disk);
    rig.commit(&handles[2], "3").await.unwrap();
    rig.crash().await;

    let rig = start(&ledger, &disk);
    ledger.away(false);
    rig.online().await;
    rig.commit(&handles[3], "4").await.unwrap();
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(10));
    for (handle, units) in handles.iter().zip(["1", "2", "3", "4"]) {
        assert_eq!(rig.commit(handle, units).await.unwrap().answer.charged, units.parse().unwrap());
    }
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(10));
}

/// Else a second crash would lose the seal of the first one together with new holds, and one mark would stand for two.
#[tokio::test]
async fn after_a_crash_nothing_is_answered_before_the_seal_is_on_disk() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    rig.authorize(hold("acme", 10, "")).await.unwrap();
    rig.reported().await;
    rig.core.durable(rig.core.shards.journal.stats().last).await.unwrap();
    rig.crash().await;

    let rig = start(&ledger, &disk);
    let sealed = rig.core.shards.outbox.last().unwrap();
    let account = crate::types::AccountId::parse("acme").unwrap();
    let barrier = rig.core.shards.visit(&account, |desk| desk.slot.barrier).unwrap().unwrap();
    assert_eq!(barrier, sealed, "the seal is the last record so far");
    assert_eq!(rig.authorize(hold("acme", 1, "")).await.unwrap().answer.decision, Decision::Allowed);
    assert!(rig.core.shards.journal.durable() >= sealed);
}

#[tokio::test]
async fn without_the_ledger_the_lease_pays_and_then_nothing_does() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard"), ("other", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    rig.authorize(hold("acme", 1, "")).await.unwrap();
    ledger.away(true);
    let mut left = 0;
    let reason = loop {
        let answer = rig.authorize(hold("acme", 10, "")).await.unwrap().answer;
        match answer.decision {
            Decision::Allowed => left += 1,
            _ => break answer.reason,
        }
    };
    assert!(left > 0, "the lease pays");
    assert_eq!(reason, Some(Reason::LedgerUnreachable));
    let unseen = rig.authorize(hold("other", 1, "")).await.unwrap().answer;
    assert_eq!((unseen.decision, unseen.reason), (Decision::Denied, Some(Reason::LedgerUnreachable)));
    ledger.away(false);
    for _ in 0..100 {
        if rig.authorize(hold("acme", 10, "")).await.unwrap().answer.decision == Decision::Allowed {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the ledger is back, and runs are still refused");
}

#[tokio::test]
async fn nobody_knows_the_account() {
    let (ledger, disk) = (FakeLedger::new(&[]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let answer = rig.authorize(hold("nobody", 1, "")).await.unwrap().answer;
    assert_eq!(answer.reason, Some(Reason::AccountUnknown));
    let account = crate::types::AccountId::parse("nobody").unwrap();
    let balance = rig.door.balance(account.clone(), None, None).await;
    assert!(matches!(balance, Err(Refused::Fault(Fault::AccountUnknown))), "{balance:?}");
    rig.core.shards.forget_strangers().await;
    assert_eq!(rig.core.shards.count(), 0, "names that nobody subscribed leave memory");
}

#[tokio::test]
async fn a_pool_has_a_balance_of_its_own() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "teams")]), MemoryDisk::new());
    let team = PoolId::parse("team:a").unwrap();
    let (from, to) = (PoolId::Account, team.clone());
    ledger.administer("acme", &Command::Allocate { from, to, credits: c(100) });
    let rig = start(&ledger, &disk);
    rig.online().await;
    let account = crate::types::AccountId::parse("acme").unwrap();
    let of = async |pool: Option<PoolId>| {
        let view = rig.door.balance(account.clone(), pool, None).await?;
        Ok::<_, Refused>((view.available, view.held))
    };
    assert_eq!(of(Some(team.clone())).await.unwrap(), (c(100), c(0)));
    assert_eq!(of(Some(PoolId::Account)).await.unwrap(), (c(400), c(0)));
    assert_eq!(of(None).await.unwrap(), (c(500), c(0)));
    let user = of(PoolId::parse("user:ann")).await;
    assert!(matches!(user, Err(Refused::PoolUnknown(_))), "{user:?}");

    let subject = Some(v1::Subject { team: "a".to_owned(), ..v1::Subject::default() });
    let held = rig.authorize(v1::AuthorizeRequest { subject, ..hold("acme", 10, "") }).await.unwrap();
    assert_eq!(held.answer.held, c(10));
    assert_eq!(of(Some(team.clone())).await.unwrap(), (c(90), c(10)));
    assert_eq!(of(Some(PoolId::Account)).await.unwrap(), (c(400), c(0)));
    // Without the ledger it is what this sidecar knows.
    ledger.away(true);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(of(Some(team)).await.unwrap(), (c(90), c(10)));
}

#[tokio::test]
async fn a_recall_brings_idle_credits_back() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    rig.authorize(hold("acme", 10, "")).await.unwrap();
    assert!(ledger.leased("acme") > c(10));
    ledger.recall("acme");
    for _ in 0..100 {
        if ledger.leased("acme") == c(10) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("idle credits did not come back: {}", ledger.leased("acme"));
}

#[tokio::test]
async fn who_watches_an_account_is_told_of_each_change_and_of_nothing_else() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard"), ("other", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let (acme, other) = ("acme", "other");
    let account = |name: &str| crate::types::AccountId::parse(name).unwrap();
    assert!(rig.door.changes(&account(acme)).is_none(), "it is not in memory");
    let run = rig.authorize(hold(acme, 10, "")).await.unwrap();
    rig.reported().await;
    let mut changes = rig.door.changes(&account(acme)).unwrap();
    rig.authorize(hold(other, 10, "")).await.unwrap();
    assert!(!changes.has_changed().unwrap());
    rig.commit(&run.handle.unwrap(), "10").await.unwrap();
    changes.changed().await.unwrap();
    rig.reported().await;
    // With nobody left to hear it, nothing is kept.
    drop(changes);
    rig.authorize(hold(acme, 1, "")).await.unwrap();
    let watched = |desk: &mut super::slot::Desk<'_, '_>| desk.slot.watched.is_some();
    assert!(!rig.core.shards.visit(&account(acme), watched).unwrap().unwrap());
    rig.crash().await;
}

#[tokio::test]
async fn leases_that_come_due_together_are_renewed_in_one_call_and_each_alone_may_fail() {
    let names = ["a", "b", "c"];
    let (ledger, disk) = (FakeLedger::new(&names.map(|name| (name, "hard"))), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    for name in names {
        rig.authorize(hold(name, 10, "")).await.unwrap();
    }
    let account = |name: &str| crate::types::AccountId::parse(name).unwrap();
    let lease = |name: &str| {
        let look = |desk: &mut super::slot::Desk<'_, '_>| {
            let wallet = &desk.slot.wallet;
            (
                wallet.lease.as_ref().unwrap().number,
                wallet.renew_at() > Some(desk.here.at.plus_micros(20_000_000)),
            )
        };
        rig.core.shards.visit(&account(name), look).unwrap().unwrap()
    };
    let before = names.map(lease);
    ledger.faulty("b");
    let room = tokio::sync::Semaphore::new(1);
    rig.core.renew_all(names.map(account).to_vec(), &room).await;
    assert_eq!(ledger.together(), [3]);
    assert_eq!(names.map(lease).map(|(number, _)| number), [before[0].0 + 1, before[1].0, before[2].0 + 1]);
    // The one that failed is tried again, alone.
    ledger.faulty("none");
    rig.core.renew_all(vec![account("b")], &room).await;
    assert_eq!((ledger.together().len(), lease("b").0), (1, before[1].0 + 1));
    rig.crash().await;
}

/// More records wait than one report takes: the recall is answered by the one that holds what it gave back, and not by
/// those before it.
#[tokio::test]
async fn a_recall_is_answered_by_the_report_that_gives_back() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    for _ in 0..600 {
        let run = rig.authorize(hold("acme", 1, "")).await.unwrap();
        // Not before the first has its lease: that waits for what is to be reported before it.
        ledger.hold_reports(true);
        let release = v1::ReleaseRequest { reservation: run.handle.unwrap(), ..Default::default() };
        rig.door.release(convert::release(release).unwrap(), None).await.unwrap();
    }
    ledger.recall_as("acme", 7);
    while rig.core.recalls.needed() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    ledger.hold_reports(false);
    rig.reported().await;
    let claims = ledger.claims();
    let answering = claims.iter().position(|(claimed, _)| *claimed == 7).expect("no report answers it");
    assert_eq!(claims[answering], (7, false), "nothing is leased after the report that answers: {claims:?}");
    assert!(answering > 0 && claims[answering - 1] == (0, true), "{claims:?}");
    rig.crash().await;
}

#[tokio::test]
async fn a_run_that_was_promoted_is_settled_by_the_ledger() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let answered = rig.authorize(hold("acme", 10, "r")).await.unwrap();
    let handle = answered.handle.unwrap();
    let account = crate::types::AccountId::parse("acme").unwrap();
    let promoted = |desk: &mut super::slot::Desk<'_, '_>| {
        desk.slot.wallet.leave(desk.slot.asked, desk.here, desk.tape);
    };
    rig.core.shards.visit(&account, promoted).unwrap().unwrap();
    rig.reported().await;
    assert_eq!(ledger.with("acme", |account| account.book.runs.len()), 1);
    let done = rig.commit(&handle, "15").await.unwrap();
    assert!(done.by_ledger);
    assert_eq!((done.answer.state, done.answer.charged), (State::Settled, c(15)));
    assert_eq!(ledger.spent("acme"), c(15));
    let lookup = v1::GetReservationRequest { reservation: handle, ..v1::GetReservationRequest::default() };
    let view = rig.door.reservation(convert::lookup(lookup).unwrap(), None).await.unwrap();
    assert_eq!((view.answer.state, view.answer.charged), (State::Settled, c(15)));
}

#[tokio::test]
async fn a_full_outbox_refuses_new_work_and_drops_nothing() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let mut handles = Vec::new();
    for _ in 0..16 {
        handles.push(rig.authorize(hold("acme", 1, "")).await.unwrap().handle.unwrap());
    }
    rig.reported().await;
    ledger.away(true);
    rig.core.shards.outbox.set_bytes_max(2000);
    let mut taken = 0;
    for handle in &handles {
        match rig.commit(handle, "1").await {
            Ok(_) => taken += 1,
            Err(Refused::JournalFull) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(taken > 0 && taken < handles.len(), "{taken}");
    ledger.away(false);
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(taken as i64));
}

#[tokio::test]
async fn a_failing_disk_acknowledges_nothing() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let handle = rig.authorize(hold("acme", 5, "")).await.unwrap().handle.unwrap();
    disk.fail(true);
    let failed = rig.commit(&handle, "5").await;
    assert!(matches!(failed, Err(Refused::JournalFailed)), "{failed:?}");
    let failed = rig.authorize(hold("acme", 5, "")).await;
    assert!(matches!(failed, Err(Refused::JournalFailed)), "{failed:?}");
    rig.crash().await;
    disk.fail(false);
    let rig = start(&ledger, &disk);
    rig.online().await;
    rig.commit(&handle, "5").await.unwrap();
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(5));
}

#[tokio::test]
async fn a_trimmed_journal_gives_the_same_wallets() {
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard"), ("idle", "hard")]), MemoryDisk::new());
    let rig = start(&ledger, &disk);
    rig.online().await;
    let done = rig.authorize(hold("acme", 5, "done")).await.unwrap().handle.unwrap();
    let open = rig.authorize(hold("acme", 7, "open")).await.unwrap().handle.unwrap();
    rig.authorize(hold("idle", 3, "")).await.unwrap();
    rig.commit(&done, "5").await.unwrap();
    rig.reported().await;
    let before = rig.core.shards.journal.stats();
    rig.core.trim(before.durable).await.unwrap();
    // Trimming happens behind the appends; another record brings it along.
    rig.commit(&open, "6").await.unwrap();
    rig.reported().await;
    for _ in 0..100 {
        if rig.core.shards.journal.stats().live_records < before.live_records + 8 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    rig.crash().await;
    let rig = start(&ledger, &disk);
    rig.online().await;
    assert_eq!(rig.commit(&open, "6").await.unwrap().answer.charged, c(6));
    assert_eq!(rig.commit(&done, "5").await.unwrap().answer.charged, c(5));
    rig.reported().await;
    assert_eq!(ledger.spent("acme"), c(11));
    let more = rig.authorize(hold("acme", 480, "")).await.unwrap().answer;
    assert_eq!(more.decision, Decision::Allowed);
}
