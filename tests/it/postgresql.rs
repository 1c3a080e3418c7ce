//! A PostgreSQL for tests, started by `tests/postgresql` when the first test needs it and stopped when the last is done.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use bursar::ledger::postgres::{Address, migrate};
use tokio_postgres::{Client, NoTls};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/postgresql");

/// One server, shared by tests that run at the same time, or of one test alone.
pub struct Cluster {
    dir: String,
    pub url: String,
}

/// A database of one test.
pub struct Database {
    pub cluster: Arc<Cluster>,
    pub url: String,
}

static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Cluster {
    pub fn shared() -> Arc<Self> {
        let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return running;
        }
        let started = Arc::new(Self::own());
        *shared = Arc::downgrade(&started);
        started
    }

    /// For a test that stops or breaks it.
    pub fn own() -> Self {
        let started = Command::new(SCRIPT).arg("start").stderr(Stdio::inherit()).output().unwrap();
        assert!(started.status.success(), "PostgreSQL did not start; it says why above");
        let said = String::from_utf8(started.stdout).unwrap();
        let mut lines = said.lines().map(str::to_owned);
        Self { dir: lines.next().unwrap(), url: lines.next().unwrap() }
    }

    /// Stops it as a crash would, and starts it again.
    pub fn crash(&self) {
        self.script(&["restart", &self.dir, "immediate"]);
    }

    pub fn halt(&self) {
        self.script(&["halt", &self.dir]);
    }

    pub fn resume(&self) {
        self.script(&["resume", &self.dir]);
    }

    fn script(&self, arguments: &[&str]) {
        let done = Command::new(SCRIPT).args(arguments).status().unwrap();
        assert!(done.success(), "{arguments:?}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _best_effort = Command::new(SCRIPT).args(["stop", &self.dir]).status();
    }
}

impl Database {
    /// An empty one.
    pub async fn new(cluster: Arc<Cluster>) -> Self {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        session(&cluster.url).await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let (server, _) = cluster.url.rsplit_once('/').unwrap();
        let url = format!("{server}/{name}");
        Self { cluster, url }
    }

    pub async fn migrated(cluster: Arc<Cluster>) -> Self {
        let database = Self::new(cluster).await;
        migrate(&database.address()).await.unwrap();
        database
    }

    fn name(&self) -> &str {
        self.url.rsplit_once('/').unwrap().1
    }

    /// A copy. Nobody may have the original open.
    pub async fn copy(&self) -> Self {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.copied(self.name(), &name).await;
        let (server, _) = self.cluster.url.rsplit_once('/').unwrap();
        Self { cluster: Arc::clone(&self.cluster), url: format!("{server}/{name}") }
    }

    pub async fn replace_by(&self, copy: &Self) {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name());
        session(&self.cluster.url).await.batch_execute(&drop).await.unwrap();
        self.copied(copy.name(), self.name()).await;
    }

    async fn copied(&self, from: &str, to: &str) {
        let admin = session(&self.cluster.url).await;
        // Sessions that were closed take a moment to be gone.
        let end = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{from}'");
        loop {
            admin.batch_execute(&end).await.unwrap();
            match admin.batch_execute(&format!("CREATE DATABASE {to} TEMPLATE {from}")).await {
                Ok(()) => return,
                Err(error) if error.code() == Some(&tokio_postgres::error::SqlState::OBJECT_IN_USE) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    pub fn address(&self) -> Address {
        Address::read(&self.url, None, None).unwrap()
    }

    pub async fn session(&self) -> Client {
        session(&self.url).await
    }
}

pub async fn session(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
