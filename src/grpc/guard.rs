//! Whom a ledger answers: each call is looked at before the service sees it. Without an access document everybody who
//! reaches the ledger may do everything.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http::{Extensions, HeaderMap, Request, Response, header};
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::account_wire;
use super::connection::Peer;
use super::ledger_status;
use super::permits::{Needs, needs};
use crate::lease::{Accounts, Acting};
use crate::runtime::Clock;
use crate::telemetry::{TraceParent, Traces};
use crate::trust::access::Stranger;
use crate::trust::{Access, Caller, Live, SpiffeId};
use crate::types::AccountId;

const BEARER: &str = "Bearer ";

/// The ledger's services behind their door.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    pub routes: Routes,
    pub access: Option<Live<Access>>,
    pub clock: Clock,
    pub traces: Arc<Traces>,
}

impl Service<Request<Body>> for Guard {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <Routes as Service<Request<Body>>>::poll_ready(&mut self.routes, context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let parent =
            request.headers().get("traceparent").and_then(|header| TraceParent::parse(header.as_bytes()));
        let traced = self.traces.begin(&method, parent);
        if let Some(access) = &self.access {
            match admitted(&access.now(), &request, &self.clock) {
                Ok(Some(caller)) => drop(request.extensions_mut().insert(Arc::new(caller))),
                Ok(None) => {}
                Err(status) => {
                    if let Some(traced) = traced {
                        traced.end_call(&method, &i32::from(status.code()).to_string());
                    }
                    return Box::pin(std::future::ready(Ok(status.into_http())));
                }
            }
        }
        let answer = self.routes.call(request);
        let Some(traced) = traced else { return Box::pin(answer) };
        Box::pin(async move {
            let response = traced.trace().over(answer).await?;
            let code = response.headers().get("grpc-status").and_then(|code| code.to_str().ok());
            traced.end_call(&method, code.unwrap_or_default());
            Ok(response)
        })
    }
}

/// `None`: anyone may make this call.
fn admitted(access: &Access, request: &Request<Body>, clock: &Clock) -> Result<Option<Caller>, Status> {
    let path = request.uri().path();
    let needs = needs(path).ok_or_else(|| Status::unimplemented("this ledger has no such call"))?;
    if needs == Needs::Anyone {
        return Ok(None);
    }
    let id = request.extensions().get::<Peer>().and_then(|peer| peer.id.as_ref());
    let caller = access.caller(id, token(request.headers())?, clock.wall()).map_err(|stranger| {
        tracing::debug!(path, %stranger, "refused");
        unauthenticated(&stranger)
    })?;
    if may(&caller, needs) {
        return Ok(Some(caller));
    }
    tracing::debug!(path, ?caller, "refused");
    Err(role_missing(&caller, needs))
}

fn may(caller: &Caller, needs: Needs) -> bool {
    match (caller, needs) {
        (_, Needs::Anyone) | (Caller::Sidecar { .. }, Needs::Sidecar) => true,
        (Caller::Operator(operator), Needs::Role(roles)) => {
            operator.roles.iter().any(|role| roles.contains(role))
        }
        _ => false,
    }
}

/// Errors: `TOKEN_INVALID`: there is one, of another kind.
fn token(headers: &HeaderMap) -> Result<Option<&str>, Status> {
    let Some(given) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let token = given.to_str().ok().and_then(|given| given.strip_prefix(BEARER));
    token.map(Some).ok_or_else(|| {
        refusal(Code::Unauthenticated, "TOKEN_INVALID", "`authorization` is not `Bearer` and a token")
    })
}

fn unauthenticated(stranger: &Stranger) -> Status {
    let reason = match stranger {
        Stranger::Unnamed => "IDENTITY_MISSING",
        Stranger::Unknown(_) => "IDENTITY_UNKNOWN",
        Stranger::Token(_) => "TOKEN_INVALID",
    };
    refusal(Code::Unauthenticated, reason, &stranger.to_string())
}

