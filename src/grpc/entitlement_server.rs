//! The generated service: each call's headers and message, handed on.

use std::sync::Arc;

use tonic::codegen::BoxStream;
use tonic::{Request, Response, Status, Streaming};

use super::call::Call;
use super::entitlement::Entitlement;
use super::entitlement_api::Entitlements;
use super::proto::v1;
use super::proto::v1::entitlement_service_server::EntitlementService;
use super::session::session;
use super::watch_balance::Balances;

pub(super) struct EntitlementServer<E>(pub(super) Arc<Entitlement<E>>);

/// A call that has one message each way.
macro_rules! answered {
    ($self:ident, $request:ident, $method:ident) => {{
        let (metadata, _, message) = $request.into_parts();
        $self.0.$method(Call::of(&metadata), message).await.map(Response::new)
    }};
}

#[tonic::async_trait]
impl<E: Entitlements> EntitlementService for EntitlementServer<E> {
    async fn authorize(
        &self,
        request: Request<v1::AuthorizeRequest>,
    ) -> Result<Response<v1::AuthorizeResponse>, Status> {
        answered!(self, request, authorize)
    }

    async fn batch_authorize(
        &self,
        request: Request<v1::BatchAuthorizeRequest>,
    ) -> Result<Response<v1::BatchAuthorizeResponse>, Status> {
        answered!(self, request, batch_authorize)
    }

    async fn progress(
        &self,
        request: Request<v1::ProgressRequest>,
    ) -> Result<Response<v1::ProgressResponse>, Status> {
        answered!(self, request, progress)
    }

    async fn commit(
        &self,
        request: Request<v1::CommitRequest>,
    ) -> Result<Response<v1::CommitResponse>, Status> {
        answered!(self, request, commit)
    }

    async fn release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<Response<v1::ReleaseResponse>, Status> {
        answered!(self, request, release)
    }

    async fn record(
        &self,
        request: Request<v1::RecordRequest>,
    ) -> Result<Response<v1::RecordResponse>, Status> {
        answered!(self, request, record)
    }

    async fn get_reservation(
        &self,
        request: Request<v1::GetReservationRequest>,
    ) -> Result<Response<v1::GetReservationResponse>, Status> {
        answered!(self, request, get_reservation)
    }

    async fn list_reservations(
        &self,
        request: Request<v1::ListReservationsRequest>,
    ) -> Result<Response<v1::ListReservationsResponse>, Status> {
        answered!(self, request, list_reservations)
    }

    async fn get_balance(
        &self,
        request: Request<v1::GetBalanceRequest>,
    ) -> Result<Response<v1::GetBalanceResponse>, Status> {
        answered!(self, request, get_balance)
    }

    type WatchBalanceStream = Balances;

    async fn watch_balance(
        &self,
        request: Request<v1::WatchBalanceRequest>,
    ) -> Result<Response<Balances>, Status> {
        answered!(self, request, watch_balance)
    }

    async fn get_features(
        &self,
        request: Request<v1::GetFeaturesRequest>,
    ) -> Result<Response<v1::GetFeaturesResponse>, Status> {
        answered!(self, request, get_features)
    }

    type SessionStream = BoxStream<v1::SessionResponse>;

    async fn session(
        &self,
        request: Request<Streaming<v1::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let service = Arc::clone(&self.0);
        let stop = service.stop.clone();
        Ok(Response::new(Box::pin(session(service, request.into_inner(), stop))))
    }
}
