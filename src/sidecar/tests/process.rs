//! The whole process, called over its socket.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::Code;
use tonic::transport::Channel;
use tonic_types::StatusExt;

use crate::config::value::Endpoint;
use crate::config::{SidecarConfig, Sources, load};
use crate::grpc::listen::Listening;
use crate::grpc::proto::v1;
use crate::grpc::proto::v1::entitlement_service_client::EntitlementServiceClient;
use crate::runtime::{Shutdown, Stopper};
use crate::sidecar::fake_ledger::FakeLedger;
use crate::sidecar::process::run_with;
use crate::storage::{Engine, MemoryDisk};
use crate::telemetry::SampleRatio;
use crate::telemetry::metrics::table;
use crate::types::Credits;

struct Process {
    client: EntitlementServiceClient<Channel>,
    admin: SocketAddr,
    stopper: Stopper,
    ended: JoinHandle<anyhow::Result<()>>,
}

fn config(dir: &Path, threads: usize) -> SidecarConfig {
    SidecarConfig {
        ledger: Endpoint::Http("127.0.0.1:1".to_owned()),
        data_dir: dir.join("data"),
        socket: Some(dir.join("s.sock")),
        socket_mode: 0o600,
        listen: Some("127.0.0.1:0".parse().unwrap()),
        outbox_bytes_max: 1 << 20,
        retain: Duration::from_secs(3600),
        retain_bytes_max: 1 << 20,
        calls_max: 4,
        shutdown_grace: Duration::from_secs(2),
        threads: std::num::NonZero::new(threads),
        log: "info".parse().unwrap(),
        log_format: "json".parse().unwrap(),
        trace_ratio: SampleRatio::NONE,
        admin_listen: Some("127.0.0.1:0".parse().unwrap()),
        ..load(&Sources::default()).unwrap().config
    }
}

async fn start(dir: &Path, ledger: &FakeLedger, disk: &MemoryDisk, threads: usize) -> Process {
    let (stopper, shutdown) = Shutdown::new();
    let (ready, is_ready) = oneshot::channel::<Listening>();
    let (config, ledger, engine) = (config(dir, threads), ledger.clone(), Engine::Memory(disk.clone()));
    let ended = tokio::spawn(async move {
        run_with(&config, ledger, engine, |listening| ready.send(listening).unwrap(), shutdown).await
    });
    let listening = is_ready.await.unwrap();
    let address = format!("http://{}", listening.tcp.unwrap());
    let client = EntitlementServiceClient::connect(address).await.unwrap();
    Process { client, admin: listening.admin.unwrap(), stopper, ended }
}

impl Process {
    async fn hold(&mut self, units: u32) -> Result<v1::AuthorizeResponse, tonic::Status> {
        Ok(self.client.authorize(super::hold("acme", units, "")).await?.into_inner())
    }

    async fn commit(&mut self, handle: &str) -> Result<v1::CommitResponse, tonic::Status> {
        let request = v1::CommitRequest { reservation: handle.to_owned(), ..v1::CommitRequest::default() };
        Ok(self.client.commit(request).await?.into_inner())
    }

    /// What is answered to a request without TLS, HTTP/2 or a body.
    async fn get(&self, path: &str) -> String {
        let mut stream = tokio::net::TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    async fn stop(self) {
        self.stopper.stop();
        drop(self.client);
        self.ended.await.unwrap().unwrap();
    }
}

fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().unwrap().reason.clone()
}

#[tokio::test]
async fn a_stop_gives_everything_back_and_the_next_start_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let mut process = start(dir.path(), &ledger, &disk, 2).await;
    let done = process.hold(10).await.unwrap().reservation;
    let open = process.hold(20).await.unwrap().reservation;
    process.commit(&done).await.unwrap();
    process.stop().await;
    assert_eq!(ledger.spent("acme"), Credits::whole(10));
    assert_eq!(ledger.leased("acme"), Credits::ZERO, "nothing stays leased");
    assert_eq!(
        ledger.with("acme", |account| account.book.runs.len()),
        1,
        "the open run is the account's own"
    );
    assert!(!dir.path().join("s.sock").exists());

    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    let committed = process.commit(&open).await.unwrap();
    assert_eq!((committed.charged.as_str(), committed.provisional), ("20", false));
    process.stop().await;
    assert_eq!(ledger.spent("acme"), Credits::whole(30));
}

