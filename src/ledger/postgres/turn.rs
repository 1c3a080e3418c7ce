//! A turn at an account: one transaction under its row's lock, two round trips long.

use deadpool_postgres::{Object, Pool};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

use super::trouble::{of_pool, within};
use crate::credit::Block;
use crate::engine::account::Entry;
use crate::lease::LeaseTotals;
use crate::ledger::store::{Batch, Figures, Head, StoreError, Ticket, Turn};
use crate::telemetry::names::turn;
use crate::telemetry::trace::asking;
use crate::types::{AccountId, SidecarId, cbor};

const OPEN: &str = "INSERT INTO bursar.accounts (account, number, link)
    VALUES ($1, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT (account) DO NOTHING";
const LOCK: &str = "SELECT number, link, heard FROM bursar.accounts WHERE account = $1 FOR UPDATE";
const READ: &str = "SELECT body FROM bursar.entries WHERE account = $1 AND first > $2 ORDER BY first";
const TOTALS: &str = "SELECT sidecar, totals FROM bursar.leases WHERE account = $1";
const WRITE: &str =
    "SELECT bursar.write_turn($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
    $17, $18, $19)";

/// An entry of ordinary length, in bytes: what is expected, not what is allowed.
const ENTRY_BYTES: usize = 256;

/// An account whose row this session has locked.
pub struct PostgresTurn {
    session: Session,
    account: AccountId,
    head: Head,
}

/// A session inside a transaction. Dropped before the transaction's end, it is closed, not used again: the database then
/// forgets what was begun.
struct Session(Option<Object>);

impl Session {
    fn get(&self) -> Result<&Object, StoreError> {
        self.0.as_ref().ok_or_else(|| StoreError::Away("the session is gone".into()))
    }

    /// The transaction is over: the session goes back to its pool.
    fn ended(&mut self) {
        self.0.take();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            drop(Object::take(session));
        }
    }
}

impl PostgresTurn {
    pub(super) async fn begin(pool: &Pool, account: &AccountId, opens: bool) -> Result<Self, StoreError> {
        let session = Session(Some(pool.get().await.map_err(|error| of_pool(&error))?));
        let object = session.get()?;
        let name = account.as_str();
        let row = asking(
            turn::LOCK,
            "SELECT",
            within(async {
                let lock = object.prepare_cached(LOCK).await?;
                let given: [&(dyn ToSql + Sync); 1] = [&name];
                // Asked in one breath; answered in order.
                let (begun, opened, row) = if opens {
                    let open = object.prepare_cached(OPEN).await?;
                    let open = async { object.execute(&open, &given).await.map(|_| ()) };
                    tokio::join!(object.batch_execute("BEGIN"), open, object.query_opt(&lock, &given))
                } else {
                    let (begun, row) =
                        tokio::join!(object.batch_execute("BEGIN"), object.query_opt(&lock, &given));
                    (begun, Ok(()), row)
                };
                begun?;
                opened?;
                row
            }),
        )
        .await?;
        let head = row.map_or(Ok(Head::Absent), |row| head(&row))?;
        Ok(Self { session, account: account.clone(), head })
    }

    async fn query(&self, text: &str, given: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let object = self.session.get()?;
        asking(
            turn::READ,
            "SELECT",
            within(async {
                let statement = object.prepare_cached(text).await?;
                object.query(&statement, given).await
            }),
        )
        .await
    }

    async fn written(&self, batch: &Batch) -> Result<(), StoreError> {
        let object = self.session.get()?;
        let name = self.account.as_str();
        let (before, after) = (number(batch.before.0)?, number(batch.after.0)?);
        let link: &[u8] = &batch.after.1;
        let timer = batch.timer.map(|at| at.micros());
        let debt = batch.figures.debt.to_string();
        let body = encoded(batch);
        let blocks = Columns::of(&batch.figures.blocks)?;
        let Leases { heard: (heard, totals), over } = Leases::of(&batch.figures);
        let [granted, available, held, spent, lapsed, withdrawn] = &blocks.figures;
        let given: [&(dyn ToSql + Sync); 19] = [
            &name,
            &before,
            &after,
            &link,
            &timer,
            &debt,
            &body,
            &blocks.block,
            &blocks.pool,
            &blocks.species,
            granted,
            available,
            held,
            spent,
            lapsed,
            withdrawn,
            &heard,
            &totals,
            &over,
        ];
        asking(
            turn::WRITE,
            "INSERT",
            within(async {
                let write = object.prepare_cached(WRITE).await?;
                // Asked in one breath; answered in order. What fails makes the commit a rollback.
                let (wrote, committed) =
                    tokio::join!(object.query_one(&write, &given), object.batch_execute("COMMIT"));
                wrote?;
                committed
            }),
        )
        .await
    }
}

