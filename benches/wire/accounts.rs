//! Opens the accounts: as many at the ledger and known to the sidecar as shall be, and a warm lease for each that is called about.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use bursar::config::Endpoint;
use bursar::grpc::client::{LedgerClient, SidecarClient};
use bursar::grpc::proto::{ledger_v1, v1};
use bursar::types::Credits;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::calls::{self, Plan, Size, USERS};
use super::processes::Server;

/// One run before all, so large that the lease it brings lasts: what a lease in steady use is sized to, too.
const LARGE: &str = "500000";

/// Grants of a laden account: with the playbook's two allowances, 20 blocks. All are small beside a lease, so that each of them
/// is drawn into it.
const GRANTS: u32 = 18;
const GRANT: i64 = 1_000_000;

/// Caps of a laden account; the playbook's one per run, which a balance need not show, is the fifth.
const CAPS: [&str; 4] = ["team", "user", "agent", "action"];

/// Changes that share the ledger's writes; and fewer runs whose leases shall come at once, since what comes too late is leased anew,
/// and smaller.
const AT_ONCE: usize = 64;
const WARMED_AT_ONCE: usize = 16;

/// So many of the leases reach into every block, of a hundred: one that had to be asked for again may be smaller.
const DEEP_PERCENT: u64 = 90;

/// A ledger that is busy with all this may once answer too late for a run; how often it is tried, and when again.
const TRIES: usize = 5;
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// After this, leases of which nothing was used have ended, and whoever had them is idle.
const LEASES_OVER: Duration = Duration::from_secs(75);

pub const PATIENCE: Duration = Duration::from_secs(30);

struct Opening {
    ledger: LedgerClient,
    sidecar: SidecarClient,
    size: Size,
}

/// Answers what a call and its commit were answered.
pub async fn open(
    ledger: &Server,
    sidecar: &Server,
    size: Size,
    playbook: &str,
) -> anyhow::Result<(v1::AuthorizeResponse, v1::CommitResponse)> {
    let at = |server: &Server| Endpoint::Http(server.tcp.to_string());
    let mut opening = Opening {
        ledger: LedgerClient::connect(&at(ledger), PATIENCE).await?,
        sidecar: SidecarClient::connect(&at(sidecar), PATIENCE).await?,
        size,
    };
    let publish = ledger_v1::PlaybookServicePublishRequest {
        document: playbook.to_owned(),
        request_id: "publish".to_owned(),
        ..ledger_v1::PlaybookServicePublishRequest::default()
    };
    opening.ledger.publish(publish).await?;
    let began = tokio::time::Instant::now();
    each(size.idle(), AT_ONCE, |number| opening.meet(number)).await?;
    if size.idle() > 0 {
        eprintln!("{} accounts met in {:.0?}; now their leases end", size.idle(), began.elapsed());
        tokio::time::sleep(LEASES_OVER).await;
    }
    let began = tokio::time::Instant::now();
    for plan in size.plans() {
        each(size.called(), AT_ONCE, |number| opening.opened(*plan, number)).await?;
    }
    // All at last, so that no lease ends before it is used.
    for plan in size.plans() {
        each(size.called() * USERS, WARMED_AT_ONCE, |number| {
            opening.warmed(plan.account(number / USERS), number % USERS)
        })
        .await?;
    }
    if size != Size::Small {
        let deep = Cell::new(0);
        each(size.called(), AT_ONCE, |number| opening.sound(Plan::Plain.account(number), &deep)).await?;
        let (deep, called) = (deep.get(), size.called());
        eprintln!("{called} accounts laden in {:.0?}; {deep} leases reach into every block", began.elapsed());
        anyhow::ensure!(deep * 100 >= called * DEEP_PERCENT, "too few leases reach into every block");
    }
    let sample = calls::authorize(Plan::Plain.account(0), 0);
    let held = opening.held(v1::AuthorizeRequest { request_id: "sample".to_owned(), ..sample }).await?;
    let committed = opening.sidecar.commit(calls::commit(held.reservation.clone())).await?;
    Ok((held, committed))
}

/// Does it for every number below `count`, so many at once.
async fn each<F>(count: u64, at_once: usize, work: impl Fn(u64) -> F) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    stream::iter(0..count).map(Ok).try_for_each_concurrent(at_once, work).await
}

