//! `bursar ledger` as a process: opens its store, serves, and stops in order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::embedded::Embedded;
use super::postgres::{Address, Postgres};
use super::service::Ledger;
#[cfg(debug_assertions)]
use super::settle::Settling;
use super::store::LedgerStore;
use crate::config::LedgerConfig;
use crate::grpc::ledger_server::{Bounds, serve_on};
use crate::grpc::listen::{Addresses, Listeners, Listening};
#[cfg(debug_assertions)]
use crate::runtime::test_clock::TestClock;
use crate::runtime::{Clock, Shutdown};
use crate::storage::Engine;
use crate::telemetry::metrics::Reader;
use crate::telemetry::metrics::push::push;
use crate::telemetry::{Admin, Export, Exporter, Readiness, Sampler, Traces};
use crate::trust::Access;
use crate::trust::server::ServerFiles;

/// The journal's place in the data directory.
const JOURNAL: &str = "journal";

/// Open connections at once: a thousand sidecars and their operators, several times over.
const CONNECTIONS_MAX: usize = 8192;

/// Runs until the signal to stop. `ready` is told where the ledger listens, once it answers there.
///
/// Errors: the store cannot be opened or has failed, or nobody could call.
pub async fn run(
    config: &LedgerConfig,
    ready: impl FnOnce(Listening),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    if let Some(address) = database(config)? {
        let store = Postgres::open(&address, config.database_sessions).await?;
        return serve(config, store, ready, shutdown).await;
    }
    let dir = config.data_dir.join(JOURNAL);
    let opened =
        tokio::task::spawn_blocking(move || Embedded::open(&dir, Engine::Sled, Some(since_boot))).await?;
    serve(config, opened?, ready, shutdown).await
}

/// The configured database; `None` where the accounts are kept here.
pub fn database(config: &LedgerConfig) -> anyhow::Result<Option<Address>> {
    let Some(url) = &config.database else { return Ok(None) };
    let (ca, password) = (config.database_ca.as_deref(), config.database_password_file.as_deref());
    Ok(Some(Address::read(url.exposed(), ca, password)?))
}

/// Whether the configured database can be reached and has this build's tables; nothing where there is none.
pub async fn looked_at(config: &LedgerConfig) -> anyhow::Result<()> {
    if let Some(address) = database(config)? {
        Postgres::open(&address, 1).await?;
    }
    Ok(())
}

async fn serve<S: LedgerStore>(
    config: &LedgerConfig,
    store: S,
    ready: impl FnOnce(Listening),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    let test = TestClock::of_environment().await.context("can't reach the test's clock")?;
    #[cfg(debug_assertions)]
    let clock = test.as_ref().map_or_else(Clock::system, TestClock::clock);
    #[cfg(not(debug_assertions))]
    let clock = Clock::system();
    let (ledger, background) = Ledger::open(store, clock).await?;
    #[cfg(debug_assertions)]
    if let Some(test) = test {
        let settling = Settling::new(ledger.clone());
        tokio::spawn(async move { test.obey(&settling).await });
    }
    let (mut listeners, bounds, trusted) = door(config, &shutdown)?;
    let (readiness, admin) = (Readiness::default(), config.admin_listen);
    let reading = ledger.clone();
    let reader = Reader::new(move || std::future::ready(reading.read()));
    let admin = admin.map(|address| serve_admin(address, &readiness, reader.clone())).transpose()?;
    let export = export(config);
    let exporter = export.as_ref().map(Exporter::start).transpose()?;
    let tracer = exporter.as_ref().map(Exporter::tracer);
    let bounds = Bounds { traces: Arc::new(Traces::new(tracer, Sampler::new(config.trace_ratio))), ..bounds };
    let mut watched = JoinSet::new();
    if let Some(export) = export {
        watched.spawn(push(export, reader, Clock::system()));
    }
    let time = tokio::spawn(ledger.clone().keep_up(background, shutdown.clone()));
    if let Some((address, _)) = &admin {
        listeners.also(*address);
    }
    let at = listeners.listening().clone();
    tracing::info!(address = ?at.tcp, socket = ?at.socket, accounts = ledger.len(), "the ledger serves");
    readiness.say(true);
    ready(at.clone());
    let served = tokio::select! {
        served = serve_on(ledger.clone(), listeners, bounds, shutdown) => served.context("the ledger could not be served"),
        failure = ledger.failed() => Err(anyhow::anyhow!("the ledger's store has failed: {failure}")),
    };
    readiness.say(false);
    time.abort();
    drop((trusted, watched));
    if let Some(exporter) = exporter {
        let grace = config.shutdown_grace;
        let stopped = tokio::task::spawn_blocking(move || exporter.stop(grace)).await;
        if let Ok(Err(why)) = stopped {
            tracing::warn!(%why, "some spans may be lost");
        }
    }
    if let Some(path) = at.socket {
        // The next start replaces one that is left behind.
        let _left = std::fs::remove_file(path);
    }
    let closed = ledger.close().await;
    served?;
    closed.context("the ledger's store could not be closed")?;
    tracing::info!("the ledger has stopped");
    Ok(())
}

/// Where the ledger is called, by whom, and what keeps looking at their files for as long as it is kept.
fn door(config: &LedgerConfig, shutdown: &Shutdown) -> anyhow::Result<(Listeners, Bounds, JoinSet<()>)> {
    let mut looking = JoinSet::new();
    let tls = match (&config.tls_cert, &config.tls_key) {
        (Some(chain), Some(key)) => {
            let client_ca = config.tls_client_ca.clone();
            let tls = ServerFiles { chain: chain.clone(), key: key.clone(), client_ca }.open()?;
            looking.spawn(tls.clone().keep_up(shutdown.clone()));
            Some(tls)
        }
        _ => None,
    };
    let access = config.access.as_deref().map(Access::open).transpose()?;
    if let Some(access) = access.clone() {
        looking.spawn(access.keep_up(shutdown.clone()));
    }
    let socket = config.socket.as_ref().map(|path| (path.clone(), config.socket_mode));
    let addresses = Addresses {
        socket,
        users: config.socket_users.clone(),
        tcp: config.listen,
        tls,
        connections_max: CONNECTIONS_MAX,
    };
    let bounds =
        Bounds { calls_max: config.calls_max, grace: config.shutdown_grace, access, ..Bounds::default() };
    Ok((Listeners::bind(&addresses)?, bounds, looking))
}

/// Serves probes and scrapers for as long as the second answer is kept.
fn serve_admin(
    address: SocketAddr,
    readiness: &Readiness,
    reader: Reader,
) -> anyhow::Result<(SocketAddr, JoinSet<()>)> {
    let admin = Admin::bind(address)
        .with_context(|| format!("can't listen on `{address}` for probes and metrics"))?;
    let (address, readiness) = (admin.address(), readiness.clone());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        if let Err(why) = admin.serve(readiness, reader).await {
            tracing::error!(%why, "probes and metrics are not served");
        }
    });
    Ok((address, serving))
}

fn export(config: &LedgerConfig) -> Option<Export> {
    let endpoint = config.otlp_endpoint.as_ref()?.to_string();
    // A pod's host name is its own.
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    Some(Export { endpoint, service: "bursar-ledger", instance: host.trim().to_owned() })
}

fn since_boot() -> Duration {
    Duration::from_micros(u64::try_from(Clock::system().boottime().micros()).unwrap_or_default())
}