#[tokio::test]
async fn a_stop_frees_a_grant_that_never_came() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    // More than a call asks for while its plan lets it wait.
    ledger.lose_grants(1000);
    let denied = process.hold(10).await.unwrap();
    assert_eq!(denied.reason(), v1::Reason::LedgerUnreachable);
    assert!(ledger.leased("acme").is_positive(), "the ledger gave it");
    process.stop().await;
    assert_eq!(ledger.leased("acme"), Credits::ZERO, "nothing stays out");
    assert_eq!(ledger.balance("acme").1, Credits::whole(500));
}

#[tokio::test]
async fn a_stop_before_the_first_attach_is_answered_still_reports() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    let run = process.hold(10).await.unwrap().reservation;
    ledger.away(true);
    process.commit(&run).await.unwrap();
    process.stop().await;
    assert_eq!(ledger.spent("acme"), Credits::ZERO, "the charge waits on the disk");

    ledger.away(false);
    ledger.attach_takes(Duration::from_millis(300));
    start(dir.path(), &ledger, &disk, 1).await.stop().await;
    assert_eq!(ledger.spent("acme"), Credits::whole(10));
}

#[tokio::test]
async fn a_disk_that_fails_and_heals_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    let run = process.hold(10).await.unwrap().reservation;
    let kept = process.hold(5).await.unwrap().reservation;
    process.commit(&kept).await.unwrap();
    disk.fail(true);
    let failed = process.commit(&run).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::Unavailable, "JOURNAL_FAILED"));
    disk.fail(false);
    let mut tries = 0;
    let committed = loop {
        match process.commit(&run).await {
            Ok(committed) => break committed,
            Err(status) if status.code() == Code::Unavailable && tries < 100 => tries += 1,
            Err(status) => panic!("{status:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(committed.charged, "10");
    process.stop().await;
    assert_eq!(ledger.spent("acme"), Credits::whole(15));
}

#[tokio::test]
async fn it_answers_without_the_ledger() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    ledger.away(true);
    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    let denied = process.hold(1).await.unwrap();
    assert_eq!(denied.decision(), v1::Decision::Denied);
    assert_eq!(denied.reason(), v1::Reason::LedgerUnreachable);
    assert_eq!(denied.connectivity(), v1::Connectivity::Offline);
    process.stop().await;
}

#[tokio::test]
async fn its_metrics_say_what_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let (ledger, disk) = (FakeLedger::new(&[("acme", "hard")]), MemoryDisk::new());
    let mut process = start(dir.path(), &ledger, &disk, 1).await;
    assert!(process.get("/readyz").await.starts_with("HTTP/1.1 200 "));
    let run = process.hold(10).await.unwrap().reservation;
    process.hold(20).await.unwrap();
    process.commit(&run).await.unwrap();
    assert_eq!(process.hold(100_000).await.unwrap().decision(), v1::Decision::Denied);
    assert_eq!(process.commit("x").await.unwrap_err().code(), Code::InvalidArgument);
    ledger.away(true);

    let text = process.get("/metrics").await;
    for line in [
        "bursar_decisions_total{decision=\"ALLOWED\",reason=\"\",mode=\"lease\"} 2",
        "bursar_decisions_total{decision=\"DENIED\",reason=\"CREDITS_EXHAUSTED\",mode=\"ledger\"} 1",
        "rpc_server_call_duration_seconds_count{rpc_method=\"bursar.v1.EntitlementService/Authorize\"} 3",
        "rpc_server_call_duration_seconds_count{rpc_method=\"bursar.v1.EntitlementService/Commit\"} 2",
        "bursar_call_errors_total{rpc_method=\"bursar.v1.EntitlementService/Commit\",\
         rpc_status_code=\"INVALID_ARGUMENT\"} 1",
        "bursar_reserved_credits_total 30",
        "bursar_charged_credits_total 10",
        "bursar_debt_credits_total 0",
        "bursar_open_runs 1",
        "bursar_accounts 1",
        "bursar_broken_accounts 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
    let flushes = text.lines().find_map(|line| line.strip_prefix("bursar_journal_flush_seconds_count "));
    assert!(flushes.is_some_and(|count| count != "0"), "{text}");
    for metric in table::ALL.iter().filter(|metric| metric.of.contains(&table::Part::Sidecar)) {
        assert!(
            text.contains(&format!("\n{}", metric.stored_name())),
            "{} has no value in\n{text}",
            metric.name
        );
    }
    process.stop().await;
}
