//! `PlaybookService`: what pricing and platform teams call.

use tonic::{Request, Response, Status};

use super::account_wire::{Page, request_id};
use super::admission::Admission;
use super::lease_wire::timestamp;
use super::ledger_api::{DiffTo, LedgerApi, LedgerError, Version};
use super::ledger_status::{self, invalid};
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::playbook_service_server::PlaybookService;
use crate::playbook::Finding;
use crate::playbook::diff::Change;

/// A document has at most so many bytes: what its check is meant for, and what a record holds many times over.
pub const DOCUMENT_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug)]
pub(super) struct PlaybookServer<L> {
    pub ledger: L,
    pub admission: Admission,
}

#[tonic::async_trait]
impl<L: LedgerApi> PlaybookService for PlaybookServer<L> {
    async fn publish(
        &self,
        request: Request<wire::PlaybookServicePublishRequest>,
    ) -> Result<Response<wire::PlaybookServicePublishResponse>, Status> {
        let _admitted = self.admission.enter()?;
        let request = request.into_inner();
        if request.document.len() > DOCUMENT_BYTES_MAX {
            let what = format!(
                "the document has {} bytes; a playbook has at most {DOCUMENT_BYTES_MAX}",
                request.document.len()
            );
            return Err(invalid("PLAYBOOK_INVALID", "document", what));
        }
        let id = if request.validate_only { None } else { Some(request_id(&request.request_id)?) };
        let (version, warnings) =
            self.ledger.publish(&request.document, id.as_ref()).await.map_err(status)?;
        Ok(Response::new(wire::PlaybookServicePublishResponse {
            version: Some(wire_version(&version)),
            warnings: warnings.iter().map(wire_finding).collect(),
        }))
    }

    async fn get(
        &self,
        request: Request<wire::PlaybookServiceGetRequest>,
    ) -> Result<Response<wire::PlaybookServiceGetResponse>, Status> {
        let _admitted = self.admission.enter()?;
        let (version, document) = self.ledger.playbook(request.into_inner().version).map_err(status)?;
        Ok(Response::new(wire::PlaybookServiceGetResponse {
            version: Some(wire_version(&version)),
            document,
        }))
    }

    async fn diff(
        &self,
        request: Request<wire::PlaybookServiceDiffRequest>,
    ) -> Result<Response<wire::PlaybookServiceDiffResponse>, Status> {
        let _admitted = self.admission.enter()?;
        let request = request.into_inner();
        let after = match (request.after, request.document.len()) {
            (0, 1..=DOCUMENT_BYTES_MAX) => DiffTo::Source(request.document),
            (1.., 0) => DiffTo::Version(request.after),
            _ => {
                let what = format!(
                    "give either `after`, a version, or `document`, at most {DOCUMENT_BYTES_MAX} bytes"
                );
                return Err(invalid("PLAYBOOK_INVALID", "document", what));
            }
        };
        let (diff, earliest) = self.ledger.diff(request.before, &after).map_err(status)?;
        Ok(Response::new(wire::PlaybookServiceDiffResponse {
            changes: diff.changes.iter().map(wire_change).collect(),
            dearer: diff.is_dearer(),
            earliest_effective: Some(timestamp(earliest)),
        }))
    }

    async fn list(
        &self,
        request: Request<wire::PlaybookServiceListRequest>,
    ) -> Result<Response<wire::PlaybookServiceListResponse>, Status> {
        let _admitted = self.admission.enter()?;
        let request = request.into_inner();
        let page = Page::read(request.page_size, &request.page_token)?;
        // Newest first: the lower version is the later item.
        let order = |version: &Version| u64::from(u32::MAX - version.version) + 1;
        let (versions, next_page_token) = page.cut(self.ledger.playbooks(), order);
        let versions = versions.iter().map(wire_version).collect();
        Ok(Response::new(wire::PlaybookServiceListResponse { versions, next_page_token }))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that `map_err` wants")]
fn status(error: LedgerError) -> Status {
    ledger_status::of(&error)
}

fn wire_version(version: &Version) -> wire::PlaybookVersion {
    let published = version.published_at.map(timestamp);
    wire::PlaybookVersion {
        playbook: version.playbook.to_string(),
        version: version.version,
        effective_at: version.effective_at.map(timestamp),
        published_at: published,
        in_force: version.in_force,
    }
}

fn wire_change(change: &Change) -> wire::PlaybookChange {
    wire::PlaybookChange {
        path: change.path.clone(),
        before: change.before.clone().unwrap_or_default(),
        after: change.after.clone().unwrap_or_default(),
        dearer: change.dearer,
        price_rises: change.price_rises,
        whom: change.whom.to_string(),
    }
}

fn wire_finding(finding: &Finding) -> wire::Finding {
    wire::Finding {
        choice: finding.choice.map(|choice| choice.to_string()).unwrap_or_default(),
        line: finding.line,
        message: said(finding),
        column: finding.column,
    }
}

/// Where in the document, what, why, and what instead; its line and choice have fields of their own.
fn said(finding: &Finding) -> String {
    let place = if finding.path.is_empty() { String::new() } else { format!("{}: ", finding.path) };
    format!("{place}{}\n  why: {}\n  help: {}", finding.problem, finding.why, finding.help)
}
