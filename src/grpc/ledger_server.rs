//! The ledger's door: its four services, health and reflection on one listener, within bounds.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};
use tower::layer::layer_fn;

use super::account_server::AccountServer;
use super::admission::Admission;
use super::audit_server::AuditServer;
use super::describe::DescribeServer;
use super::guard::Guard;
use super::lease_server::LeaseServer;
use super::ledger_api::LedgerApi;
use super::listen::{ListenError, Listeners, SIDE_REQUEST_BYTES_MAX};
use super::playbook_server::{DOCUMENT_BYTES_MAX, PlaybookServer};
use super::proto::DESCRIPTORS;
use super::proto::ledger_v1::account_service_server::AccountServiceServer;
use super::proto::ledger_v1::audit_service_server::AuditServiceServer;
use super::proto::ledger_v1::lease_service_server::LeaseServiceServer;
use super::proto::ledger_v1::ledger_service_server::LedgerServiceServer;
use super::proto::ledger_v1::playbook_service_server::PlaybookServiceServer;
use crate::runtime::{Clock, Shutdown};
use crate::telemetry::{SampleRatio, Sampler, Traces};
use crate::trust::{Access, Live};

/// Calls under way on one connection: a sidecar asks for many accounts at once.
const STREAMS_MAX: u32 = 256;

/// Streams that a peer may reset before they are answered: what a rapid reset needs in the thousands.
const PENDING_RESETS_MAX: usize = 20;

/// Protocol errors that one connection may cause before it is closed.
const LOCAL_RESETS_MAX: usize = 1024;

/// Headers of a call: a trace context and little more.
const HEADER_BYTES_MAX: u32 = 8 << 10;

/// Windows that a report fills without waiting.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// A silent peer is tried this often and given up after so long.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);

/// A report is the largest question of a sidecar; an attach, which brings every playbook, gets the largest answer.
const LEASE_QUESTION_BYTES_MAX: usize = 16 << 20;
const LEASE_ANSWER_BYTES_MAX: usize = 32 << 20;

/// An administrator's call is a few fields; a page of accounts or lines is larger.
const ACCOUNT_QUESTION_BYTES_MAX: usize = 64 << 10;
const ACCOUNT_ANSWER_BYTES_MAX: usize = 4 << 20;

/// A document and the fields round it.
const PLAYBOOK_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + (256 << 10);

/// Where there is an access document, a connection lasts so long, and its calls may then end within the second time: whoever
/// was let in by a certificate is looked at again.
const CONNECTION_LASTS: Duration = Duration::from_secs(3600);
const CALLS_LAST: Duration = Duration::from_secs(60);

/// Bounds of a serving ledger that its configuration sets.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Calls in work at once.
    pub calls_max: usize,
    /// How long calls under way may take once the signal to stop was given.
    pub grace: Duration,
    /// Who may do what; without, everybody may do everything.
    pub access: Option<Live<Access>>,
    /// Which calls get spans.
    pub traces: Arc<Traces>,
}

impl Default for Bounds {
    fn default() -> Self {
        let traces = Arc::new(Traces::new(None, Sampler::new(SampleRatio::NONE)));
        Self { calls_max: 4096, grace: Duration::from_secs(5), access: None, traces }
    }
}

