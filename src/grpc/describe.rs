//! `LedgerService`: what the ledger itself is.

use tonic::{Request, Response, Status};

use super::admission::Admission;
use super::client::wire_timestamp;
use super::ledger_api::LedgerApi;
use super::proto::ledger_v1 as wire;
use super::proto::ledger_v1::ledger_service_server::LedgerService;

#[derive(Clone, Debug)]
pub(super) struct DescribeServer<L> {
    pub ledger: L,
    pub admission: Admission,
}

#[tonic::async_trait]
impl<L: LedgerApi> LedgerService for DescribeServer<L> {
    async fn describe(
        &self,
        _: Request<wire::DescribeRequest>,
    ) -> Result<Response<wire::DescribeResponse>, Status> {
        let _admitted = self.admission.enter()?;
        let (generation, learning_until) = self.ledger.generation();
        Ok(Response::new(wire::DescribeResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            now: Some(wire_timestamp(self.ledger.now())),
            generation,
            learning_until: learning_until.map(wire_timestamp),
        }))
    }
}
