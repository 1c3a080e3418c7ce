//! The process: in which order it starts, what keeps it going, and how it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::core::{Core, Keeping, Standing};
use super::door::Door;
use super::ids::Ids;
use super::metrics::Metrics;
use super::recover::{self, Opened, Opening};
use super::salvage::Salvage;
use super::serving::serve;
use super::upstream::Upstream;
use super::watching;
use crate::config::SidecarConfig;
use crate::grpc::LeaseClient;
use crate::grpc::connect::Way;
use crate::grpc::entitlement::{Bounds, ENTITLEMENT_SERVICE, services};
use crate::grpc::health::{Health, UPSTREAM};
use crate::grpc::listen::{Addresses, Listeners, Listening};
use crate::lease::Acting;
#[cfg(debug_assertions)]
use crate::runtime::test_clock::TestClock;
use crate::runtime::{Backoff, BootId, Boottime, Clock, LedgerClock, Shutdown, Stopper};
use crate::storage::{Engine, Limits, Relay, Took};
use crate::telemetry::metrics::push::push;
use crate::telemetry::{Admin, Decisions, Exporter, Readiness};
use crate::trust::client::ClientFiles;

/// Open connections at once: an agent runtime has one or a few.
const CONNECTIONS_MAX: usize = 512;

/// What the journal may hold beyond records that wait and records that are kept: snapshots, playbooks, leases.
const JOURNAL_SPARE_BYTES: u64 = 64 << 20;

/// Records in the journal at most: the bytes end it first.
const JOURNAL_RECORDS_MAX: u64 = 1 << 24;

/// What may wait for the disk: a second's work of a fast machine.
const QUEUE_BYTES_MAX: u64 = 32 << 20;

/// A journal that failed is opened again for so long; then the process ends, and says why.
const REOPEN_WITHIN: Duration = Duration::from_secs(60);
const REOPEN_FIRST: Duration = Duration::from_millis(100);
const REOPEN_MOST: Duration = Duration::from_secs(2);

/// Of the time for stopping, calls in work have this part; the rest is for reports and leases.
const DRAIN_PART: u32 = 2;

/// Runs a sidecar until the shutdown. `ready` is told once calls are answered, with the ledger or without it.
pub async fn run(
    config: &SidecarConfig,
    ready: impl FnOnce(Listening),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let tls = config.ledger_tls().files().map(ClientFiles::open).transpose()?;
    let mut looking = JoinSet::new();
    if let Some(tls) = tls.clone() {
        looking.spawn(tls.keep_up(shutdown.clone()));
    }
    let upstream = LeaseClient::by(&Way::new(config.ledger.clone(), tls)?)?;
    run_with(config, upstream, Engine::Sled, ready, shutdown).await
}

/// What a sidecar stands on.
#[derive(Debug)]
pub struct Ground {
    pub engine: Engine,
    pub clock: Clock,
    pub listeners: Listeners,
    /// Where probes and scrapers come in, if anywhere.
    pub admin: Option<Admin>,
}

/// The same over any ledger and any store.
pub async fn run_with<U: Upstream>(
    config: &SidecarConfig,
    upstream: U,
    engine: Engine,
    ready: impl FnOnce(Listening),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    #[cfg(debug_assertions)]
    let test = TestClock::of_environment().await.context("can't reach the test's clock")?;
    #[cfg(debug_assertions)]
    let clock = test.as_ref().map_or_else(Clock::system, TestClock::clock);
    #[cfg(not(debug_assertions))]
    let clock = Clock::system();
    let socket = config.socket.as_ref().map(|path| (path.clone(), config.socket_mode));
    let mut listeners = Listeners::bind(&Addresses {
        socket,
        users: config.socket_users.clone(),
        tcp: config.listen,
        tls: None,
        connections_max: CONNECTIONS_MAX,
    })?;
    let admin = config.admin_listen.map(|address| watching::bind(address, &mut listeners)).transpose()?;
    let ground = Ground { engine, clock, listeners, admin };
    let opened = move |core: &Arc<Core<U>>| {
        #[cfg(debug_assertions)]
        if let Some(test) = test {
            let core = Arc::clone(core);
            tokio::spawn(async move { test.obey(&core).await });
        }
        #[cfg(not(debug_assertions))]
        let _ = core;
    };
    run_upon(config, upstream, ground, opened, ready, shutdown).await
}

/// The same with a clock and connections of the caller's making.
pub async fn run_on<U: Upstream>(
    config: &SidecarConfig,
    upstream: U,
    ground: Ground,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    run_upon(config, upstream, ground, |_| {}, |_| {}, shutdown).await
}

