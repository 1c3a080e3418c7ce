//! The ledger, as a sidecar reaches it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use prost::bytes::Bytes;
use tokio_stream::Stream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use super::connect::Way;
use super::http2::{CONNECTION_WINDOW, STREAM_WINDOW};
pub use super::lease_server::LEASES_MAX;
use super::lease_wire::{self, decoded, encoded, instant, wire_duration, wire_sender};
pub use super::ledger_api::{Attached, Hello, Leased, NamedRun, Reported, Sender, Told};
pub use super::link_error::{DecideError, LinkError};
use super::link_error::{decide_error, error_of, link_error, said};
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::lease_service_client::LeaseServiceClient;
use crate::engine::account::{RunAsk, RunReply};
use crate::lease::{AccountTerms, Ask, LeaseTotals, Recount};
use crate::telemetry::Trace;
use crate::telemetry::names::span;
use crate::telemetry::trace::calling;
use crate::types::{AccountId, Epoch, SidecarId};

/// A connection that is not there after this long is not coming.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// A silent connection is tried this often, and given up after so long: a partition is noticed within both together.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(5);

/// How long attaching and reporting may take: nobody waits for them, and both are repeated.
const ATTACH_WITHIN: Duration = Duration::from_secs(30);
const REPORT_WITHIN: Duration = Duration::from_secs(30);

/// What an answer may have: an attach brings every playbook.
const ANSWER_BYTES_MAX: usize = 32 << 20;

/// What a question may have: a report is the largest.
const QUESTION_BYTES_MAX: usize = 16 << 20;

/// A handle to the ledger: cheap to clone, connected when first used and again after each loss.
#[derive(Clone, Debug)]
pub struct LeaseClient {
    client: LeaseServiceClient<Channel>,
    heard: Arc<Heard>,
}

/// One report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Durable records, in order.
    pub records: Vec<Reported>,
    pub totals: Vec<(AccountId, LeaseTotals)>,
    /// Slices counted anew for a ledger that was restored from a backup.
    pub recounts: Vec<(AccountId, Recount)>,
    /// The highest record that was seen acknowledged in the epoch's generation; 0 = none.
    pub acknowledged: u64,
    /// The newest recall that was carried out before the records were chosen, with all before it: what each of them gave
    /// back is among the records, or was reported before. 0 = none.
    pub recalls_answered: u64,
}

/// What came over watches so far.
#[derive(Debug, Default)]
struct Heard {
    /// The newest playbook version.
    playbook: AtomicU32,
    /// The newest recall that was handed out: whoever handles changes one by one has carried out all before it.
    recall: AtomicU64,
}

impl LeaseClient {
    /// `endpoint`: `http://host:port` or `unix:///path`. Must be called within a tokio runtime; nothing is connected yet.
    pub fn new(endpoint: &str) -> Result<Self, LinkError> {
        Ok(Self::over(Self::endpoint(endpoint)?.connect_lazy()))
    }

    /// The same over TLS, where the ledger speaks it.
    pub fn by(way: &Way) -> Result<Self, LinkError> {
        Ok(Self::over(way.connect_lazily(Self::endpoint(&way.uri())?)))
    }

    /// Over a channel of the caller's making.
    pub fn over(channel: Channel) -> Self {
        let client = LeaseServiceClient::new(channel)
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(QUESTION_BYTES_MAX);
        Self { client, heard: Arc::default() }
    }