impl Turn for PostgresTurn {
    fn head(&self) -> Head {
        self.head
    }

    async fn entries(&mut self, after: u64) -> Result<Vec<Entry>, StoreError> {
        let rows = self.query(READ, &[&self.account.as_str(), &number(after)?]).await?;
        let mut entries = Vec::new();
        for row in rows {
            let body: &[u8] = row.try_get(0).map_err(|error| super::trouble::of(&error))?;
            let part: Vec<Entry> = minicbor::decode(body).map_err(|error| unreadable("an entry", &error))?;
            entries.extend(part);
        }
        Ok(entries)
    }

    async fn totals(&mut self) -> Result<Vec<(SidecarId, LeaseTotals)>, StoreError> {
        let rows = self.query(TOTALS, &[&self.account.as_str()]).await?;
        rows.iter().map(|row| Ok((sidecar(row, 0)?, decoded(row, 1, "totals of a lease")?))).collect()
    }

    async fn write(mut self, batch: Batch) -> Result<Ticket, StoreError> {
        self.written(&batch).await?;
        self.session.ended();
        Ok(Ticket::default())
    }

    async fn pass(mut self) {
        let Ok(object) = self.session.get() else { return };
        if within(object.batch_execute("ROLLBACK")).await.is_ok() {
            self.session.ended();
        }
    }
}

/// Blocks as columns of text: numerics of any size, exactly.
struct Columns {
    block: Vec<i64>,
    pool: Vec<String>,
    species: Vec<String>,
    figures: [Vec<String>; 6],
}

impl Columns {
    fn of(blocks: &[Block]) -> Result<Self, StoreError> {
        let figures: [fn(&Block) -> String; 6] = [
            |block| block.granted.to_string(),
            |block| block.available.to_string(),
            |block| block.held.to_string(),
            |block| block.spent.to_string(),
            |block| block.lapsed.to_string(),
            |block| block.withdrawn.to_string(),
        ];
        Ok(Self {
            block: blocks.iter().map(|block| number(block.id.0)).collect::<Result<_, _>>()?,
            pool: blocks.iter().map(|block| block.pool.to_string()).collect(),
            species: blocks.iter().map(|block| block.species.to_string()).collect(),
            figures: figures.map(|figure| blocks.iter().map(figure).collect()),
        })
    }
}

#[derive(Default)]
struct Leases {
    heard: (Vec<Vec<u8>>, Vec<Vec<u8>>),
    over: Vec<Vec<u8>>,
}

impl Leases {
    fn of(figures: &Figures) -> Self {
        let mut leases = Self::default();
        for (sidecar, totals) in &figures.leases {
            match totals {
                Some(totals) => {
                    leases.heard.0.push(sidecar.0.to_vec());
                    leases.heard.1.push(super::common::encoded(totals));
                }
                None => leases.over.push(sidecar.0.to_vec()),
            }
        }
        leases
    }
}

/// All entries of a batch, as one list in the journals' encoding.
fn encoded(batch: &Batch) -> Vec<u8> {
    let count = batch.writes.iter().map(Vec::len).sum::<usize>();
    let mut bytes = Vec::with_capacity(count.saturating_mul(ENTRY_BYTES));
    cbor::write(batch.writes.iter().flatten().collect::<Vec<_>>(), &mut bytes);
    bytes
}

fn head(row: &Row) -> Result<Head, StoreError> {
    let of = |error: Error| super::trouble::of(&error);
    let (at, heard): (i64, i64) = (row.try_get(0).map_err(of)?, row.try_get(2).map_err(of)?);
    let link: &[u8] = row.try_get(1).map_err(of)?;
    let link = link.try_into().map_err(|error| unreadable("the link of an account", &error))?;
    Ok(Head::At { position: (counted(at), link), heard: counted(heard) })
}

pub(super) fn sidecar(row: &Row, column: usize) -> Result<SidecarId, StoreError> {
    let bytes: &[u8] = row.try_get(column).map_err(|error| super::trouble::of(&error))?;
    Ok(SidecarId(bytes.try_into().map_err(|error| unreadable("the id of a sidecar", &error))?))
}

pub(super) fn decoded<'b, T: minicbor::Decode<'b, ()>>(
    row: &'b Row,
    column: usize,
    what: &str,
) -> Result<T, StoreError> {
    let bytes: &[u8] = row.try_get(column).map_err(|error| super::trouble::of(&error))?;
    minicbor::decode(bytes).map_err(|error| unreadable(what, &error))
}

pub(super) fn unreadable(what: &str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Refused(format!("{what} in the database can't be read by this build: {error}").into())
}

/// As the database counts.
pub(super) fn number(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Refused(format!("{number} is too large to count").into()))
}

/// Numbers of the schema are never negative: its checks see to that.
pub(super) fn counted(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