async fn run_upon<U: Upstream>(
    config: &SidecarConfig,
    upstream: U,
    Ground { engine, clock, listeners, admin }: Ground,
    is_open: impl FnOnce(&Arc<Core<U>>),
    ready: impl FnOnce(Listening),
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let opening = opening(config, engine, clock.clone(), admin.is_some() || config.otlp_endpoint.is_some());
    let listening = listeners.listening().clone();
    let door = Arc::new(Door::new(Ids::new()?));
    let readiness = Readiness::default();
    let reader = watching::reader(&door, opening.metrics.clone());
    let mut watched = JoinSet::new();
    if let Some(admin) = admin {
        watched.spawn(watching::admin(admin, readiness.clone(), reader.clone()));
    }
    let opened = open(&opening, &upstream, None).await?;
    is_open(&opened.core);
    let export = watching::export(config, &opened.core.id);
    let exporter = export.as_ref().map(Exporter::start).transpose()?;
    if let Some(export) = export {
        watched.spawn(push(export, reader, clock.clone()));
    }
    let tracer = exporter.as_ref().map(Exporter::tracer);
    let decisions = Arc::new(Decisions::new(tracer, config.trace_ratio));
    door.open(Arc::clone(&opened.core));
    let (stop_serving, serving) = Shutdown::new();
    let calls = opening.metrics.as_ref().map(|metrics| Arc::clone(&metrics.calls));
    let bounds = Bounds { calls_max: config.calls_max, calls };
    let (services, health) = services(Arc::clone(&door), decisions, clock, bounds, serving.clone());
    let drain = config.shutdown_grace / DRAIN_PART;
    let servers = serve(config, listeners, services, &serving, drain)?;
    health.say(ENTITLEMENT_SERVICE, true).await;
    health.say(UPSTREAM, false).await;
    readiness.say(true);
    ready(listening.clone());

    let ended = keep(&opening, &upstream, opened, &door, &health, &shutdown).await;
    readiness.say(false);
    health.say(ENTITLEMENT_SERVICE, false).await;
    stop_serving.stop();
    servers.ended(drain).await;
    door.close(false);
    let result = match ended {
        Ok((core, tasks)) => farewell(core, tasks, config.shutdown_grace - drain).await,
        Err(why) => Err(why),
    };
    if let Some(path) = listening.socket {
        // The next start replaces one that is left behind.
        let _left = std::fs::remove_file(path);
    }
    if let Some(exporter) = exporter {
        let stopped = tokio::task::spawn_blocking(move || exporter.stop(drain)).await;
        if let Ok(Err(why)) = stopped {
            tracing::warn!(%why, "some spans may be lost");
        }
    }
    result
}

fn opening(config: &SidecarConfig, engine: Engine, clock: Clock, is_read: bool) -> Opening {
    let metrics = is_read.then(|| Arc::new(Metrics::new(clock.boottime())));
    let flushes = metrics.as_ref().map(|metrics| Arc::clone(&metrics.flushes));
    let took = flushes.map(|flushes| Took(Arc::new(move |took| flushes.count(took, None))));
    let boot = BootId::read();
    if let Err(why) = &boot {
        tracing::warn!(%why, "this machine does not tell one boot from another: no lease outlives the process");
    }
    Opening {
        dir: config.data_dir.clone(),
        engine,
        limits: Limits {
            records_max: JOURNAL_RECORDS_MAX,
            bytes_max: config
                .outbox_bytes_max
                .saturating_add(config.retain_bytes_max)
                .saturating_add(JOURNAL_SPARE_BYTES),
            queue_bytes_max: QUEUE_BYTES_MAX,
            stopwatch: took.is_some().then_some(since_boot),
            took,
            ..Limits::default()
        },
        outbox_bytes_max: config.outbox_bytes_max,
        acting: Acting {
            identity: config.label.clone(),
            accounts: config.accounts.clone(),
            certificate: None,
        },
        keeping: Keeping { retain: config.retain, bytes_max: config.retain_bytes_max },
        clock,
        boot: boot.ok(),
        metrics,
    }
}

fn since_boot() -> Duration {
    Clock::system().boottime().since(Boottime::default())
}

async fn open<U: Upstream>(
    opening: &Opening,
    upstream: &U,
    known: Option<Arc<LedgerClock>>,
) -> anyhow::Result<Opened<U>> {
    let (opening, upstream) = (opening.clone(), upstream.clone());
    let opened = tokio::task::spawn_blocking(move || recover::open(&opening, upstream, known)).await;
    Ok(opened.context("the journal's opening did not end")??)
}

/// The tasks round one core; they stop when this is dropped.
struct Tasks {
    stopper: Stopper,
    set: JoinSet<()>,
}

impl Tasks {
    fn start<U: Upstream>(core: &Arc<Core<U>>, salvage: Option<Arc<Salvage>>, health: &Health) -> Self {
        let (stopper, stop) = Shutdown::new();
        let mut set = JoinSet::new();
        set.spawn(Arc::clone(core).keep_link(stop.clone()));
        set.spawn(Arc::clone(core).keep_reporting(stop.clone()));
        set.spawn(Arc::clone(core).keep_time(stop.clone()));
        set.spawn(Arc::clone(core).keep_short(stop.clone()));
        set.spawn(keep_waking(core.shards.journal.relay(), stop.clone()));
        if let Some(salvage) = salvage {
            set.spawn(Arc::clone(core).report_salvage(salvage, stop.clone()));
        }
        set.spawn(say_upstream(Arc::clone(core), health.clone(), stop));
        Self { stopper, set }
    }

