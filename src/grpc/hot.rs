//! The two calls of every run, `Authorize` and `Commit`, from HTTP/2 to the service and back without detours. Everything
//! else, and whatever these do not read themselves, goes the generated way.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::Request as HttpRequest;
use tonic::codegen::http::Response as HttpResponse;
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;

use super::call::Call;
use super::entitlement::Entitlement;
use super::entitlement_api::Entitlements;
use super::entitlement_server::EntitlementServer;
use super::proto::v1::entitlement_service_server::EntitlementServiceServer;
use super::route::Answer;
use super::unary;

const AUTHORIZE: &str = "/bursar.v1.EntitlementService/Authorize";
const COMMIT: &str = "/bursar.v1.EntitlementService/Commit";

/// The service, and the way around its generated server.
pub(super) struct Hot<E> {
    service: Arc<Entitlement<E>>,
    generated: EntitlementServiceServer<EntitlementServer<E>>,
    request_bytes_max: usize,
}

impl<E: Entitlements> Hot<E> {
    /// The longest request and the longest answer, in bytes.
    pub(super) fn new(service: Entitlement<E>, request_bytes_max: usize, answer_bytes_max: usize) -> Self {
        let service = Arc::new(service);
        let generated = EntitlementServiceServer::new(EntitlementServer(Arc::clone(&service)))
            .max_decoding_message_size(request_bytes_max)
            .max_encoding_message_size(answer_bytes_max);
        Self { service, generated, request_bytes_max }
    }
}

impl<E> Clone for Hot<E> {
    fn clone(&self) -> Self {
        let (service, generated) = (Arc::clone(&self.service), self.generated.clone());
        Self { service, generated, request_bytes_max: self.request_bytes_max }
    }
}

impl<E> fmt::Debug for Hot<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hot").finish_non_exhaustive()
    }
}

impl<E: Entitlements> Service<HttpRequest<Body>> for Hot<E> {
    type Response = HttpResponse<Body>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: HttpRequest<Body>) -> Answer {
        let path = request.uri().path();
        let (authorize, commit) = (path == AUTHORIZE, path == COMMIT);
        if !(authorize || commit) || !unary::is_plain(request.headers()) {
            return self.generated.call(request);
        }
        let (service, most) = (Arc::clone(&self.service), self.request_bytes_max);
        let (parts, body) = request.into_parts();
        let call = Call::of(&MetadataMap::from_headers(parts.headers));
        if authorize {
            Box::pin(async move {
                Ok(unary::write(match unary::read(body, most).await {
                    Ok(message) => service.authorize(call, message).await,
                    Err(status) => Err(status),
                }))
            })
        } else {
            Box::pin(async move {
                Ok(unary::write(match unary::read(body, most).await {
                    Ok(message) => service.commit(call, message).await,
                    Err(status) => Err(status),
                }))
            })
        }
    }
}

impl<E: Entitlements> NamedService for Hot<E> {
    const NAME: &'static str = EntitlementServiceServer::<EntitlementServer<E>>::NAME;
}
