//! The messages: what an agent runtime sends for an ordinary run, and the playbook that prices it.

use std::time::Duration;

use anyhow::Context;
use bursar::config::Endpoint;
use bursar::grpc::client::{LedgerClient, SidecarClient};
use bursar::grpc::proto::{ledger_v1, v1};

use super::processes::Server;

/// Two plans that differ in their caps alone.
pub const PLAYBOOK: &str = "
bursar: 1
playbook: wire
version: 1
credit: {unit: output, scale: 2, price: 0.10, currency: USD}
actions:
  ticket.answer: {weight: 2, quantity: answer}
plans:
  plain:
    allowance: {credits: 1000000000, every: month}
  capped:
    allowance: {credits: 1000000000, every: month}
    caps:
      - {name: daily-account, per: account, limit: 900000000, every: day}
      - {name: daily-team, per: team, limit: 900000000, every: day}
      - {name: daily-user, per: user, limit: 900000000, every: day}
      - {name: daily-agent, per: agent, limit: 900000000, every: day}
      - {name: daily-action, per: action, limit: 900000000, every: day}
";

/// Accounts of each plan; calls go round them.
const ACCOUNTS: u64 = 16;

/// One run before all, so large that the lease it brings lasts: what a lease in steady use is sized to, too.
const LARGE: &str = "500000";

pub const PATIENCE: Duration = Duration::from_secs(10);

/// Whose calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    Plain,
    Capped,
}

impl Plan {
    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Capped => "capped",
        }
    }

    fn account(self, number: u64) -> String {
        format!("{}-{:02}", self.name(), number % ACCOUNTS)
    }
}

/// The call numbered `number`: no two have the same request id.
pub fn authorize(plan: Plan, number: u64) -> v1::AuthorizeRequest {
    v1::AuthorizeRequest {
        account: plan.account(number),
        subject: Some(v1::Subject {
            team: "support".to_owned(),
            user: format!("user-{}", number % 7),
            agent: "triage".to_owned(),
        }),
        action: "ticket.answer".to_owned(),
        quantity: Some("1.5".to_owned()),
        request_id: format!("call-{number:012}"),
        ttl: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ..v1::AuthorizeRequest::default()
    }
}

pub fn commit(reservation: String) -> v1::CommitRequest {
    v1::CommitRequest { reservation, quantity: Some("1".to_owned()), ..v1::CommitRequest::default() }
}

/// An account's subscription; the same again is the same one.
pub fn subscribe(account: String, plan: Plan) -> ledger_v1::SubscribeRequest {
    ledger_v1::SubscribeRequest {
        request_id: format!("subscribe-{account}"),
        account,
        plan: plan.name().to_owned(),
        ..ledger_v1::SubscribeRequest::default()
    }
}

/// Opens the accounts, warms their leases, and answers what a call and its commit were answered.
pub async fn prepare(
    ledger: &Server,
    sidecar: &Server,
    playbook: &str,
) -> anyhow::Result<(v1::AuthorizeResponse, v1::CommitResponse)> {
    let mut at_ledger = LedgerClient::connect(&Endpoint::Http(ledger.tcp.to_string()), PATIENCE).await?;
    let publish = ledger_v1::PlaybookServicePublishRequest {
        document: playbook.to_owned(),
        request_id: "publish".to_owned(),
        ..ledger_v1::PlaybookServicePublishRequest::default()
    };
    at_ledger.publish(publish).await?;
    let mut at_sidecar = SidecarClient::connect(&Endpoint::Http(sidecar.tcp.to_string()), PATIENCE).await?;
    let mut last = None;
    for plan in [Plan::Capped, Plan::Plain] {
        for number in 0..ACCOUNTS {
            at_ledger.subscribe(subscribe(plan.account(number), plan)).await?;
            // Every user of an account has counters of their own, each with room to be leased.
            for user in 0..7 {
                last = Some(warm(&mut at_sidecar, plan, number, user).await?);
            }
        }
    }
    last.context("no account was opened")
}

/// A large run that is given back, then an ordinary one.
async fn warm(
    sidecar: &mut SidecarClient,
    plan: Plan,
    number: u64,
    user: u64,
) -> anyhow::Result<(v1::AuthorizeResponse, v1::CommitResponse)> {
    let mut ordinary = authorize(plan, number);
    ordinary.request_id = format!("warm-{number}-{user}");
    if let Some(subject) = &mut ordinary.subject {
        subject.user = format!("user-{user}");
    }
    let large = v1::AuthorizeRequest {
        quantity: Some(LARGE.to_owned()),
        request_id: format!("large-{number}-{user}"),
        ..ordinary.clone()
    };
    let held = sidecar.authorize(large).await?;
    anyhow::ensure!(held.decision == i32::from(v1::Decision::Allowed), "the large run is denied: {held:?}");
    let reservation = held.reservation;
    sidecar.release(v1::ReleaseRequest { reservation, ..v1::ReleaseRequest::default() }).await?;
    let answer = sidecar.authorize(ordinary).await?;
    anyhow::ensure!(answer.decision == i32::from(v1::Decision::Allowed), "the run is denied: {answer:?}");
    let committed = sidecar.commit(commit(answer.reservation.clone())).await?;
    Ok((answer, committed))
}