    /// How a ledger is connected to, wherever it is.
    pub fn endpoint(endpoint: &str) -> Result<Endpoint, LinkError> {
        let wrong = |error: tonic::transport::Error| {
            LinkError::Refused(format!(
                "`{endpoint}` is not an endpoint such as `http://127.0.0.1:7400`: {error}"
            ))
        };
        Ok(Endpoint::from_shared(endpoint.to_owned())
            .map_err(wrong)?
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_WITHIN)
            // Thousands of changes may come over the watch at once, faster than they are taken in.
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_WITHIN)
            .keep_alive_while_idle(true))
    }

    /// A sidecar that has nothing to remember of the ledger. `start`: the number of this start in its journal.
    pub async fn attach(&self, sidecar: SidecarId, start: u64) -> Result<Attached, LinkError> {
        self.introduce(&Hello { sidecar, start, ..Hello::default() }).await
    }

    /// Begins to act for a journal. Again after each loss of the connection.
    pub async fn introduce(&self, hello: &Hello) -> Result<Attached, LinkError> {
        let mut client = self.client.clone();
        let request = Request::new(wire::AttachRequest {
            sidecar: Bytes::copy_from_slice(&hello.sidecar.0),
            start: hello.start,
            generation: hello.generation,
            acknowledged: hello.acknowledged,
            identity: hello.acting.identity.as_ref().map(ToString::to_string).unwrap_or_default(),
            accounts: hello.acting.accounts.patterns().to_vec(),
        });
        let answer =
            within(ATTACH_WITHIN, client.attach(request)).await.map_err(|status| link_error(&status))?;
        let missing = |what: &str| LinkError::Unreachable(format!("its answer has no {what}"));
        let epoch: Epoch = lease_wire::epoch(answer.epoch.as_ref().ok_or_else(|| missing("epoch"))?);
        let now = instant(answer.now.as_ref().ok_or_else(|| missing("clock"))?);
        if let Some(newest) = answer.playbooks.iter().map(|playbook| playbook.version).max() {
            self.heard.playbook.fetch_max(newest, Ordering::AcqRel);
        }
        Ok(Attached {
            epoch,
            generation: answer.generation,
            now,
            playbooks: answer.playbooks.into_iter().map(|playbook| playbook.document).collect(),
            acknowledged: answer.acknowledged,
        })
    }

    /// Waits for `wait` at most; the ledger may use most of it to recall idle slices of others.
    pub async fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Leased, LinkError> {
        let request = lease_request(who, account, ask, wait);
        let mut client = self.client.clone();
        let asked = calling(span::LEASE, async move { within(wait, client.lease(traced(request))).await });
        let answer = asked.await.map_err(|status| link_error(&status))?;
        leased(answer.grant, answer.fault)
    }

    /// The same for several accounts in one call, each answered on its own; the answers are in the order of the asks. At
    /// most `LEASES_MAX`.
    pub async fn lease_all(
        &self,
        who: Sender,
        asks: &[(AccountId, Ask)],
        wait: Duration,
    ) -> Vec<Result<Leased, LinkError>> {
        let Some(((account, ask), more)) = asks.split_first() else { return Vec::new() };
        let mut request = lease_request(who, account, ask, wait);
        let one = |(account, ask): &(AccountId, Ask)| wire::AccountAsk {
            account: account.to_string(),
            ask: encoded(ask),
        };
        request.more = more.iter().map(one).collect();
        let mut client = self.client.clone();
        let answer = match within(wait, client.lease(request)).await {
            Ok(answer) => answer,
            Err(status) => return asks.iter().map(|_| Err(link_error(&status))).collect(),
        };
        let mut answers = vec![leased(answer.grant, answer.fault)];
        answers.extend(answer.more.into_iter().map(|lease| leased(lease.grant, lease.fault)));
        // A ledger of an earlier build answers the first alone; the others are asked about one by one.
        for (account, ask) in asks.iter().skip(answers.len()) {
            answers.push(self.lease(who, account, ask, wait).await);
        }
        answers
    }

    pub async fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        wait: Duration,
    ) -> Result<RunReply, DecideError> {
        self.decide_naming(who, account, ask, &[], wait).await
    }

    /// The same for a call that names other runs.
    pub async fn decide_naming(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        named: &[NamedRun],
        wait: Duration,
    ) -> Result<RunReply, DecideError> {
        let request = wire::DecideRequest {
            sender: wire_sender(who),
            account: account.to_string(),
            ask: encoded(ask),
            wait: wire_duration(wait),
            runs: named.iter().map(lease_wire::wire_named).collect(),
        };
        let mut client = self.client.clone();
        let asked = calling(span::DECIDE, async move { within(wait, client.decide(traced(request))).await });
        let answer = asked.await.map_err(decide_error)?;
        decoded(&answer.reply)
            .map_err(|what| DecideError::Unreachable(format!("its reply can't be read: {what}")))
    }

    /// Reports records and totals alone, for a caller that has carried out every recall that it was handed.
    pub async fn report(
        &self,
        who: Sender,
        records: Vec<Reported>,
        totals: Vec<(AccountId, LeaseTotals)>,
    ) -> Result<u64, LinkError> {
        let recalls_answered = self.heard.recall.load(Ordering::Acquire);
        self.tell(who, Report { records, totals, recalls_answered, ..Report::default() }).await
    }

    /// Answers the highest record that is durable at the ledger. An empty report is one, too: totals alone.
    pub async fn tell(&self, who: Sender, report: Report) -> Result<u64, LinkError> {
        let recount = |(account, recount): (AccountId, Recount)| wire::Recount {
            account: account.to_string(),
            recount: encoded(&recount),
        };
        let record = |record: Reported| wire::Record {
            number: record.number,
            epoch: Some(lease_wire::wire_epoch(record.epoch)),
            body: record.body.into(),
        };
        let total = |(account, totals): (AccountId, LeaseTotals)| wire::Totals {
            account: account.to_string(),
            totals: encoded(&totals),
        };
        let request = wire::ReportRequest {
            sender: wire_sender(who),
            records: report.records.into_iter().map(record).collect(),
            totals: report.totals.into_iter().map(total).collect(),
            recounts: report.recounts.into_iter().map(recount).collect(),
            acknowledged: report.acknowledged,
            recalls_seen: report.recalls_answered,
        };
        let mut client = self.client.clone();
        let answer = within(REPORT_WITHIN, client.report(request)).await;
        Ok(answer.map_err(|status| link_error(&status))?.acknowledged)
    }

    /// What changes from now on. The stream ends or fails with the connection: attach again, then watch again.
    pub async fn watch(&self, who: Sender) -> Result<Watching, LinkError> {
        let playbook_version = self.heard.playbook.load(Ordering::Acquire);
        let request = wire::WatchRequest { sender: wire_sender(who), playbook_version };
        // The headers of the answer come at once, the stream stays.
        let mut client = self.client.clone();
        let stream =
            within(ATTACH_WITHIN, client.watch(request)).await.map_err(|status| link_error(&status))?;
        Ok(Watching { stream, heard: Arc::clone(&self.heard) })
    }
}

