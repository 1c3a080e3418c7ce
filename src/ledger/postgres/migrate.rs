//! The schema: its steps are part of the binary, taken once each, under the lock of one row.

use deadpool_postgres::Client;
use thiserror::Error;
use tokio_postgres::error::SqlState;

use super::connect::{Address, ConnectError};
use super::trouble::{of, said};
use crate::ledger::store::StoreError;

/// Each step takes the schema from its place in the list to the next version.
const STEPS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
];

/// Two processes that make the first table at once: one of them is told that it exists, and looks again.
const TRIES: u32 = 5;

const BEGIN: &str = "
    CREATE SCHEMA IF NOT EXISTS bursar;
    CREATE TABLE IF NOT EXISTS bursar.schema (
        account text COLLATE \"C\" NOT NULL, version bigint NOT NULL, PRIMARY KEY (account)
    );
    INSERT INTO bursar.schema (account, version) VALUES ('/', 0) ON CONFLICT (account) DO NOTHING;
";

/// From which version to which the schema was brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Migrated {
    pub from: i64,
    pub to: i64,
}

/// Why this build can't use the database as it is.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SchemaError {
    #[error(
        "the database's schema is version {found}, and this build needs version {needed}: run `bursar ledger migrate`"
    )]
    Older { found: i64, needed: i64 },
    #[error(
        "the database's schema is version {found}, and this build knows versions up to {needed}: run the build that \
         migrated it, or a later one"
    )]
    Newer { found: i64, needed: i64 },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the database can't be migrated: {0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Brings the schema to the version of this build. One at a time: others wait for the row's lock and find it done.
///
/// Errors: `Newer`; the database is out of reach, or refuses.
pub async fn migrate(address: &Address) -> Result<Migrated, SchemaError> {
    let pool = address.pool(1)?;
    let mut session = pool.get().await.map_err(|error| SchemaError::Failed(said(&error)))?;
    // A step may take as long as it takes.
    session.batch_execute("SET statement_timeout = 0; SET lock_timeout = 0").await.map_err(failed)?;
    let mut tries = 1;
    loop {
        match session.batch_execute(BEGIN).await {
            Ok(()) => break,
            Err(error) if tries < TRIES && exists_meanwhile(&error) => tries += 1,
            Err(error) => return Err(failed(error)),
        }
    }
    let transaction = session.transaction().await.map_err(failed)?;
    let locked = "SELECT version FROM bursar.schema WHERE account = '/' FOR UPDATE";
    let from: i64 = transaction.query_one(locked, &[]).await.map_err(failed)?.get(0);
    let to = needed();
    if from > to {
        return Err(SchemaError::Newer { found: from, needed: to });
    }
    for step in STEPS.iter().skip(usize::try_from(from).unwrap_or_default()) {
        transaction.batch_execute(step).await.map_err(failed)?;
    }
    let noted = "UPDATE bursar.schema SET version = $1 WHERE account = '/'";
    transaction.execute(noted, &[&to]).await.map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Migrated { from, to })
}

/// Errors: the schema is older or newer than this build.
pub(super) async fn fits(session: &Client) -> Result<(), SchemaError> {
    let asked = session.query_opt("SELECT version FROM bursar.schema WHERE account = '/'", &[]).await;
    let found = match asked {
        Ok(row) => row.map_or(0, |row| row.get(0)),
        Err(error) if is_nothing_there(&error) => 0,
        Err(error) => return Err(of(&error).into()),
    };
    let needed = needed();
    match found {
        found if found < needed => Err(SchemaError::Older { found, needed }),
        found if found > needed => Err(SchemaError::Newer { found, needed }),
        _ => Ok(()),
    }
}

fn needed() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

fn exists_meanwhile(error: &tokio_postgres::Error) -> bool {
    let states = [SqlState::UNIQUE_VIOLATION, SqlState::DUPLICATE_TABLE, SqlState::DUPLICATE_SCHEMA];
    error.code().is_some_and(|code| states.contains(code))
}

fn is_nothing_there(error: &tokio_postgres::Error) -> bool {
    let states = [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME];
    error.code().is_some_and(|code| states.contains(code))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn failed(error: tokio_postgres::Error) -> SchemaError {
    SchemaError::Failed(said(&error))
}
