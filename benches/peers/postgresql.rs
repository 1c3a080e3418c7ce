//! PostgreSQL: a conditional UPDATE and an INSERT in one function, one transaction and one round trip; `fsync` on, all on one row.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use tokio::time::Instant;
use tokio_postgres::{Client, NoTls, Statement};

use super::burst::Burst;
use super::cluster::Cluster;
use super::meter::Meter;

const CLIENTS: usize = 16;

const TABLES: &str = "
CREATE TABLE balance (account int PRIMARY KEY, available bigint NOT NULL CHECK (available >= 0));
CREATE TABLE charge (account int NOT NULL, number bigserial, amount bigint NOT NULL, PRIMARY KEY (account, number));
INSERT INTO balance VALUES (1, 1000000000000);
CREATE FUNCTION reserve(whose int, amount bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE balance SET available = available - amount WHERE account = whose AND available >= amount;
    IF NOT FOUND THEN RETURN false; END IF;
    INSERT INTO charge (account, amount) VALUES (whose, amount);
    RETURN true;
END $$;";

pub struct Postgresql {
    clients: Vec<(Client, Statement)>,
    meter: Meter,
    _cluster: Cluster,
}

impl Postgresql {
    pub async fn start() -> Result<Self> {
        let cluster = Cluster::start()?;
        let first = client(&cluster.url).await?;
        first.batch_execute(TABLES).await?;
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let client = client(&cluster.url).await?;
            let reserve = client.prepare("SELECT reserve(1, 3)").await?;
            clients.push((client, reserve));
        }
        // Workers of the moment, and who asks, end before the others.
        let processes = "SELECT pid FROM pg_stat_activity \
                         WHERE backend_type <> 'autovacuum worker' AND pid <> pg_backend_pid()";
        let rows = first.query(processes, &[]).await?;
        let ids = rows.iter().map(|row| Ok(u32::try_from(row.try_get::<_, i32>(0)?)?));
        let meter = Meter(ids.collect::<Result<_>>()?);
        Ok(Self { clients, meter, _cluster: cluster })
    }

    /// Makes so many reservations, each client one after the other.
    pub async fn burst(&self, count: u64) -> Result<Burst> {
        let next = AtomicU64::new(0);
        let making = async {
            let began = Instant::now();
            let work = self.clients.iter().map(|client| one_by_one(client, &next, count));
            let done = try_join_all(work).await?;
            Burst::seen(done.concat(), began.elapsed())
        };
        Burst::metered(&self.meter, making).await
    }
}

async fn one_by_one(
    (client, reserve): &(Client, Statement),
    next: &AtomicU64,
    count: u64,
) -> Result<Vec<(Bytes, Duration)>> {
    let mut done = Vec::new();
    while next.fetch_add(1, Ordering::Relaxed) < count {
        let asked = Instant::now();
        let is_reserved: bool = client.query_one(reserve, &[]).await?.try_get(0)?;
        ensure!(is_reserved, "a reservation failed");
        done.push((Bytes::new(), asked.elapsed()));
    }
    Ok(done)
}

async fn client(url: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its end shows at the calls.
    tokio::spawn(connection);
    Ok(client)
}
