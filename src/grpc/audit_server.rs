//! `AuditService`: what finance and auditors call.

use std::pin::Pin;

use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::account_wire::Page;
use super::admission::Admission;
use super::lease_wire::{instant, timestamp};
use super::ledger_api::{AuditEntry, Auditing, BlockChange, LedgerApi, LedgerError};
use super::ledger_status;
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::audit_service_server::AuditService;
use crate::runtime::Shutdown;
use crate::types::Credits;

/// Entries in one message of an export: a megabyte or less.
const EXPORT_ENTRIES: usize = 500;

#[derive(Clone, Debug)]
pub(super) struct AuditServer<L> {
    pub ledger: L,
    pub admission: Admission,
    pub shutdown: Shutdown,
}

#[tonic::async_trait]
impl<L: LedgerApi> AuditService for AuditServer<L> {
    type ExportStream = Pin<Box<dyn Stream<Item = Result<wire::ExportResponse, Status>> + Send>>;

    async fn list_entries(
        &self,
        request: Request<wire::ListEntriesRequest>,
    ) -> Result<Response<wire::ListEntriesResponse>, Status> {
        let (account, request, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let page = Page::read(request.page_size, &request.page_token)?;
        let mut audit = self.ledger.audit(&account).await.map_err(status)?;
        let mut entries = Vec::new();
        loop {
            let next = audit.next().await.map_err(status)?;
            let ended = next.is_empty();
            entries.extend(next.into_iter().filter(|entry| wanted(entry, &request, page.after())));
            // One more than the page: it tells whether there is another.
            if ended || entries.len() > page.size() {
                break;
            }
        }
        let (entries, next_page_token) = page.cut(entries, |entry| entry.number);
        let entries = entries.iter().map(wire_entry).collect();
        Ok(Response::new(wire::ListEntriesResponse { entries, next_page_token }))
    }

    async fn export(
        &self,
        request: Request<wire::ExportRequest>,
    ) -> Result<Response<Self::ExportStream>, Status> {
        let (account, _, _, admitted) = self.admission.take_of(request, |r| &r.account)?;
        let audit = self.ledger.audit(&account).await.map_err(status)?;
        let (sender, receiver) = mpsc::channel(1);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = exported(audit, &sender) => {}
                () = shutdown.requested() => {}
                () = sender.closed() => {}
            }
            drop(admitted);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn verify(
        &self,
        request: Request<wire::VerifyRequest>,
    ) -> Result<Response<wire::VerifyResponse>, Status> {
        let (account, _, _, _place) = self.admission.take_of(request, |r| &r.account)?;
        let mut audit = self.ledger.audit(&account).await.map_err(status)?;
        let mut verified = wire::VerifyResponse { whole: true, ..wire::VerifyResponse::default() };
        loop {
            let entries = audit.next().await.map_err(status)?;
            let Some(last) = entries.last() else { break };
            verified.entries = verified.entries.saturating_add(entries.len() as u64);
            verified.link = hex(&last.link);
            if let Some(broken) = entries.iter().find(|entry| !entry.linked).filter(|_| verified.whole) {
                verified.whole = false;
                verified.broken_at = broken.number;
            }
        }
        Ok(Response::new(verified))
    }
}

/// Sends everything, part by part.
async fn exported<A: Auditing>(mut audit: A, sender: &mpsc::Sender<Result<wire::ExportResponse, Status>>) {
    loop {
        let entries = match audit.next().await {
            Ok(entries) if entries.is_empty() => return,
            Ok(entries) => entries,
            Err(error) => {
                // Where nobody listens any more, nobody is told.
                let _ = sender.send(Err(status(error))).await;
                return;
            }
        };
        for part in entries.chunks(EXPORT_ENTRIES) {
            let part = wire::ExportResponse { entries: part.iter().map(wire_entry).collect() };
            if sender.send(Ok(part)).await.is_err() {
                return;
            }
        }
    }
}

fn wanted(entry: &AuditEntry, request: &wire::ListEntriesRequest, after: u64) -> bool {
    entry.number > after
        && (request.kind.is_empty() || request.kind == entry.kind)
        && request.from.as_ref().is_none_or(|from| entry.at >= instant(from))
        && request.to.as_ref().is_none_or(|to| entry.at < instant(to))
}

fn wire_entry(entry: &AuditEntry) -> wire::AuditEntry {
    wire::AuditEntry {
        number: entry.number,
        at: Some(timestamp(entry.at)),
        kind: entry.kind.to_owned(),
        choice: entry.choice.map(|choice| choice.to_string()).unwrap_or_default(),
        rule: entry.rule.to_owned(),
        playbook_version: entry.version,
        changes: entry.changes.iter().map(wire_change).collect(),
        debt: changed(entry.debt),
        reservation_id: entry.run.map(|run| run.to_string()).unwrap_or_default(),
        sidecar: entry.sidecar.map(|sidecar| sidecar.to_string()).unwrap_or_default(),
        request_id: entry.request.as_ref().map(ToString::to_string).unwrap_or_default(),
        link: hex(&entry.link),
    }
}

fn wire_change(change: &BlockChange) -> wire::BlockChange {
    wire::BlockChange {
        block: change.block.0,
        species: change.species.to_string(),
        pool: change.pool.to_string(),
        granted: changed(change.granted),
        available: changed(change.available),
        held: changed(change.held),
        spent: changed(change.spent),
        lapsed: changed(change.lapsed),
        withdrawn: changed(change.withdrawn),
    }
}

fn changed(credits: Credits) -> String {
    if credits.is_zero() { String::new() } else { credits.to_string() }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn status(error: LedgerError) -> Status {
    ledger_status::of(&error)
}
