//! Ledgers that share one PostgreSQL: what one does, the others know; what breaks between them loses nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use bursar::engine::wallet::Here;
use bursar::grpc::lease_client::{LeaseClient, LinkError, Told};
use bursar::grpc::proto::ledger_v1 as wire;
use bursar::ledger::postgres::{Address, Migrated, Postgres, SchemaError, migrate};
use bursar::types::Credits;
use tokio_stream::StreamExt;
use tonic::Code;

use crate::ledger::{PLAYBOOK, Place, Server, Sidecar, WAIT, refusal, suspended};
use crate::postgresql::{Cluster, Database};

/// Two ledgers over one database, an account on one plan.
async fn two() -> (Place, Server, Server) {
    let place = Place::postgresql().await;
    let (a, b) = (Server::start(&place).await, Server::start(&place).await);
    a.publish(PLAYBOOK, "p1").await.unwrap();
    // At once at the other: it knows what was published.
    b.subscribe("acme", "basic").await.unwrap();
    (place, a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_writes_the_other_shows_and_goes_on_from() {
    let (_place, a, b) = two().await;
    assert_eq!(b.balance("acme").await.0, "100");
    for step in 0..10 {
        let server = if step % 2 == 0 { &a } else { &b };
        server.grant("acme", "1.5", &format!("g{step}")).await.unwrap();
    }
    assert_eq!(a.balance("acme").await, b.balance("acme").await);
    assert_eq!(a.balance("acme").await.0, "115");
    // The same write at the other: the first answer.
    assert_eq!(a.grant("acme", "1.5", "g1").await.unwrap(), b.grant("acme", "1.5", "g1").await.unwrap());
    assert_eq!(b.balance("acme").await.0, "115");
    let again = b.subscribe("acme", "soft").await.unwrap_err();
    assert_eq!(refusal(&again), (Code::AlreadyExists, "REQUEST_ID_REUSED".to_owned()));
    // A version that is published at one is in force at the other.
    a.publish(&PLAYBOOK.replace("version: 1", "version: 2"), "p2").await.unwrap();
    let older = b.publish(&PLAYBOOK.replace("version: 1", "version: 2"), "p3").await.unwrap_err();
    assert_eq!(refusal(&older), (Code::FailedPrecondition, "VERSION_NOT_HIGHER".to_owned()));
    assert_eq!(b.publish(&PLAYBOOK.replace("version: 1", "version: 2"), "p2").await.unwrap(), 2);
    let accounts = b.accounts().await.list_accounts(wire::ListAccountsRequest::default()).await.unwrap();
    assert_eq!(accounts.into_inner().accounts.len(), 1);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sidecar_reports_to_either() {
    let (_place, a, b) = two().await;
    let mut sidecar = Sidecar::attach(&a, 7, "acme").await;
    let run = sidecar.authorize("3").await.unwrap();
    sidecar.commit(run);
    let acknowledged = sidecar.report().await;
    let balance = a.balance("acme").await;
    assert_eq!(balance, b.balance("acme").await, "running totals are known at both");
    // Attached at one, it calls the other, with everything once more.
    let other = LeaseClient::new(&b.url()).unwrap();
    assert_eq!(other.report(sidecar.who, sidecar.records(0), Vec::new()).await, Ok(acknowledged));
    assert_eq!(b.balance("acme").await, balance);
    let attached = other.attach(sidecar.who.sidecar, 1).await.unwrap();
    assert_eq!((attached.epoch, attached.acknowledged), (sidecar.who.epoch, acknowledged));
    // A later start at one fences the earlier at the other.
    other.attach(sidecar.who.sidecar, 2).await.unwrap();
    let fenced = async || sidecar.client.report(sidecar.who, Vec::new(), Vec::new()).await;
    let until = tokio::time::Instant::now() + WAIT;
    while fenced().await != Err(LinkError::Fenced) {
        assert!(tokio::time::Instant::now() < until, "the earlier start still works");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recall_and_its_answer_cross_processes() {
    let (_place, a, b) = two().await;
    let mut first = Sidecar::attach(&a, 1, "acme").await;
    let mut second = Sidecar::attach(&b, 2, "acme").await;
    let mut told = first.client.watch(first.who).await.unwrap();
    first.authorize("1").await.unwrap();
    assert!(a.balance("acme").await.3.parse::<Credits>().unwrap() > Credits::whole(10));
    let wants = tokio::spawn(async move {
        let run = second.authorize("99").await;
        (second, run)
    });
    let asked = tokio::time::Instant::now();
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
    let (second, run) = wants.await.unwrap();
    assert!(run.is_some(), "what the recall brought is enough");
    assert!(asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
    drop(second);
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_at_one_is_heard_at_the_other() {
    let (_place, a, b) = two().await;
    let mut sidecar = Sidecar::attach(&a, 1, "acme").await;
    sidecar.authorize("1").await.unwrap();
    let mut told = sidecar.client.watch(sidecar.who).await.unwrap();
    assert!(matches!(told.next().await.unwrap().unwrap(), Told::Terms(_, terms) if !terms.suspended));
    let request = wire::SuspendRequest {
        account: "acme".to_owned(),
        request_id: "s1".to_owned(),
        ..Default::default()
    };
    b.accounts().await.suspend(request).await.unwrap();
    suspended(&mut told).await;
    let second = PLAYBOOK.replace("version: 1", "version: 2");
    b.publish(&second, "p2").await.unwrap();
    loop {
        let heard = tokio::time::timeout(WAIT, told.next()).await.expect("nobody told it");
        match heard.unwrap().unwrap() {
            Told::Playbook(source) => break assert_eq!(source, second),
            // Terms may come twice.
            Told::Terms(_, terms) => assert!(terms.suspended),
            other => panic!("{other:?}"),
        }
    }
    // Its process is gone: at the other it hears the terms of what it has a lease of.
    a.stop().await;
    let client = LeaseClient::new(&b.url()).unwrap();
    client.attach(sidecar.who.sidecar, 1).await.unwrap();
    let mut told = client.watch(sidecar.who).await.unwrap();
    suspended(&mut told).await;
    b.stop().await;
}

/// Callers at both ledgers, each write with an id of its own; what is done to the database meanwhile is `harm`'s affair.
async fn grants_under(cluster: Arc<Cluster>, harm: impl AsyncFn(&Database)) {
    let place = Place::PostgreSql(Database::migrated(cluster).await);
    let Place::PostgreSql(database) = &place else { panic!("another store") };
    let (a, b) = (Server::start(&place).await, Server::start(&place).await);
    a.publish(PLAYBOOK, "p1").await.unwrap();
    for account in ["hot", "cold"] {
        a.subscribe(account, "basic").await.unwrap();
    }
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..8 {
        let url = if caller % 2 == 0 { a.url() } else { b.url() };
        let (stop, acknowledged) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        callers.spawn(async move {
            let mut accounts =
                wire::account_service_client::AccountServiceClient::connect(url).await.unwrap();
            let mut sums = (0u32, 0u32);
            for call in 0u32.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let hot = call % 4 != 0;
                let request = wire::GrantRequest {
                    account: if hot { "hot" } else { "cold" }.to_owned(),
                    credits: "1".to_owned(),
                    request_id: format!("{caller}-{call}"),
                    ..Default::default()
                };
                // Repeated until it is answered: it may have been done at any of the tries.
                while let Err(status) = accounts.grant(request.clone()).await {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                }
                acknowledged.fetch_add(1, Ordering::Relaxed);
                if hot { sums.0 += 1 } else { sums.1 += 1 }
            }
            sums
        });
    }
    let progress = async |more: u32| {
        let from = acknowledged.load(Ordering::Relaxed);
        let until = tokio::time::Instant::now() + Duration::from_secs(60);
        while acknowledged.load(Ordering::Relaxed) < from + more {
            assert!(tokio::time::Instant::now() < until, "the ledgers do not come back");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    for _ in 0..5 {
        progress(40).await;
        harm(database).await;
    }
    progress(40).await;
    stop.store(true, Ordering::Relaxed);
    let sums = callers.join_all().await;
    let total = |of: fn(&(u32, u32)) -> u32| (100 + sums.iter().map(of).sum::<u32>()).to_string();
    let expected = (total(|sum| sum.0), total(|sum| sum.1));
    for server in [a, b] {
        assert_eq!((server.balance("hot").await.0, server.balance("cold").await.0), expected);
        server.stop().await;
    }
    // A process that reads it all anew, links checked.
    let fresh = Server::start(&place).await;
    assert_eq!((fresh.balance("hot").await.0, fresh.balance("cold").await.0), expected);
    fresh.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_break_lose_and_double_nothing() {
    grants_under(Cluster::shared(), async |database| {
        let killed = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        database.session().await.batch_execute(killed).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_loses_and_doubles_nothing() {
    grants_under(Arc::new(Cluster::own()), async |database| {
        let cluster = Arc::clone(&database.cluster);
        tokio::task::spawn_blocking(move || cluster.crash()).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_away_is_an_answer_and_comes_back() {
    let database = Database::migrated(Arc::new(Cluster::own())).await;
    let cluster = Arc::clone(&database.cluster);
    let place = Place::PostgreSql(database);
    let server = Server::start(&place).await;
    server.publish(PLAYBOOK, "p1").await.unwrap();
    server.subscribe("acme", "basic").await.unwrap();
    let halted = Arc::clone(&cluster);
    tokio::task::spawn_blocking(move || halted.halt()).await.unwrap();
    let away = server.grant("acme", "1", "g1").await.unwrap_err();
    assert_eq!(refusal(&away), (Code::Unavailable, "NOT_READY".to_owned()));
    tokio::task::spawn_blocking(move || cluster.resume()).await.unwrap();
    server.grant("acme", "1", "g1").await.unwrap();
    assert_eq!(server.balance("acme").await.0, "101");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schema_is_made_once_and_must_fit() {
    let database = Database::new(Cluster::shared()).await;
    let address = database.address();
    let refused = |result: Result<Postgres, SchemaError>| result.unwrap_err();
    assert_eq!(
        refused(Postgres::open(&address, 1).await),
        SchemaError::Older { found: 0, needed: 3 },
        "nothing is there yet"
    );
    let together: Vec<Migrated> = futures_of(&address, 4).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(together.iter().filter(|done| done.from == 0).count(), 1, "{together:?}");
    assert!(together.iter().all(|done| done.to == 3));
    Postgres::open(&address, 1).await.unwrap();
    let session = database.session().await;
    session.batch_execute("UPDATE bursar.schema SET version = 7").await.unwrap();
    let newer = SchemaError::Newer { found: 7, needed: 3 };
    assert_eq!(refused(Postgres::open(&address, 1).await), newer);
    assert_eq!(migrate(&address).await, Err(newer));
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_the_schema_before_go_on_in_this_one() {
    let (place, a, b) = two().await;
    a.grant("acme", "1.5", "g1").await.unwrap();
    a.stop().await;
    b.stop().await;
    let Place::PostgreSql(database) = &place else { panic!("another store") };
    let before = "DROP FUNCTION bursar.write_turn; ALTER TABLE bursar.entries RESET (toast_tuple_target);
        UPDATE bursar.schema SET version = 2";
    database.session().await.batch_execute(before).await.unwrap();
    assert_eq!(migrate(&database.address()).await, Ok(Migrated { from: 2, to: 3 }));
    let server = Server::start(&place).await;
    server.grant("acme", "2", "g2").await.unwrap();
    assert_eq!(server.balance("acme").await.0, "103.5");
    server.stop().await;
}

async fn futures_of(address: &Address, many: usize) -> Vec<Result<Migrated, SchemaError>> {
    let mut migrating = tokio::task::JoinSet::new();
    for _ in 0..many {
        let address = address.clone();
        migrating.spawn(async move { migrate(&address).await });
    }
    migrating.join_all().await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_itself_refuses_figures_that_cannot_be() {
    let (place, a, b) = two().await;
    let Place::PostgreSql(database) = &place else { panic!("another store") };
    let session = database.session().await;
    let figures = "SELECT available::text FROM bursar.blocks WHERE account = 'acme'";
    assert_eq!(session.query_one(figures, &[]).await.unwrap().get::<_, String>(0), "100");
    for wrong in [
        "UPDATE bursar.blocks SET available = available - 200, spent = spent + 200",
        "UPDATE bursar.blocks SET available = available + 1",
        "UPDATE bursar.accounts SET debt = -1",
        "INSERT INTO bursar.accounts (account, number, link) SELECT '/', 0, link FROM bursar.accounts",
        "INSERT INTO bursar.entries SELECT account, 1, 1, body FROM bursar.entries",
    ] {
        assert!(session.batch_execute(wrong).await.is_err(), "{wrong}");
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_key_leads_with_the_account() {
    let database = Database::migrated(Cluster::shared()).await;
    let keys = "SELECT t.relname, a.attname FROM pg_class t JOIN pg_namespace n ON n.oid = t.relnamespace
        LEFT JOIN pg_index i ON i.indrelid = t.oid AND i.indisprimary
        LEFT JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0]
        WHERE n.nspname = 'bursar' AND t.relkind = 'r' ORDER BY t.relname";
    let rows = database.session().await.query(keys, &[]).await.unwrap();
    let citus = include_str!("../../deploy/citus.sql");
    for row in &rows {
        let (table, key): (&str, Option<&str>) = (row.get(0), row.get(1));
        assert_eq!(key, Some("account"), "{table}");
        assert!(citus.contains(&format!("create_distributed_table('bursar.{table}', 'account'")), "{table}");
    }
    assert!(rows.len() > 5);
}