/// The changes that a sidecar hears of.
#[derive(Debug)]
pub struct Watching {
    stream: tonic::Streaming<wire::WatchResponse>,
    heard: Arc<Heard>,
}

impl Watching {
    fn told(&self, response: wire::WatchResponse) -> Result<Option<Told>, LinkError> {
        use wire::watch_response::Change;
        let unreadable = |what: String| LinkError::Unreachable(format!("a change can't be read: {what}"));
        let account = |text: &str| AccountId::parse(text).map_err(|what| unreadable(what.to_string()));
        Ok(Some(match response.change {
            // A newer ledger says something that this build does not know: it concerns what this build does not do.
            None => return Ok(None),
            Some(Change::Playbook(playbook)) => {
                self.heard.playbook.fetch_max(playbook.version, Ordering::AcqRel);
                Told::Playbook(playbook.document)
            }
            Some(Change::Terms(change)) => {
                let terms: AccountTerms = decoded(&change.terms).map_err(unreadable)?;
                Told::Terms(account(&change.account)?, Box::new(terms))
            }
            Some(Change::Unknown(change)) => Told::Unknown(account(&change.account)?),
            Some(Change::Recall(recall)) => {
                let told = Told::Recall(account(&recall.account)?, recall.number);
                self.heard.recall.fetch_max(recall.number, Ordering::AcqRel);
                told
            }
            Some(Change::Promote(promote)) => {
                let runs = promote.reservations.iter().map(|id| lease_wire::reservation(id));
                let runs = runs.collect::<Result<_, _>>().map_err(|status| unreadable(said(&status)))?;
                let told = Told::Promote(account(&promote.account)?, runs, promote.number);
                self.heard.recall.fetch_max(promote.number, Ordering::AcqRel);
                told
            }
        }))
    }
}

impl Stream for Watching {
    type Item = Result<Told, LinkError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let response = match Pin::new(&mut self.stream).poll_next(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(response)) => response,
            };
            let told = match response {
                Ok(response) => self.told(response),
                Err(status) => Err(link_error(&status)),
            };
            if let Some(told) = told.transpose() {
                return Poll::Ready(Some(told));
            }
        }
    }
}

fn lease_request(who: Sender, account: &AccountId, ask: &Ask, wait: Duration) -> wire::LeaseRequest {
    wire::LeaseRequest {
        sender: wire_sender(who),
        account: account.to_string(),
        ask: encoded(ask),
        wait: wire_duration(wait),
        more: Vec::new(),
    }
}

/// With the place in the trace that the call is made at.
fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = Trace::current().and_then(|trace| trace.header().parse().ok());
    if let Some(header) = header {
        request.metadata_mut().insert("traceparent", header);
    }
    request
}

/// What came of an ask.
fn leased(grant: Option<Bytes>, fault: Option<wire::LeaseFault>) -> Result<Leased, LinkError> {
    if let Some(fault) = fault {
        return Err(error_of(&fault.reason, Code::from(fault.code), fault.message));
    }
    let Some(grant) = grant else { return Ok(Leased::Unknown) };
    let grant =
        decoded(&grant).map_err(|what| LinkError::Unreachable(format!("its grant can't be read: {what}")))?;
    Ok(Leased::Granted(Box::new(grant)))
}

/// Here and not by a deadline in the request: it counts the time that connecting takes, too.
async fn within<T>(
    wait: Duration,
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Status> {
    match tokio::time::timeout(wait, call).await {
        Ok(answer) => answer.map(tonic::Response::into_inner),
        Err(_) => Err(Status::deadline_exceeded("no answer in time")),
    }
}

#[cfg(test)]
#[path = "lease_client_tests.rs"]
mod tests;
