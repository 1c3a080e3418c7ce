//! What is common to the ledger's processes: identity, playbooks, how sidecars stand, news. Each row lies under `/`.

use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::trouble::{of, of_pool, within};
use super::turn::{counted, decoded, number, sidecar, unreadable};
use crate::engine::account::Entry;
use crate::ledger::news::News;
use crate::ledger::record::{Identity, Known, Published, Unapplied};
use crate::ledger::store::{Foundation, Heard, StoreError};
use crate::runtime::Backoff;
use crate::types::{AccountId, Epoch, RequestId, SidecarId, Timestamp};

/// How often a database is asked that is away: for a second or two, which is what a restart takes.
const TRIES: u32 = 8;
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MOST: Duration = Duration::from_millis(500);

/// News that are kept: a process that is further behind has its sidecars attach again.
const NEWS_KEPT: i64 = 10_000;

/// News that one look brings at most.
const NEWS_AT_ONCE: i64 = 1000;

const IDENTITY: &str = "SELECT secret, generation, learning_until FROM bursar.ledgers WHERE account = '/'";
const FOUND: &str = "INSERT INTO bursar.ledgers (account, secret, generation) VALUES ('/', $1, $2)
    ON CONFLICT (account) DO NOTHING";
const RENEW: &str = "UPDATE bursar.ledgers SET generation = $1, learning_until = $2
    WHERE account = '/' AND generation = $3";
const PLAYBOOKS: &str =
    "SELECT version, source, at, request FROM bursar.playbooks WHERE account = '/' ORDER BY version";
const PUBLISHING: &str = "SELECT generation FROM bursar.ledgers WHERE account = '/' FOR UPDATE";
const NEWEST: &str = "SELECT coalesce(max(version), 0) FROM bursar.playbooks WHERE account = '/'";
const PUBLISH: &str = "INSERT INTO bursar.playbooks (account, version, source, at, request)
    VALUES ('/', $1, $2, $3, $4)";
const STAND: &str =
    "INSERT INTO bursar.sidecars AS s (account, sidecar, generation, start, acknowledged, at, acting)
    VALUES ('/', $1, $2, $3, $4, $5, $6)
    ON CONFLICT (account, sidecar) DO UPDATE SET generation = excluded.generation, start = excluded.start,
        acknowledged = greatest(s.acknowledged, excluded.acknowledged), at = excluded.at,
        acting = coalesce(excluded.acting, s.acting)
    WHERE (s.generation, s.start) <= (excluded.generation, excluded.start)
    RETURNING sidecar, generation, start, acknowledged, at, acting";
const STANDING: &str = "SELECT sidecar, generation, start, acknowledged, at, acting FROM bursar.sidecars
    WHERE account = '/' AND sidecar = $1";
const KEEP: &str = "INSERT INTO bursar.unapplied (account, sidecar, number, record) VALUES ('/', $1, $2, $3)
    ON CONFLICT (account, sidecar, number) DO NOTHING";
const KNOWS: &str = "SELECT 1 FROM bursar.accounts WHERE account = $1";
const NAMES: &str = "SELECT account FROM bursar.accounts WHERE account > $1 ORDER BY account LIMIT $2";
const HISTORY: &str =
    "SELECT body FROM bursar.entries WHERE account = $1 AND last > $2 AND first >= coalesce(
        (SELECT max(first) FROM bursar.entries WHERE account = $1 AND first <= $2), 0)
    ORDER BY first LIMIT $3";
const DUE: &str = "SELECT account FROM bursar.accounts WHERE timer <= $1 ORDER BY timer LIMIT $2";
const LEASED: &str = "SELECT account FROM bursar.leases WHERE sidecar = $1 ORDER BY account";
const NUMBERED: &str = "UPDATE bursar.feeds SET number = number + $1 WHERE account = '/' RETURNING number";
const ANNOUNCE: &str = "INSERT INTO bursar.news (account, number, body)
    SELECT '/', $1::bigint + n.place, n.body FROM unnest($2::bytea[]) WITH ORDINALITY AS n (body, place)";
const FORGET: &str = "DELETE FROM bursar.news WHERE account = '/' AND number < $1";
const NEWS: &str =
    "SELECT number, body FROM bursar.news WHERE account = '/' AND number > $1 ORDER BY number LIMIT $2";
const LAST: &str =
    "SELECT number, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint FROM bursar.feeds
    WHERE account = '/'";

