//! `LeaseService`: what sidecars call at the ledger.

use std::pin::Pin;

use prost::bytes::Bytes;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};

use super::admission::Admission;
use super::guard::By;
use super::lease_wire::{self, decoded, encoded};
use super::ledger_api::{Hello, Leased, LedgerApi, Sender};
use super::ledger_status::{self, invalid};
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::lease_service_server::LeaseService;
use crate::lease::Ask;
use crate::runtime::Shutdown;
use crate::types::AccountId;

/// Records of one report at most: what is applied before the answer, and what a lost answer repeats.
pub const RECORDS_MAX: usize = 10_000;

/// Accounts of one call for leases at most: each may wait for a recall, and the slowest holds the answer up.
pub const LEASES_MAX: usize = 64;

/// Totals of one report at most: one per account that the sidecar holds a lease of.
const TOTALS_MAX: usize = 10_000;

#[derive(Clone, Debug)]
pub(super) struct LeaseServer<L> {
    pub ledger: L,
    pub admission: Admission,
    /// Ends the watches, which would otherwise hold a stop up.
    pub shutdown: Shutdown,
}

impl<L: LedgerApi> LeaseServer<L> {
    /// The process that a call speaks for.
    ///
    /// Errors: it was not introduced under the certificate that the call comes under.
    async fn sender(&self, by: &By, named: Option<&wire::Sender>) -> Result<Sender, Status> {
        let who = lease_wire::sender(named)?;
        if by.id().is_some() {
            let acting = self.ledger.acting(who).await.map_err(|e| ledger_status::of(&e))?;
            by.speaks_for(&acting)?;
        }
        Ok(who)
    }
}

#[tonic::async_trait]
impl<L: LedgerApi> LeaseService for LeaseServer<L> {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<wire::WatchResponse, Status>> + Send>>;

    async fn attach(
        &self,
        request: Request<wire::AttachRequest>,
    ) -> Result<Response<wire::AttachResponse>, Status> {
        let (request, by, _place) = self.admission.take(request)?;
        let hello = lease_wire::hello(&request)?;
        let hello = Hello { acting: by.introduced(hello.acting)?, ..hello };
        let attached = self.ledger.attach(hello).await.map_err(|e| ledger_status::of(&e))?;
        let mut versions: Vec<u32> = self.ledger.playbooks().iter().map(|version| version.version).collect();
        versions.sort_unstable();
        Ok(Response::new(lease_wire::wire_attached(attached, &versions)))
    }

    async fn lease(
        &self,
        request: Request<wire::LeaseRequest>,
    ) -> Result<Response<wire::LeaseResponse>, Status> {
        let (request, by, _place) = self.admission.take(request)?;
        let who = self.sender(&by, request.sender.as_ref()).await?;
        let wait = lease_wire::wait(request.wait.as_ref());
        let first = one_ask(&by, &request.account, &request.ask)?;
        if request.more.is_empty() {
            let leased = self.ledger.lease(who, &first.0, &first.1, wait).await;
            let grant = granted(leased.map_err(|e| ledger_status::of(&e))?);
            return Ok(Response::new(wire::LeaseResponse { grant, ..Default::default() }));
        }
        if request.more.len() >= LEASES_MAX {
            let what = format!("a call asks for leases of at most {LEASES_MAX} accounts; send several");
            return Err(invalid("INVALID_ASK", "more", what));
        }
        let mut asking = tokio::task::JoinSet::new();
        let more = request.more.iter().map(|more| one_ask(&by, &more.account, &more.ask));
        for (place, ask) in std::iter::once(Ok(first)).chain(more).enumerate() {
            let ledger = self.ledger.clone();
            asking.spawn(async move {
                let leased = match ask {
                    Ok((account, ask)) => {
                        ledger.lease(who, &account, &ask, wait).await.map_err(|e| ledger_status::of(&e))
                    }
                    Err(status) => Err(status),
                };
                (place, lease_wire::account_lease(leased.map(granted)))
            });
        }
        let mut answers = asking.join_all().await;
        answers.sort_by_key(|(place, _)| *place);
        let mut answers = answers.into_iter().map(|(_, lease)| lease);
        let first = answers.next().unwrap_or_default();
        let (grant, fault) = (first.grant, first.fault);
        Ok(Response::new(wire::LeaseResponse { grant, fault, more: answers.collect() }))
    }

    async fn decide(
        &self,
        request: Request<wire::DecideRequest>,
    ) -> Result<Response<wire::DecideResponse>, Status> {
        let (request, by, _place) = self.admission.take(request)?;
        let who = self.sender(&by, request.sender.as_ref()).await?;
        let account = by.account(&request.account)?;
        let ask = decoded(&request.ask).map_err(bad_ask)?;
        let wait = lease_wire::wait(request.wait.as_ref());
        let named = lease_wire::named_runs(&request.runs)?;
        let reply = self.ledger.decide(who, &account, &ask, &named, wait).await;
        let reply = reply.map_err(|e| ledger_status::of(&e))?;
        Ok(Response::new(wire::DecideResponse { reply: encoded(&reply) }))
    }

    async fn report(
        &self,
        request: Request<wire::ReportRequest>,
    ) -> Result<Response<wire::ReportResponse>, Status> {
        let (request, by, _place) = self.admission.take(request)?;
        let who = self.sender(&by, request.sender.as_ref()).await?;
        if request.records.len() > RECORDS_MAX || request.totals.len() + request.recounts.len() > TOTALS_MAX {
            let what =
                format!("a report has at most {RECORDS_MAX} records and {TOTALS_MAX} totals; send several");
            return Err(invalid("INVALID_RECORDS", "records", what));
        }
        let batch = lease_wire::batch(request)?;
        let acknowledged = self.ledger.report(who, batch).await.map_err(|e| ledger_status::of(&e))?;
        Ok(Response::new(wire::ReportResponse { acknowledged }))
    }

    async fn watch(
        &self,
        request: Request<wire::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let by = By::of(request.extensions());
        let request = request.into_inner();
        let who = self.sender(&by, request.sender.as_ref()).await?;
        let watch = self.ledger.watch(who, request.playbook_version).await;
        let changes = watch.map_err(|e| ledger_status::of(&e))?;
        let changes = ReceiverStream::new(changes).map(|change| Ok(lease_wire::wire_change(change)));
        Ok(Response::new(Box::pin(until(changes, self.shutdown.clone()))))
    }
}

/// The stream, ended by the signal to stop.
fn until<S>(stream: S, shutdown: Shutdown) -> impl Stream<Item = S::Item> + Send
where
    S: Stream + Send + Unpin + 'static,
    S::Item: Send + 'static,
{
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    tokio::spawn(async move {
        let mut stream = stream;
        loop {
            let item = tokio::select! {
                item = stream.next() => item,
                () = shutdown.requested() => None,
                () = sender.closed() => None,
            };
            let Some(item) = item else { return };
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

fn one_ask(by: &By, account: &str, ask: &[u8]) -> Result<(AccountId, Ask), Status> {
    Ok((by.account(account)?, decoded(ask).map_err(bad_ask)?))
}

fn granted(leased: Leased) -> Option<Bytes> {
    match leased {
        Leased::Granted(grant) => Some(encoded(&*grant)),
        Leased::Unknown => None,
    }
}

fn bad_ask(what: String) -> Status {
    invalid("INVALID_ASK", "ask", format!("`ask` can't be read: {what}"))
}