#[derive(Debug, Error)]
pub enum ServeError {
    #[error("the ledger could not be served: {0}")]
    Transport(#[from] tonic::transport::Error),
    #[error("the descriptors of the protos can't be served: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
    #[error(transparent)]
    Listen(#[from] ListenError),
}

/// Serves until the signal to stop; calls under way then end.
pub async fn serve<L: LedgerApi>(
    ledger: L,
    listener: TcpListener,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    serve_incoming(ledger, incoming, Bounds::default(), shutdown).await
}

/// Serves on each listener until the signal to stop; calls under way then end, within the grace.
pub async fn serve_on<L: LedgerApi>(
    ledger: L,
    listeners: Listeners,
    bounds: Bounds,
    shutdown: Shutdown,
) -> Result<(), ServeError> {
    let incoming = ReceiverStream::new(listeners.accept(&shutdown)?).map(Ok::<_, std::io::Error>);
    let patience = async {
        shutdown.requested().await;
        tokio::time::sleep(bounds.grace).await;
    };
    tokio::select! {
        served = serve_incoming(ledger, incoming, bounds.clone(), shutdown.clone()) => served,
        () = patience => {
            tracing::warn!("connections were still open when the time to stop was over");
            Ok(())
        }
    }
}

/// Serves connections that are accepted elsewhere, over any transport, until the signal to stop.
pub async fn serve_incoming<L, I, IO, E>(
    ledger: L,
    incoming: I,
    bounds: Bounds,
    shutdown: Shutdown,
) -> Result<(), ServeError>
where
    L: LedgerApi,
    I: Stream<Item = Result<IO, E>>,
    IO: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
    E: Into<tower::BoxError>,
{
    let (access, traces) = (bounds.access.clone(), Arc::clone(&bounds.traces));
    let routes = routes(ledger, bounds, &shutdown).await?;
    let mut server = Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .http2_max_header_list_size(HEADER_BYTES_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_WITHIN));
    if access.is_some() {
        server = server.max_connection_age(CONNECTION_LASTS).max_connection_age_grace(CALLS_LAST);
    }
    let guarded = layer_fn(move |routes| Guard {
        routes,
        access: access.clone(),
        clock: Clock::system(),
        traces: Arc::clone(&traces),
    });
    let router = server.layer(guarded).add_routes(routes);
    Ok(router.serve_with_incoming_shutdown(incoming, shutdown.requested()).await?)
}

async fn routes<L: LedgerApi>(ledger: L, bounds: Bounds, shutdown: &Shutdown) -> Result<Routes, ServeError> {
    let admission = Admission::new(bounds.calls_max);
    let lease =
        LeaseServer { ledger: ledger.clone(), admission: admission.clone(), shutdown: shutdown.clone() };
    let lease = LeaseServiceServer::new(lease)
        .max_decoding_message_size(LEASE_QUESTION_BYTES_MAX)
        .max_encoding_message_size(LEASE_ANSWER_BYTES_MAX);
    let accounts =
        AccountServer { ledger: ledger.clone(), admission: admission.clone(), shutdown: shutdown.clone() };
    let accounts = AccountServiceServer::new(accounts)
        .max_decoding_message_size(ACCOUNT_QUESTION_BYTES_MAX)
        .max_encoding_message_size(ACCOUNT_ANSWER_BYTES_MAX);
    let audit =
        AuditServer { ledger: ledger.clone(), admission: admission.clone(), shutdown: shutdown.clone() };
    let audit = AuditServiceServer::new(audit)
        .max_decoding_message_size(ACCOUNT_QUESTION_BYTES_MAX)
        .max_encoding_message_size(ACCOUNT_ANSWER_BYTES_MAX);
    let describe =
        LedgerServiceServer::new(DescribeServer { ledger: ledger.clone(), admission: admission.clone() });
    let playbooks = PlaybookServiceServer::new(PlaybookServer { ledger, admission })
        .max_decoding_message_size(PLAYBOOK_BYTES_MAX)
        .max_encoding_message_size(PLAYBOOK_BYTES_MAX);
    let (reporter, health) = tonic_health::server::health_reporter();
    for name in [named(&lease), named(&accounts), named(&audit), named(&describe), named(&playbooks)] {
        reporter.set_service_status(name, tonic_health::ServingStatus::Serving).await;
    }
    let reflection = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let mut routes = Routes::builder();
    routes
        .add_service(lease)
        .add_service(accounts)
        .add_service(audit)
        .add_service(describe)
        .add_service(playbooks)
        .add_service(health.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX))
        .add_service(reflection().build_v1()?.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX))
        .add_service(reflection().build_v1alpha()?.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX));
    Ok(routes.routes())
}

fn named<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}