/// The common rows, and looks across accounts.
#[derive(Clone, Debug)]
pub struct Common(pub(super) Pool);

impl Common {
    /// Asks, and again where the database is away for a moment: every statement here does the same when done twice.
    async fn query(&self, text: &str, given: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        let mut tries = 1;
        loop {
            match self.once(text, given).await {
                Err(StoreError::Away(_)) if tries < TRIES => tokio::time::sleep(backoff.next_wait()).await,
                done => return done,
            }
            tries += 1;
        }
    }

    async fn once(&self, text: &str, given: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, StoreError> {
        let session = self.0.get().await.map_err(|error| of_pool(&error))?;
        within(async {
            let statement = session.prepare_cached(text).await?;
            session.query(&statement, given).await
        })
        .await
    }

    pub async fn foundation(&self) -> Result<Foundation, StoreError> {
        let identity = self.query(IDENTITY, &[]).await?.first().map(identity).transpose()?;
        let playbooks = self.query(PLAYBOOKS, &[]).await?;
        let playbooks = playbooks.iter().map(published).collect::<Result<_, _>>()?;
        Ok(Foundation { identity, playbooks, ..Foundation::default() })
    }

    pub async fn found(&self, identity: Identity) -> Result<Identity, StoreError> {
        let secret: &[u8] = &identity.secret;
        self.query(FOUND, &[&secret, &i64::from(identity.generation)]).await?;
        let stands = self.foundation().await?.identity;
        stands.ok_or_else(|| StoreError::Refused("the ledger's identity is gone".into()))
    }

    pub async fn renew(&self, from: u32, identity: Identity) -> Result<Identity, StoreError> {
        let until = identity.learning_until.map(Timestamp::micros);
        let (to, from) = (i64::from(identity.generation), i64::from(from));
        self.query(RENEW, &[&to, &until, &from]).await?;
        let stands = self.foundation().await?.identity;
        stands.ok_or_else(|| StoreError::Refused("the ledger's identity is gone".into()))
    }

    pub async fn publish(&self, published: &Published, newest: u32) -> Result<bool, StoreError> {
        let mut session = self.0.get().await.map_err(|error| of_pool(&error))?;
        let request = published.request.as_ref().map(RequestId::as_str);
        within(async {
            let transaction = session.transaction().await?;
            transaction.query_one(PUBLISHING, &[]).await?;
            let found: i64 = transaction.query_one(NEWEST, &[]).await?.try_get(0)?;
            if found > i64::from(newest) {
                return Ok(false);
            }
            let (version, at) = (i64::from(published.version), published.at.micros());
            transaction.execute(PUBLISH, &[&version, &published.source, &at, &request]).await?;
            transaction.commit().await?;
            Ok(true)
        })
        .await
    }

    pub async fn stand(&self, known: Known) -> Result<Option<Known>, StoreError> {
        let id: &[u8] = &known.sidecar.0;
        let (generation, start) = (i64::from(known.epoch.generation), number(known.epoch.start)?);
        let acknowledged = number(known.acknowledged.unwrap_or_default())?;
        let (at, acting) = (known.at.micros(), known.acting.as_ref().map(encoded));
        let given: [&(dyn ToSql + Sync); 6] = [&id, &generation, &start, &acknowledged, &at, &acting];
        self.query(STAND, &given).await?.first().map(stands).transpose()
    }

    pub async fn standing(&self, sidecar: SidecarId) -> Result<Option<Known>, StoreError> {
        let id: &[u8] = &sidecar.0;
        self.query(STANDING, &[&id]).await?.first().map(stands).transpose()
    }

    pub async fn keep(&self, unapplied: Vec<Unapplied>) -> Result<(), StoreError> {
        for record in unapplied {
            let id: &[u8] = &record.sidecar.0;
            self.query(KEEP, &[&id, &number(record.number)?, &encoded(&record)]).await?;
        }
        Ok(())
    }

    pub async fn knows(&self, account: &AccountId) -> Result<bool, StoreError> {
        Ok(!self.query(KNOWS, &[&account.as_str()]).await?.is_empty())
    }

    /// Reads without the account's lock: what was committed stays as it is.
    pub async fn history(
        &self,
        account: &AccountId,
        after: u64,
        most: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let rows = self.query(HISTORY, &[&account.as_str(), &number(after)?, &count(most)]).await?;
        let mut entries: Vec<Entry> = Vec::new();
        for row in &rows {
            entries.extend(decoded::<Vec<Entry>>(row, 0, "an entry")?);
        }
        entries.retain(|entry| entry.number > after);
        Ok(entries)
    }

    pub async fn names(&self, after: Option<&str>, most: usize) -> Result<Vec<AccountId>, StoreError> {
        let rows = self.query(NAMES, &[&after.unwrap_or_default(), &count(most)]).await?;
        rows.iter().map(account).collect()
    }

    pub async fn due(&self, at: Timestamp, most: usize) -> Result<Vec<AccountId>, StoreError> {
        self.query(DUE, &[&at.micros(), &count(most)]).await?.iter().map(account).collect()
    }

    pub async fn leased_to(&self, sidecar: SidecarId) -> Result<Vec<AccountId>, StoreError> {
        let id: &[u8] = &sidecar.0;
        self.query(LEASED, &[&id]).await?.iter().map(account).collect()
    }

    pub async fn announce(&self, news: &[News]) -> Result<u64, StoreError> {
        let mut session = self.0.get().await.map_err(|error| of_pool(&error))?;
        let bodies: Vec<Vec<u8>> = news.iter().map(encoded).collect();
        let many = count(news.len());
        within(async {
            let transaction = session.transaction().await?;
            let last: i64 = transaction.query_one(NUMBERED, &[&many]).await?.try_get(0)?;
            let before = last.saturating_sub(many);
            transaction.execute(ANNOUNCE, &[&before, &bodies]).await?;
            transaction.execute(FORGET, &[&last.saturating_sub(NEWS_KEPT)]).await?;
            transaction.commit().await?;
            Ok(counted(before.saturating_add(1)))
        })
        .await
    }

    pub async fn news(&self, after: Option<u64>) -> Result<Heard, StoreError> {
        let rows = match after {
            Some(after) => self.query(NEWS, &[&number(after)?, &NEWS_AT_ONCE]).await?,
            None => Vec::new(),
        };
        let last = self.query(LAST, &[]).await?;
        let last = last.first().ok_or_else(|| StoreError::Refused("the feed's row is gone".into()))?;
        let (last, at): (i64, i64) = (column(last, 0)?, column(last, 1)?);
        let news = rows.iter().map(|row| Ok((counted(column(row, 0)?), decoded(row, 1, "news")?)));
        let news = news.collect::<Result<_, StoreError>>()?;
        Ok(Heard { last: counted(last), news, at: Timestamp::from_micros(at) })
    }
}

fn column<'r, T: tokio_postgres::types::FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, StoreError> {
    row.try_get(column).map_err(|error| of(&error))
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn account(row: &Row) -> Result<AccountId, StoreError> {
    AccountId::parse(column(row, 0)?).map_err(|error| unreadable("the name of an account", &error))
}

fn identity(row: &Row) -> Result<Identity, StoreError> {
    let secret: &[u8] = column(row, 0)?;
    Ok(Identity {
        secret: secret.try_into().map_err(|error| unreadable("the ledger's secret", &error))?,
        generation: small(column(row, 1)?)?,
        learning_until: column::<Option<i64>>(row, 2)?.map(Timestamp::from_micros),
    })
}

fn published(row: &Row) -> Result<Published, StoreError> {
    let request: Option<&str> = column(row, 3)?;
    let request = request.map(RequestId::parse).transpose();
    Ok(Published {
        version: small(column(row, 0)?)?,
        source: column(row, 1)?,
        at: Timestamp::from_micros(column(row, 2)?),
        request: request.map_err(|error| unreadable("the request of a playbook", &error))?,
    })
}

fn stands(row: &Row) -> Result<Known, StoreError> {
    Ok(Known {
        sidecar: sidecar(row, 0)?,
        epoch: Epoch { generation: small(column(row, 1)?)?, start: counted(column(row, 2)?) },
        at: Timestamp::from_micros(column(row, 4)?),
        acknowledged: Some(counted(column(row, 3)?)),
        acting: match column::<Option<&[u8]>>(row, 5)? {
            Some(_) => Some(decoded(row, 5, "who a sidecar acts for")?),
            None => None,
        },
    })
}

fn small(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|error| unreadable("a number", &error))
}

pub(super) fn encoded<T: minicbor::Encode<()>>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(value, &mut bytes);
    bytes
}