fn role_missing(caller: &Caller, needs: Needs) -> Status {
    let wants = match needs {
        Needs::Role(roles) => {
            let words: Vec<String> = roles.iter().map(|role| format!("`{role}`")).collect();
            format!("one of the roles {}", words.join(", "))
        }
        Needs::Sidecar | Needs::Anyone => "a sidecar's certificate".to_owned(),
    };
    let who = match caller {
        Caller::Sidecar { id, .. } => format!("`{id}` is a sidecar"),
        Caller::Operator(operator) => {
            let words: Vec<String> = operator.roles.iter().map(|role| format!("`{role}`")).collect();
            format!("`{}` is {}", operator.name, words.join(", "))
        }
    };
    refusal(Code::PermissionDenied, "ROLE_MISSING", &format!("this call needs {wants}; {who}"))
}

fn refusal(code: Code, reason: &str, what: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, ledger_status::DOMAIN, [] as [(String, String); 0]);
    Status::with_error_details(code, what, details)
}

/// Who makes the call at hand, and for which accounts it may.
#[derive(Clone, Debug, Default)]
pub(super) struct By(Option<Arc<Caller>>);

impl By {
    pub(super) fn of(extensions: &Extensions) -> Self {
        Self(extensions.get::<Arc<Caller>>().cloned())
    }

    /// For the log; nothing where nobody asked who it is.
    pub(super) fn name(&self) -> Option<&str> {
        match self.0.as_deref()? {
            Caller::Sidecar { id, .. } => Some(id.as_str()),
            Caller::Operator(operator) => Some(&operator.name),
        }
    }

    /// The sidecar's certificate that the call came under.
    pub(super) fn id(&self) -> Option<&SpiffeId> {
        match self.0.as_deref()? {
            Caller::Sidecar { id, .. } => Some(id),
            Caller::Operator(_) => None,
        }
    }

    /// Its accounts; `None`: all.
    pub(super) fn accounts(&self) -> Option<&Accounts> {
        match self.0.as_deref()? {
            Caller::Sidecar { accounts, .. } => Some(accounts),
            Caller::Operator(operator) => Some(&operator.accounts),
        }
    }

    /// The account that a message names.
    ///
    /// Errors: `INVALID_ACCOUNT`, `ACCOUNT_NOT_ALLOWED`.
    pub(super) fn account(&self, named: &str) -> Result<AccountId, Status> {
        let account = account_wire::account(named)?;
        if self.may(&account) { Ok(account) } else { Err(self.not_allowed(&format!("`{account}`"))) }
    }

    pub(super) fn may(&self, account: &AccountId) -> bool {
        self.accounts().is_none_or(|accounts| accounts.have(account))
    }

    fn not_allowed(&self, what: &str) -> Status {
        let who = self.name().unwrap_or("the caller");
        let what = format!("the access document gives `{who}` nothing to do with {what}");
        refusal(Code::PermissionDenied, "ACCOUNT_NOT_ALLOWED", &what)
    }

    /// A sidecar's introduction, as its certificate lets it stand. One that names no accounts gets those of the
    /// certificate.
    ///
    /// Errors: `ACCOUNT_NOT_ALLOWED`: it names others.
    pub(super) fn introduced(&self, acting: Acting) -> Result<Acting, Status> {
        let (Some(id), Some(own)) = (self.id(), self.accounts()) else { return Ok(acting) };
        let certificate = Some(id.to_string());
        if own.cover(&acting.accounts) {
            return Ok(Acting { certificate, ..acting });
        }
        if acting.accounts.patterns().is_empty() {
            return Ok(Acting { certificate, accounts: own.clone(), ..acting });
        }
        Err(self.not_allowed(&format!("some of `{}`", acting.accounts.patterns().join(","))))
    }

    /// Whether a call speaks for a process that attached under the same certificate.
    ///
    /// Errors: `SIDECAR_NOT_YOURS`.
    pub(super) fn speaks_for(&self, acting: &Acting) -> Result<(), Status> {
        match self.id() {
            Some(id) if acting.certificate.as_deref() != Some(id.as_str()) => {
                let what = format!("`{id}` speaks for a sidecar that attached under another certificate");
                Err(refusal(Code::PermissionDenied, "SIDECAR_NOT_YOURS", &what))
            }
            _ => Ok(()),
        }
    }
}