impl Opening {
    /// An account that runs once, and lies idle then.
    async fn meet(&self, number: u64) -> anyhow::Result<()> {
        let account = format!("idle-{number:06}");
        self.subscribe(&account, Plan::Plain).await?;
        let held = self.held(calls::authorize(account, number)).await?;
        self.release(held).await
    }

    /// An account that is called about.
    async fn opened(&self, plan: Plan, number: u64) -> anyhow::Result<()> {
        let account = plan.account(number);
        self.subscribe(&account, plan).await?;
        if self.size == Size::Small { Ok(()) } else { self.load(&account).await }
    }

    /// A large run that is given back: each user has counters of their own, each with room to be leased.
    async fn warmed(&self, account: String, user: u64) -> anyhow::Result<()> {
        let large = v1::AuthorizeRequest {
            quantity: Some(LARGE.to_owned()),
            request_id: format!("large-{user}"),
            ..calls::authorize(account.clone(), user)
        };
        let held = self.held(large).await?;
        if self.size != Size::Small {
            self.capped(&account).await?;
        }
        self.release(held).await
    }

    async fn subscribe(&self, account: &str, plan: Plan) -> anyhow::Result<()> {
        self.ledger.clone().subscribe(calls::subscribe(account.to_owned(), plan)).await?;
        Ok(())
    }

    /// Blocks that end one after the other, and caps.
    async fn load(&self, account: &str) -> anyhow::Result<()> {
        let mut blocks = BTreeSet::new();
        for number in 0..GRANTS {
            let grant = ledger_v1::GrantRequest {
                account: account.to_owned(),
                credits: GRANT.to_string(),
                species: "incentive".to_owned(),
                lasts: Some(prost_types::Duration { seconds: i64::from(30 + number) * 86_400, nanos: 0 }),
                request_id: format!("grant-{account}-{number}"),
                ..ledger_v1::GrantRequest::default()
            };
            blocks.insert(self.ledger.clone().grant(grant).await?.grant);
        }
        anyhow::ensure!(blocks.len() == GRANTS as usize, "`{account}` has the grants {blocks:?}");
        for per in CAPS {
            let cap = ledger_v1::SetCapRequest {
                account: account.to_owned(),
                cap: format!("{{name: daily-{per}, per: {per}, limit: 900000000, every: day}}"),
                request_id: format!("cap-{account}-{per}"),
                ..ledger_v1::SetCapRequest::default()
            };
            self.ledger.clone().set_cap(cap).await?;
        }
        Ok(())
    }

    /// Counts the account if its lease reaches past the grants.
    async fn sound(&self, account: String, deep: &Cell<u64>) -> anyhow::Result<()> {
        let ask = ledger_v1::GetBalanceRequest { account, pool: String::new() };
        let leased = self.ledger.clone().balance(ask).await?.leased;
        let leased: Credits = leased.parse().map_err(anyhow::Error::msg)?;
        deep.set(deep.get() + u64::from(leased > Credits::whole(i64::from(GRANTS) * GRANT)));
        Ok(())
    }

    /// An open run of the account counts in its caps.
    async fn capped(&self, account: &str) -> anyhow::Result<()> {
        let ask = v1::GetBalanceRequest { account: account.to_owned(), pool: String::new() };
        let counters = self.sidecar.clone().balance(ask).await?.caps;
        let caps: BTreeSet<&str> = counters.iter().map(|counter| counter.cap.as_str()).collect();
        anyhow::ensure!(caps.len() >= CAPS.len(), "`{account}` counts in the caps {caps:?}");
        Ok(())
    }

    async fn held(&self, run: v1::AuthorizeRequest) -> anyhow::Result<v1::AuthorizeResponse> {
        let mut tries = 0..TRIES;
        loop {
            let held = self.sidecar.clone().authorize(run.clone()).await?;
            if held.decision == i32::from(v1::Decision::Allowed) {
                return Ok(held);
            }
            let came_late = held.reason == i32::from(v1::Reason::LedgerUnreachable);
            anyhow::ensure!(came_late && tries.next().is_some(), "a run is denied: {held:?}");
            tokio::time::sleep(AGAIN_AFTER).await;
        }
    }

    async fn release(&self, held: v1::AuthorizeResponse) -> anyhow::Result<()> {
        let release = v1::ReleaseRequest { reservation: held.reservation, ..v1::ReleaseRequest::default() };
        self.sidecar.clone().release(release).await?;
        Ok(())
    }
}
