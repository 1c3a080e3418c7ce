//! Which service a call is for. The one that is called all day is looked at first: the router, which every other call
//! goes through, costs a tenth of such a call.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use tonic::body::Body;
use tonic::codegen::http::{Request, Response};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::service::Routes;

pub(super) type Answer = BoxFuture<Response<Body>, Infallible>;

/// A service that is called without a router.
trait Direct: Send + Sync {
    fn answer(&self, request: Request<Body>) -> Answer;
}

impl<S: First> Direct for S {
    fn answer(&self, request: Request<Body>) -> Answer {
        self.clone().call(request)
    }
}

/// A service that can stand first.
pub(super) trait First:
    Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
    + NamedService
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> First for S where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future = Answer>
        + NamedService
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// One service first, then all others.
#[derive(Clone)]
pub(super) struct Router {
    /// The first service's name.
    name: &'static str,
    first: Arc<dyn Direct>,
    rest: Routes,
}

impl Router {
    pub(super) fn new<S: First>(first: S, rest: Routes) -> Self {
        Self { name: S::NAME, first: Arc::new(first), rest }
    }

    /// Whether a path, `/service/method`, is of the first service.
    fn is_first(&self, path: &str) -> bool {
        let method = path.strip_prefix('/').and_then(|path| path.strip_prefix(self.name));
        method.is_some_and(|method| method.starts_with('/'))
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("first", &self.name).finish_non_exhaustive()
    }
}

impl Router {
    /// The services are ready at any time, as all generated ones are.
    pub(super) fn call(&mut self, request: Request<Body>) -> Answer {
        if self.is_first(request.uri().path()) { self.first.answer(request) } else { self.others(request) }
    }

    fn others(&mut self, request: Request<Body>) -> Answer {
        let answer = self.rest.call(request);
        Box::pin(async move { Ok(answer.await.unwrap_or_else(|never| match never {})) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll};

    #[derive(Clone)]
    struct Named;

    impl NamedService for Named {
        const NAME: &'static str = "bursar.v1.EntitlementService";
    }

    impl Service<Request<Body>> for Named {
        type Response = Response<Body>;
        type Error = Infallible;
        type Future = Answer;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: Request<Body>) -> Answer {
            Box::pin(async { Ok(Response::new(Body::empty())) })
        }
    }

    #[test]
    fn only_whole_names_are_the_first_services() {
        let router = Router::new(Named, Routes::default());
        assert!(router.is_first("/bursar.v1.EntitlementService/Authorize"));
        for other in [
            "/bursar.v1.EntitlementService",
            "/bursar.v1.EntitlementServices/Authorize",
            "bursar.v1.EntitlementService/Authorize",
            "/grpc.health.v1.Health/Check",
            "/",
        ] {
            assert!(!router.is_first(other), "{other}");
        }
    }
}
