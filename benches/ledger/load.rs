//! Sidecars in miniature: runs are settled by the engine's own wallets beforehand, so that only the ledger's work is timed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bursar::engine::wallet::{Here, Link, Log, Step, Wallet};
use bursar::engine::{Authorize, Commit, Playbooks};
use bursar::grpc::lease_client::{LeaseClient, Leased, Reported, Sender};
use bursar::grpc::proto::ledger_v1 as wire;
use bursar::grpc::proto::ledger_v1::account_service_client::AccountServiceClient;
use bursar::grpc::proto::ledger_v1::playbook_service_client::PlaybookServiceClient;
use bursar::lease::{Ask, SidecarRecord, WalletEvent};
use bursar::playbook::{Quantities, RunResult};
use bursar::types::{AccountId, Credits, Name, ReservationId, SidecarId};

/// Sidecars that report at once.
const SIDECARS: usize = 8;

/// Records of one report: what a busy sidecar gathers while the report before is under way.
const REPORT: usize = 2000;

const WAIT: Duration = Duration::from_secs(30);

const PLAYBOOK: &str = "
bursar: 1
playbook: bench
version: 1
credit: {unit: output, price: 0.10, currency: USD}
actions: {draft: {weight: 1}}
plans: {basic: {allowance: {credits: 100000000, every: month}}}
";

/// A sidecar's records, in reports.
struct Load {
    client: LeaseClient,
    who: Sender,
    reports: Vec<Vec<Reported>>,
}

/// How many runs a second become durable charges at the ledger.
pub async fn charges_per_second(url: &str, accounts: usize, charges: usize) -> Result<f64> {
    let names = set_up(url, accounts).await?;
    let mut loads = Vec::new();
    for sidecar in 0..SIDECARS {
        loads.push(prepared(url, sidecar, &names, charges / SIDECARS).await?);
    }
    let sent: usize = loads.iter().flat_map(|load| &load.reports).map(Vec::len).sum();
    let began = tokio::time::Instant::now();
    let mut reporting = tokio::task::JoinSet::new();
    for Load { client, who, reports } in loads {
        reporting.spawn(async move {
            for report in reports {
                let last = report.last().map_or(0, |record| record.number);
                let acknowledged = client.report(who, report, Vec::new()).await?;
                anyhow::ensure!(acknowledged == last, "{acknowledged} of {last}");
            }
            anyhow::Ok(())
        });
    }
    for done in reporting.join_all().await {
        done?;
    }
    let seconds = began.elapsed().as_secs_f64();
    spent(url, &names, sent).await?;
    Ok(f64::from(u32::try_from(sent)?) / seconds)
}

async fn set_up(url: &str, accounts: usize) -> Result<Vec<AccountId>> {
    let channel = tonic::transport::Endpoint::from_shared(url.to_owned())?.connect().await?;
    let request = wire::PlaybookServicePublishRequest {
        document: PLAYBOOK.to_owned(),
        validate_only: false,
        request_id: "publish".to_owned(),
    };
    PlaybookServiceClient::new(channel.clone()).publish(request).await?;
    let mut names = Vec::new();
    for account in 0..accounts {
        let name = format!("account-{account}");
        let request = wire::SubscribeRequest {
            account: name.clone(),
            plan: "basic".to_owned(),
            request_id: name.clone(),
            ..Default::default()
        };
        AccountServiceClient::new(channel.clone()).subscribe(request).await?;
        names.push(AccountId::parse(&name)?);
    }
    Ok(names)
}

/// What the ledger has spent must be what was sent.
async fn spent(url: &str, names: &[AccountId], sent: usize) -> Result<()> {
    let channel = tonic::transport::Endpoint::from_shared(url.to_owned())?.connect().await?;
    let mut sum = Credits::ZERO;
    for name in names {
        let request = wire::GetBalanceRequest { account: name.to_string(), pool: String::new() };
        let answer = AccountServiceClient::new(channel.clone()).get_balance(request).await?.into_inner();
        let spent: Credits =
            answer.balance.context("no balance")?.spent.parse().map_err(anyhow::Error::msg)?;
        sum += spent;
    }
    anyhow::ensure!(sum == Credits::whole(i64::try_from(sent)?), "{sum} were charged for {sent} runs");
    Ok(())
}

