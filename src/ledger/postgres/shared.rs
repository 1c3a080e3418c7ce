//! The store as a ledger sees it.

use super::common::Common;
use super::connect::Address;
use super::migrate::{SchemaError, fits};
use super::trouble::of_pool;
use super::turn::PostgresTurn;
use crate::engine::account::Entry;
use crate::ledger::news::News;
use crate::ledger::record::{Identity, Known, Published, Unapplied};
use crate::ledger::store::{Foundation, Heard, LedgerStore, StoreError, Ticket};
use crate::types::{AccountId, SidecarId, Timestamp};

/// Sessions besides those of turns: news, playbooks, how sidecars stand. Turns never wait for one of these.
const COMMON_SESSIONS: usize = 4;

/// A database that other processes of the ledger may use, too.
#[derive(Clone, Debug)]
pub struct Postgres {
    turns: deadpool_postgres::Pool,
    common: Common,
}

impl Postgres {
    /// `sessions`: turns under way at once.
    ///
    /// Errors: the database is out of reach, or its schema is not this build's.
    pub async fn open(address: &Address, sessions: usize) -> Result<Self, SchemaError> {
        let common = address.pool(COMMON_SESSIONS)?;
        fits(&common.get().await.map_err(|error| of_pool(&error))?).await?;
        Ok(Self { turns: address.pool(sessions)?, common: Common(common) })
    }
}

impl LedgerStore for Postgres {
    const SHARED: bool = true;

    type Turn = PostgresTurn;

    async fn turn(&self, account: &AccountId, opens: bool) -> Result<PostgresTurn, StoreError> {
        PostgresTurn::begin(&self.turns, account, opens).await
    }

    /// A turn is answered after its commit.
    async fn durable(&self, _ticket: Ticket) -> Result<(), StoreError> {
        Ok(())
    }

    /// A database that is away comes back.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    fn is_filling(&self) -> bool {
        false
    }

    async fn foundation(&self) -> Result<Foundation, StoreError> {
        self.common.foundation().await
    }

    async fn found(&self, identity: Identity) -> Result<Identity, StoreError> {
        self.common.found(identity).await
    }

    async fn renew(&self, from: u32, identity: Identity) -> Result<Identity, StoreError> {
        self.common.renew(from, identity).await
    }

    async fn publish(&self, published: &Published, newest: u32) -> Result<bool, StoreError> {
        self.common.publish(published, newest).await
    }

    async fn stand(&self, known: Known) -> Result<Option<Known>, StoreError> {
        self.common.stand(known).await
    }

    async fn standing(&self, sidecar: SidecarId) -> Result<Option<Known>, StoreError> {
        self.common.standing(sidecar).await
    }

    async fn keep(&self, unapplied: Vec<Unapplied>) -> Result<(), StoreError> {
        self.common.keep(unapplied).await
    }

    async fn resident(&self) -> Result<Vec<(AccountId, Vec<Entry>)>, StoreError> {
        Ok(Vec::new())
    }

    async fn knows(&self, account: &AccountId) -> Result<bool, StoreError> {
        self.common.knows(account).await
    }

    async fn names(&self, after: Option<&str>, most: usize) -> Result<Vec<AccountId>, StoreError> {
        self.common.names(after, most).await
    }

    async fn due(&self, at: Timestamp, most: usize) -> Result<Vec<AccountId>, StoreError> {
        self.common.due(at, most).await
    }

    async fn leased_to(&self, sidecar: SidecarId) -> Result<Vec<AccountId>, StoreError> {
        self.common.leased_to(sidecar).await
    }

    async fn announce(&self, news: &[News]) -> Result<u64, StoreError> {
        self.common.announce(news).await
    }

    async fn news(&self, after: Option<u64>) -> Result<Heard, StoreError> {
        self.common.news(after).await
    }

    async fn history(&self, account: &AccountId, after: u64, most: usize) -> Result<Vec<Entry>, StoreError> {
        self.common.history(account, after, most).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.turns.close();
        self.common.0.close();
        Ok(())
    }
}
