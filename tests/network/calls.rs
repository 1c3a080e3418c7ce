//! What agent runtimes do: they authorise, work, and commit until somebody has answered.

use std::sync::Arc;
use std::time::Duration;

use bursar::grpc::proto::ledger_v1 as ledger;
use bursar::grpc::proto::ledger_v1::account_service_client::AccountServiceClient;
use bursar::grpc::proto::ledger_v1::playbook_service_client::PlaybookServiceClient;
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::entitlement_service_client::EntitlementServiceClient;
use parking_lot::Mutex;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use crate::hosts::{LEDGER_PORT, SIDECAR_PORT, channel};
use crate::worlds::Dice;

pub const ACCOUNT: &str = "acme";

/// A caller gives an answer up after so long, and asks again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// An authorise that has no answer after so many tries is given up: its run does not begin.
const AUTHORIZE_TRIES: usize = 3;

/// Runs of one caller at once.
const RUNS_AT_ONCE: usize = 4;

/// A commit that was acknowledged.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub handle: String,
    pub charged: u64,
    /// The sidecar that authorised it.
    pub own: usize,
}

/// What the callers were told.
#[derive(Debug, Default)]
pub struct Heard {
    pub acknowledged: Vec<Acknowledged>,
    pub denied: usize,
    pub given_up: usize,
    pub repeated: usize,
}

type Client = EntitlementServiceClient<Channel>;

fn sidecars() -> [Client; 2] {
    ["s1", "s2"].map(|host| EntitlementServiceClient::new(channel(host, SIDECAR_PORT)))
}

/// `None`: there was no answer, or one that says to try again.
async fn answered<T>(call: impl Future<Output = Result<Response<T>, Status>>) -> Option<Result<T, Status>> {
    let answer = tokio::time::timeout(ANSWER_WITHIN, call).await.ok()?;
    match answer.map(Response::into_inner) {
        Err(status) => match status.code() {
            // What the transport says of a connection that broke is `Unknown` or `Internal`.
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Internal => {
                None
            }
            _ => Some(Err(status)),
        },
        answer => Some(answer),
    }
}

/// Publishes the playbook and subscribes the account, before there are faults.
pub async fn administer(document: String) -> turmoil::Result {
    let channel = channel("ledger", LEDGER_PORT);
    let publish =
        ledger::PlaybookServicePublishRequest { document, request_id: "p1".to_owned(), ..Default::default() };
    while answered(PlaybookServiceClient::new(channel.clone()).publish(publish.clone()))
        .await
        .transpose()?
        .is_none()
    {
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    let subscribe = ledger::SubscribeRequest {
        account: ACCOUNT.to_owned(),
        plan: "basic".to_owned(),
        request_id: "subscribe".to_owned(),
        ..Default::default()
    };
    while answered(AccountServiceClient::new(channel.clone()).subscribe(subscribe.clone()))
        .await
        .transpose()?
        .is_none()
    {
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    Ok(())
}

/// Calls mostly the sidecar beside it, for so long; then waits for what is under way.
pub async fn call(own: usize, seed: u64, lasts: Duration, heard: Arc<Mutex<Heard>>) -> turmoil::Result {
    let (clients, mut dice) = (sidecars(), Dice::new(seed));
    let (mut runs, end) = (tokio::task::JoinSet::new(), tokio::time::Instant::now() + lasts);
    let mut number = 0;
    while tokio::time::Instant::now() < end {
        if runs.len() >= RUNS_AT_ONCE
            && let Some(ran) = runs.join_next().await
        {
            ran??;
        }
        number += 1;
        let (clients, heard) = (clients.clone(), Arc::clone(&heard));
        let (request, of_run) = (format!("{own}-{number}"), Dice::new(dice.next()));
        runs.spawn(async move { run(clients, own, request, of_run, &heard).await });
        tokio::time::sleep(Duration::from_millis(20 + dice.below(200))).await;
    }
    while let Some(ran) = runs.join_next().await {
        ran??;
    }
    Ok(())
}

async fn run(
    mut clients: [Client; 2],
    own: usize,
    request_id: String,
    mut dice: Dice,
    heard: &Mutex<Heard>,
) -> Result<(), Status> {
    let quantity = 1 + dice.below(5);
    let authorize = v1::AuthorizeRequest {
        account: ACCOUNT.to_owned(),
        action: "draft".to_owned(),
        quantity: Some(quantity.to_string()),
        request_id: request_id.clone(),
        ..Default::default()
    };
    let mut allowed = None;
    for _ in 0..AUTHORIZE_TRIES {
        allowed = answered(clients[own].authorize(authorize.clone())).await.transpose()?;
        if allowed.is_some() {
            break;
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
    let Some(allowed) = allowed else {
        heard.lock().given_up += 1;
        return Ok(());
    };
    if allowed.decision() == v1::Decision::Denied {
        heard.lock().denied += 1;
        return Ok(());
    }
    tokio::time::sleep(Duration::from_millis(dice.below(1500))).await;
    let commit = v1::CommitRequest {
        reservation: allowed.reservation.clone(),
        result: v1::RunResult::Succeeded.into(),
        request_id: format!("{request_id}-end"),
        ..Default::default()
    };
    // Where one does not answer, the other is asked: a charge is one, whoever hears of it.
    let mut at = if dice.below(4) == 0 { 1 - own } else { own };
    loop {
        match answered(clients[at].commit(commit.clone())).await {
            Some(Ok(_)) => break,
            // The same commit was heard before, and its answer was lost with its sidecar.
            Some(Err(status)) if status.code() == Code::FailedPrecondition => break,
            Some(Err(status)) => return Err(status),
            None => {
                heard.lock().repeated += 1;
                tokio::time::sleep(AGAIN_AFTER).await;
                at = if dice.below(3) == 0 { 1 - at } else { at };
            }
        }
    }
    heard.lock().acknowledged.push(Acknowledged { handle: allowed.reservation, charged: quantity, own });
    Ok(())
}

/// What the ledger has of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Balance {
    pub available: u64,
    pub spent: u64,
    pub held: u64,
    pub debt: u64,
    /// Spent and held in the cap's window.
    pub cap_used: u64,
}

pub async fn balance() -> Option<Balance> {
    let mut client = AccountServiceClient::new(channel("ledger", LEDGER_PORT));
    let request = ledger::GetBalanceRequest { account: ACCOUNT.to_owned(), pool: String::new() };
    let balance = answered(client.get_balance(request)).await?.ok()?.balance?;
    let figure = |text: &str| text.parse().expect("every run costs whole credits");
    Some(Balance {
        available: figure(&balance.available),
        spent: figure(&balance.spent),
        held: figure(&balance.held),
        debt: figure(&balance.debt),
        cap_used: balance.caps.first().map_or(0, |cap| figure(&cap.used)),
    })
}

/// What the ledger knows of a run: its state, and what it was charged. Asked at the sidecar that has not authorised it, which
/// passes the question on.
pub async fn reservation(run: &Acknowledged) -> Option<(v1::State, String)> {
    let get = v1::GetReservationRequest { reservation: run.handle.clone(), ..Default::default() };
    let run = answered(sidecars()[1 - run.own].get_reservation(get)).await?.ok()?.run?;
    Some((run.state(), run.charged))
}
