//! `bursar ledger` as a process: opens its store, serves, and stops in order.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::embedded::Embedded;
use super::postgres::{Address, Postgres};
use super::service::Ledger;
#[cfg(debug_assertions)]
use super::settle::Settling;
use super::store::LedgerStore;
use crate::config::LedgerConfig;
use crate::grpc::ledger_server::{Bounds, Listeners, serve_on};
#[cfg(debug_assertions)]
use crate::runtime::test_clock::TestClock;
use crate::runtime::{Clock, Shutdown};
use crate::storage::Engine;
use crate::telemetry::metrics::Reader;
use crate::telemetry::{Admin, Readiness};

/// The journal's place in the data directory.
const JOURNAL: &str = "journal";

/// Where a ledger can be called.
#[derive(Clone, Copy, Debug)]
pub struct Serving {
    pub address: SocketAddr,
    /// Probes and metrics, over plain HTTP.
    pub admin: Option<SocketAddr>,
}

/// Runs until the signal to stop. `ready` is told where the ledger listens, once it answers there.
///
/// Errors: the store cannot be opened or has failed, or nobody could call.
pub async fn run(
    config: &LedgerConfig,
    ready: impl FnOnce(Serving),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let Some(listen) = config.listen else {
        bail!(
            "the ledger needs an address to listen on: `listen` is `none`, and a socket alone is not supported yet"
        )
    };
    if let Some(address) = database(config)? {
        let store = Postgres::open(&address, config.database_sessions).await?;
        return serve(config, listen, store, ready, shutdown).await;
    }
    let dir = config.data_dir.join(JOURNAL);
    let opened =
        tokio::task::spawn_blocking(move || Embedded::open(&dir, Engine::Sled, Some(since_boot))).await?;
    serve(config, listen, opened?, ready, shutdown).await
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
    listen: SocketAddr,
    store: S,
    ready: impl FnOnce(Serving),
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
    let tcp = TcpListener::bind(listen).await.with_context(|| format!("can't listen on `{listen}`"))?;
    let address = tcp.local_addr()?;
    let unix = match &config.socket {
        Some(path) => Some(bind(path, config.socket_mode).await?),
        None => None,
    };
    let (readiness, admin) = (Readiness::default(), config.admin_listen);
    let admin = admin.map(|address| serve_admin(address, &readiness, &ledger)).transpose()?;
    let time = tokio::spawn(ledger.clone().keep_up(background, shutdown.clone()));
    let bounds = Bounds { calls_max: config.calls_max, grace: config.shutdown_grace };
    let listeners = Listeners { tcp: Some(tcp), unix };
    tracing::info!(%address, accounts = ledger.len(), "the ledger serves");
    readiness.say(true);
    ready(Serving { address, admin: admin.as_ref().map(|(address, _)| *address) });
    let served = tokio::select! {
        served = serve_on(ledger.clone(), listeners, bounds, shutdown) => served.context("the ledger could not be served"),
        failure = ledger.failed() => Err(anyhow::anyhow!("the ledger's store has failed: {failure}")),
    };
    readiness.say(false);
    time.abort();
    let closed = ledger.close().await;
    served?;
    closed.context("the ledger's store could not be closed")?;
    tracing::info!("the ledger has stopped");
    Ok(())
}

/// Serves probes and scrapers for as long as the second answer is kept.
fn serve_admin<S: LedgerStore>(
    address: SocketAddr,
    readiness: &Readiness,
    ledger: &Ledger<S>,
) -> anyhow::Result<(SocketAddr, JoinSet<()>)> {
    let admin = Admin::bind(address)
        .with_context(|| format!("can't listen on `{address}` for probes and metrics"))?;
    let (address, readiness, ledger) = (admin.address(), readiness.clone(), ledger.clone());
    let reader = Reader::new(move || std::future::ready(ledger.read()));
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        if let Err(why) = admin.serve(readiness, reader).await {
            tracing::error!(%why, "probes and metrics are not served");
        }
    });
    Ok((address, serving))
}

/// Binds a Unix socket. One that a process left behind is replaced; one that answers is not.
async fn bind(path: &Path, mode: u32) -> anyhow::Result<UnixListener> {
    let shown = path.display();
    if let Ok(found) = fs::symlink_metadata(path) {
        if !found.file_type().is_socket() {
            bail!("`{shown}` is no socket: remove it, or name another path");
        }
        if UnixStream::connect(path).await.is_ok() {
            bail!("the socket `{shown}` is in use by another process: stop that one, or name another");
        }
        fs::remove_file(path).with_context(|| format!("can't remove the old socket `{shown}`"))?;
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("can't listen on the socket `{shown}`"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
        .with_context(|| format!("can't set the mode of the socket `{shown}`"))?;
    Ok(listener)
}

fn since_boot() -> Duration {
    Duration::from_micros(u64::try_from(Clock::system().boottime().micros()).unwrap_or_default())
}
