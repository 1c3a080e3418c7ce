//! The empty handler: tonic, the generated service, one constant answer per call. Nothing is decided, nothing kept.

use std::io::BufRead;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use base64_simd::STANDARD;
use bursar::grpc::http2;
use bursar::grpc::proto::v1;
use bursar::grpc::proto::v1::entitlement_service_server::{EntitlementService, EntitlementServiceServer};
use prost::Message;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Set in the environment of the process that shall be the floor: the path of its socket.
pub const ROLE: &str = "BURSAR_BENCH_FLOOR";

/// What it always answers: an answer that the sidecar gave, so that shape and size are the same.
#[derive(Clone)]
struct Floor {
    authorize: v1::AuthorizeResponse,
    commit: v1::CommitResponse,
}

/// Reads the two answers from stdin, one line each in base64, listens, says where, serves.
pub fn main() -> anyhow::Result<()> {
    let socket = PathBuf::from(std::env::var_os(ROLE).context("no socket named")?);
    let mut lines = std::io::stdin().lock().lines();
    let mut answer = || -> anyhow::Result<Vec<u8>> {
        Ok(STANDARD.decode_to_vec(lines.next().context("an answer is missing")??)?)
    };
    let floor = Floor {
        authorize: v1::AuthorizeResponse::decode(answer()?.as_slice())?,
        commit: v1::CommitResponse::decode(answer()?.as_slice())?,
    };
    let threads: usize = String::from_utf8(answer()?)?.parse()?;
    let unix = std::os::unix::net::UnixListener::bind(socket)?;
    unix.set_nonblocking(true)?;
    let tcp = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    tcp.set_nonblocking(true)?;
    println!("{}", serde_json::json!({ "ready": true, "address": tcp.local_addr()?.to_string() }));
    let mut handles = Vec::new();
    for _ in 0..threads {
        let (floor, unix, tcp) = (floor.clone(), unix.try_clone()?, tcp.try_clone()?);
        handles.push(std::thread::spawn(move || thread(&floor, unix, tcp)));
    }
    handles.into_iter().try_for_each(|handle| handle.join().unwrap_or_else(|_| anyhow::bail!("it panicked")))
}

/// A runtime of its own, as each of the sidecar's threads has.
fn thread(
    floor: &Floor,
    unix: std::os::unix::net::UnixListener,
    tcp: std::net::TcpListener,
) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let tcp = TcpIncoming::from(tokio::net::TcpListener::from_std(tcp)?).with_nodelay(Some(true));
        let unix = UnixListenerStream::new(UnixListener::from_std(unix)?);
        tokio::try_join!(server(floor).serve_with_incoming(tcp), server(floor).serve_with_incoming(unix),)?;
        Ok(())
    })
}

/// The sidecar's settings of HTTP/2, so that only the handler differs.
fn server(floor: &Floor) -> tonic::transport::server::Router {
    Server::builder()
        .max_concurrent_streams(http2::STREAMS_MAX)
        .http2_max_pending_accept_reset_streams(Some(http2::PENDING_RESETS_MAX))
        .http2_max_local_error_reset_streams(Some(http2::LOCAL_RESETS_MAX))
        .http2_max_header_list_size(http2::HEADERS_MAX)
        .initial_stream_window_size(http2::STREAM_WINDOW)
        .initial_connection_window_size(http2::CONNECTION_WINDOW)
        .add_service(EntitlementServiceServer::new(floor.clone()))
}

/// The calls that nobody measures.
macro_rules! not_measured {
    ($($method:ident($request:ident) -> $response:ident;)+) => {
        #[tonic::async_trait]
        impl EntitlementService for Floor {
            type WatchBalanceStream = tokio_stream::Empty<Result<v1::WatchBalanceResponse, Status>>;
            type SessionStream = tokio_stream::Empty<Result<v1::SessionResponse, Status>>;

            async fn watch_balance(
                &self,
                _: Request<v1::WatchBalanceRequest>,
            ) -> Result<Response<Self::WatchBalanceStream>, Status> {
                Err(Status::unimplemented("the floor answers what is measured"))
            }

            async fn session(
                &self,
                _: Request<tonic::Streaming<v1::SessionRequest>>,
            ) -> Result<Response<Self::SessionStream>, Status> {
                Err(Status::unimplemented("the floor answers what is measured"))
            }

            async fn authorize(
                &self,
                _: Request<v1::AuthorizeRequest>,
            ) -> Result<Response<v1::AuthorizeResponse>, Status> {
                Ok(Response::new(self.authorize.clone()))
            }

            async fn commit(
                &self,
                _: Request<v1::CommitRequest>,
            ) -> Result<Response<v1::CommitResponse>, Status> {
                Ok(Response::new(self.commit.clone()))
            }

            $(
                async fn $method(&self, _: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                    Err(Status::unimplemented("the floor answers what is measured"))
                }
            )+
        }
    };
}

not_measured! {
    batch_authorize(BatchAuthorizeRequest) -> BatchAuthorizeResponse;
    progress(ProgressRequest) -> ProgressResponse;
    release(ReleaseRequest) -> ReleaseResponse;
    record(RecordRequest) -> RecordResponse;
    get_reservation(GetReservationRequest) -> GetReservationResponse;
    list_reservations(ListReservationsRequest) -> ListReservationsResponse;
    get_balance(GetBalanceRequest) -> GetBalanceResponse;
    get_features(GetFeaturesRequest) -> GetFeaturesResponse;
}
