//! What an error of the database means for the ledger.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::ledger::store::StoreError;

/// A database that does not answer for so long is away, whatever the network says. Longer than the sessions' own limits,
/// so that these speak first.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Waits for the database, and not for ever.
pub async fn within<T>(
    asking: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, StoreError> {
    match tokio::time::timeout(ANSWER_WITHIN, asking).await {
        Ok(answer) => answer.map_err(|error| of(&error)),
        Err(_) => Err(StoreError::Away("the database did not answer in time".into())),
    }
}

/// A violated constraint is the second wall at work. All else may be otherwise in a moment: a session that broke, a
/// failover, a deadlock, a serialisation failure; whether it was done is then for the account's row to say.
pub fn of(error: &tokio_postgres::Error) -> StoreError {
    let said = said(error);
    if error.code() == Some(&SqlState::CHECK_VIOLATION) {
        StoreError::Refused(said.into())
    } else {
        StoreError::Away(said.into())
    }
}

pub fn of_pool(error: &PoolError) -> StoreError {
    StoreError::Away(said(error).into())
}

/// The error with its causes: what it wraps says more than it does.
pub fn said(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        said = format!("{said}: {inner}");
        cause = inner.source();
    }
    said
}
