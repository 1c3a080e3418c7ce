use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use h2::client::{self, SendRequest};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{DuplexStream, duplex};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tonic::codegen::Service;
use tonic::server::NamedService;
use tonic::service::Routes;

use super::*;
use crate::grpc::connection::Other;
use crate::runtime::Stopper;

/// Answers by the method's name.
#[derive(Clone, Default)]
struct Echo {
    /// `Wait` ends with it.
    go: Arc<Notify>,
    /// Calls in work.
    open: Arc<AtomicUsize>,
}

struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl NamedService for Echo {
    const NAME: &'static str = "Echo";
}

impl Service<Request<Body>> for Echo {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answer {
        let echo = self.clone();
        echo.open.fetch_add(1, Ordering::SeqCst);
        let open = Open(Arc::clone(&echo.open));
        Box::pin(async move {
            let _open = open;
            let (head, body) = request.into_parts();
            let body = match head.uri.path() {
                "/Echo/Wait" => {
                    echo.go.notified().await;
                    Body::empty()
                }
                "/Echo/Long" => Body::new(Full::new(Bytes::from(vec![7; LONG]))),
                "/Echo/Bug" => panic!("as a bug would"),
                "/Echo/Broken" => {
                    let frames = [Ok(Frame::data(Bytes::from_static(b"a"))), Err(Status::internal("broken"))];
                    Body::new(StreamBody::new(tokio_stream::iter(frames)))
                }
                _ => Body::new(Full::new(body.collect().await.unwrap().to_bytes())),
            };
            Ok(Response::new(body))
        })
    }
}

const LONG: usize = 3 * STREAM_WINDOW as usize;

struct Peer {
    echo: Echo,
    stopper: Stopper,
    serving: JoinHandle<()>,
    requests: SendRequest<Bytes>,
    driving: JoinHandle<()>,
}

fn served(io: DuplexStream) -> (Echo, Stopper, JoinHandle<()>) {
    let echo = Echo::default();
    let (stopper, shutdown) = Shutdown::new();
    let router = Router::new(echo.clone(), Routes::default());
    let io = Connection::other(Other::new(io), &Arc::new(Semaphore::new(1))).unwrap();
    (echo, stopper, tokio::spawn(serve(io, router, shutdown)))
}

async fn peer() -> Peer {
    let (io, theirs) = duplex(16 << 10);
    let (echo, stopper, serving) = served(theirs);
    let (requests, connection) =
        client::Builder::new().initial_window_size(1 << 10).handshake(io).await.unwrap();
    let driving = tokio::spawn(async move { connection.await.unwrap_or_default() });
    Peer { echo, stopper, serving, requests: requests.ready().await.unwrap(), driving }
}

impl Peer {
    fn ask(&mut self, method: &str, body: &'static [u8]) -> client::ResponseFuture {
        let request = Request::post(format!("http://peer/Echo/{method}")).body(()).unwrap();
        let (answer, mut stream) = self.requests.send_request(request, false).unwrap();
        stream.send_data(Bytes::from_static(body), true).unwrap();
        answer
    }

    async fn waiting(&self, calls: usize) {
        while self.echo.open.load(Ordering::SeqCst) != calls {
            tokio::task::yield_now().await;
        }
    }
}

async fn whole(answer: client::ResponseFuture) -> Result<Vec<u8>, h2::Error> {
    let mut body = answer.await?.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data?;
        body.flow_control().release_capacity(data.len())?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

#[tokio::test]
async fn one_that_waits_holds_up_nobody() {
    let mut peer = peer().await;
    let slow = peer.ask("Wait", b"");
    let first = peer.ask("Echo", b"first");
    let second = peer.ask("Echo", b"second");
    assert_eq!(whole(second).await.unwrap(), b"second");
    assert_eq!(whole(first).await.unwrap(), b"first");
    peer.echo.go.notify_one();
    assert_eq!(whole(slow).await.unwrap(), b"");
}

#[tokio::test]
async fn a_caller_that_gives_up_ends_its_call() {
    let mut peer = peer().await;
    let slow = peer.ask("Wait", b"");
    peer.waiting(1).await;
    drop(slow);
    peer.waiting(0).await;
    assert_eq!(whole(peer.ask("Echo", b"on")).await.unwrap(), b"on");
}

#[tokio::test]
async fn a_peer_that_leaves_ends_its_calls() {
    let mut peer = peer().await;
    let slow = peer.ask("Wait", b"");
    peer.waiting(1).await;
    peer.driving.abort();
    drop(slow);
    peer.serving.await.unwrap();
    assert_eq!(peer.echo.open.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_waits_for_its_reader_and_comes_whole() {
    let mut peer = peer().await;
    let long = peer.ask("Long", b"");
    assert_eq!(whole(peer.ask("Echo", b"meanwhile")).await.unwrap(), b"meanwhile");
    assert_eq!(whole(long).await.unwrap(), vec![7; LONG]);
}

#[tokio::test]
async fn a_bug_in_one_call_is_not_the_others() {
    let mut peer = peer().await;
    let bug = peer.ask("Bug", b"").await.unwrap();
    assert_eq!(bug.headers().get("grpc-status").unwrap(), "13");
    let broken = whole(peer.ask("Broken", b"")).await.unwrap_err();
    assert_eq!(broken.reason(), Some(Reason::INTERNAL_ERROR));
    assert_eq!(whole(peer.ask("Echo", b"on")).await.unwrap(), b"on");
}

#[tokio::test]
async fn a_stop_waits_for_what_is_in_work() {
    let mut peer = peer().await;
    let slow = peer.ask("Wait", b"");
    peer.waiting(1).await;
    peer.stopper.stop();
    peer.echo.go.notify_one();
    assert_eq!(whole(slow).await.unwrap(), b"");
    peer.serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_is_gone_without_a_word_is_noticed() {
    let (_io, theirs) = duplex(1 << 10);
    ends_after(PREFACE_WITHIN, served(theirs).2).await;

    let (io, theirs) = duplex(16 << 10);
    let (_echo, _stopper, serving) = served(theirs);
    let (_requests, mut stalled) = client::handshake(io).await.unwrap();
    // It is looked after for a moment, then never again; its end stays open.
    let moment = Duration::from_secs(1);
    assert!(timeout(moment, &mut stalled).await.is_err());
    ends_after(KEEPALIVE_EVERY + KEEPALIVE_WITHIN - moment, serving).await;
}

async fn ends_after(time: Duration, mut serving: JoinHandle<()>) {
    let tick = Duration::from_millis(2);
    assert!(timeout(time - tick, &mut serving).await.is_err());
    timeout(2 * tick, serving).await.unwrap().unwrap();
}