    async fn stop(mut self) {
        self.stopper.stop();
        while self.set.join_next().await.is_some() {}
    }
}

/// Those who wait for the disk are woken on the thread that serves them.
async fn keep_waking(relay: Relay, stop: Shutdown) {
    tokio::select! {
        () = relay => {}
        () = stop.requested() => {}
    }
}

/// Health of the upstream, as it changes.
async fn say_upstream<U: Upstream>(core: Arc<Core<U>>, health: Health, stop: Shutdown) {
    let mut changes = core.link.changes();
    let mut was_online = false;
    loop {
        let online = matches!(*changes.borrow_and_update(), Standing::Up(_));
        health.say(UPSTREAM, online).await;
        if let Some(metrics) = core.shards.metrics.as_ref().filter(|_| was_online || online) {
            metrics.heard(core.shards.clock.clock().boottime());
        }
        was_online = online;
        tokio::select! {
            () = stop.requested() => break,
            changed = changes.changed() => if changed.is_err() { break },
        }
    }
    health.say(UPSTREAM, false).await;
}

/// Keeps a core at work until the shutdown. Where memory and journal have parted, the journal is read again.
async fn keep<U: Upstream>(
    opening: &Opening,
    upstream: &U,
    opened: Opened<U>,
    door: &Door<U>,
    health: &Health,
    shutdown: &Shutdown,
) -> anyhow::Result<(Arc<Core<U>>, Tasks)> {
    let Opened { mut core, salvage } = opened;
    let mut salvage = salvage.map(Arc::new);
    loop {
        let tasks = Tasks::start(&core, salvage.clone(), health);
        tokio::select! {
            () = shutdown.requested() => return Ok((core, tasks)),
            () = core.shards.parted.notified() => {}
        }
        tracing::warn!("the journal is closed and read again");
        door.close(true);
        tasks.stop().await;
        let known = Arc::clone(&core.shards.clock);
        close(core).await.unwrap_or_else(|why| tracing::error!(%why, "the journal has failed"));
        let again = reopened(opening, upstream, &known, shutdown).await?;
        core = again.core;
        salvage = again.salvage.map(Arc::new).or(salvage);
        door.open(Arc::clone(&core));
    }
}

/// Opens the journal again, and again where the disk does not let us yet.
async fn reopened<U: Upstream>(
    opening: &Opening,
    upstream: &U,
    known: &Arc<LedgerClock>,
    shutdown: &Shutdown,
) -> anyhow::Result<Opened<U>> {
    let clock = &opening.clock;
    let began = clock.boottime();
    let mut backoff = Backoff::new(REOPEN_FIRST, REOPEN_MOST);
    loop {
        let known = known.is_learned().then(|| Arc::clone(known));
        let why = match open(opening, upstream, known).await {
            Ok(opened) => return Ok(opened),
            Err(why) => why,
        };
        if clock.boottime().since(began) >= REOPEN_WITHIN || shutdown.is_requested() {
            return Err(why.context("the journal could not be opened again"));
        }
        tracing::error!(%why, "the journal could not be opened again; it is tried further");
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

/// The last things: open runs and idle credits go to the account, reports arrive, the journal is closed.
async fn farewell<U: Upstream>(core: Arc<Core<U>>, tasks: Tasks, within: Duration) -> anyhow::Result<()> {
    for account in core.shards.accounts() {
        let _known = core.shards.visit(&account, |desk| {
            desk.slot.left = true;
            desk.slot.wallet.leave(desk.slot.asked, desk.here, desk.tape);
        });
    }
    if tokio::time::timeout(within, told(&core)).await.is_err() {
        tracing::warn!("not every record is at the ledger yet; the next start reports the rest");
    }
    if let Some(who) = core.link.sender() {
        // A ledger that is restored before the next start is known by what it has acknowledged till now.
        core.note_attached(who.epoch);
    }
    tasks.stop().await;
    close(core).await.context("the journal did not close; the next start finds an unclean stop")
}

/// Waits until the ledger has every record, unless it is known to be out of reach. A process that is stopped before its
/// first attach has an answer still has the records of the ones before it.
async fn told<U: Upstream>(core: &Core<U>) {
    core.link.settled().await;
    if core.link.is_online() {
        core.shards.outbox.flushed().await;
    }
}

async fn close<U: Upstream>(core: Arc<Core<U>>) -> anyhow::Result<()> {
    let journal = core.shards.journal.clone();
    drop(core);
    Ok(tokio::task::spawn_blocking(move || journal.close())
        .await
        .context("the journal's closing did not end")??)
}