#[derive(Default)]
struct Journal(Vec<SidecarRecord>, Option<SidecarRecord>);

impl Log for Journal {
    fn prepare(&mut self, account: &AccountId, event: &WalletEvent) {
        self.1 = Some(SidecarRecord { account: account.clone(), event: event.clone() });
    }

    fn append(&mut self, _: &AccountId, _: bool) -> u64 {
        self.0.extend(self.1.take());
        self.last()
    }

    fn durable(&self) -> u64 {
        self.last()
    }

    fn last(&self) -> u64 {
        u64::try_from(self.0.len()).unwrap_or(u64::MAX)
    }
}

async fn prepared(url: &str, sidecar: usize, names: &[AccountId], charges: usize) -> Result<Load> {
    let client = LeaseClient::new(url)?;
    let id = SidecarId([u8::try_from(sidecar)? + 1; 16]);
    let attached = client.attach(id, 1).await?;
    let who = Sender { sidecar: id, epoch: attached.epoch };
    let mut playbooks = Playbooks::default();
    for source in &attached.playbooks {
        playbooks.publish(bursar::playbook::load(source).map_err(|_| anyhow::anyhow!("bad playbook"))?);
    }
    let mut journal = Journal::default();
    let each = charges.div_ceil(names.len());
    let mut wallets = Vec::new();
    for name in names {
        let mut wallet = Wallet::new(name.clone());
        let ask = Ask { credits: Credits::whole(i64::try_from(each)?), ..Ask::default() };
        let leased = client.lease(who, name, &ask, WAIT).await?;
        let Leased::Granted(grant) = leased else { bail!("{leased:?}") };
        let at = grant.at;
        wallet.leased(&grant, at, Here { playbooks: &playbooks, at }, &mut journal);
        wallets.push((wallet, at));
    }
    // Runs of all accounts in turn, as they would come.
    for run in 0..each {
        for (place, (wallet, at)) in wallets.iter_mut().enumerate() {
            let here = Here { playbooks: &playbooks, at: *at };
            let number = u32::try_from(run * names.len() + place)?;
            let mut id = [u8::try_from(sidecar)?; 16];
            for (to, from) in id.iter_mut().zip(number.to_be_bytes()) {
                *to = from;
            }
            settle(wallet, ReservationId(id), here, &mut journal)?;
        }
    }
    let records: Vec<Reported> = journal
        .0
        .iter()
        .zip(1u64..)
        .filter(|(record, _)| matches!(record.event, WalletEvent::Run(_)) && record.event.is_reported())
        .map(|(record, number)| Ok(Reported { number, epoch: who.epoch, body: minicbor::to_vec(record)? }))
        .collect::<Result<_>>()?;
    let reports = records.chunks(REPORT).map(<[Reported]>::to_vec).collect();
    Ok(Load { client, who, reports })
}

fn settle(wallet: &mut Wallet, id: ReservationId, here: Here<'_>, journal: &mut Journal) -> Result<()> {
    let call = Authorize {
        id,
        action: Name::parse("draft")?,
        subject: Default::default(),
        quantities: Some(Quantities::Single("1".parse().map_err(anyhow::Error::msg)?)),
        dimensions: Default::default(),
        run_id: None,
        parent: None,
        retry_of: None,
        ttl: None,
        validate_only: false,
    };
    let held = wallet.authorize(&call, false, Link::Untried, here, journal)?;
    if !matches!(&held, Step::Done { answer, .. } if answer.reservation == Some(id)) {
        bail!("a run does not fit its lease");
    }
    let commit = Commit::new(id, RunResult::Succeeded);
    let settled = wallet.commit(&commit, "", Link::Untried, here, journal)?;
    if matches!(settled, Step::Done { .. }) { Ok(()) } else { bail!("a run was not settled") }
}
