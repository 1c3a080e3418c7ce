//! One caller's connection, served where it is read: whatever one look at the socket brought is answered before the next, and
//! the answers leave together. A call that has its answer at once costs no task; one that waits does so beside the
//! others, in the connection's own.

use std::future::poll_fn;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, CatchUnwind, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use h2::server::{Builder, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use tokio::time::{Sleep, sleep, timeout};
use tonic::Status;
use tonic::body::Body;

use super::connection::Connection;
use super::route::{Answer, Router};
use crate::runtime::Shutdown;

/// Calls in flight on one connection. A client that sends more waits; HTTP/2's own default is no limit.
pub const STREAMS_MAX: u32 = 256;

/// Streams that a peer may open and reset before they were accepted, and resets that its errors may make us send: what
/// floods of resets are made of.
pub const PENDING_RESETS_MAX: usize = 20;
pub const LOCAL_RESETS_MAX: usize = 1024;

/// All headers of one call, in bytes: a trace context and a deadline take a few hundred.
pub const HEADERS_MAX: u32 = 8 << 10;

/// Flow control: messages are small, and a slow reader must not tie up memory.
pub const STREAM_WINDOW: u32 = 64 << 10;

/// h2 takes many short frames that nobody has read yet for an attack, and ends the connection: what they are shorter than 256
/// bytes may come to half of this window. With so much a session of the shortest requests fills its stream's window first,
/// and is slowed down instead.
pub const CONNECTION_WINDOW: u32 = 64 * STREAM_WINDOW;

/// Bytes of one answer that lie ready for a reader that is slow.
const SEND_BUFFER: usize = 64 << 10;

/// A peer that is gone without a word is noticed.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(30);
const KEEPALIVE_WITHIN: Duration = Duration::from_secs(10);

/// The preface of HTTP/2 comes at once, from whoever speaks it.
const PREFACE_WITHIN: Duration = Duration::from_secs(10);

/// The one message of a call comes at once, too; a stream's come when they come.
const MESSAGE_WITHIN: Duration = Duration::from_secs(10);

/// Calls that one peer may begin and give up before their answer, beyond as many as it let be answered.
const GIVEN_UP_MAX: usize = 1024;

/// Calls whose requests are streams.
const STREAMS: [&str; 3] = [
    "/bursar.v1.EntitlementService/Session",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// A call that does not have its answer yet.
type Waiting = BoxFuture<'static, Result<Ended, h2::Error>>;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    Answered,
    /// By its caller.
    GivenUp,
}

/// Serves until the peer is gone, or until its calls in work have ended after the shutdown.
pub(super) async fn serve(io: Connection, mut router: Router, shutdown: Shutdown) {
    let greeted = tokio::select! {
        greeted = timeout(PREFACE_WITHIN, limits().handshake::<_, Bytes>(io)) => greeted,
        () = shutdown.requested() => return,
    };
    let mut connection = match greeted {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection did not become one of HTTP/2"),
        Err(_) => return tracing::debug!("a connection stayed silent"),
    };
    let mut pulse = connection.ping_pong().map(Pulse::new);
    let mut stop = pin!(shutdown.requested().fuse());
    let mut waiting: FuturesUnordered<Waiting> = FuturesUnordered::new();
    let mut arrived = Vec::new();
    let mut given_up: usize = 0;
    let ended = poll_fn(|cx| -> Poll<Result<(), h2::Error>> {
        if stop.as_mut().poll_unpin(cx).is_ready() {
            connection.graceful_shutdown();
        }
        if pulse.as_mut().is_some_and(|pulse| pulse.is_lost(cx)) {
            return Poll::Ready(Ok(()));
        }
        loop {
            // Each look at the connection sends what is ready: first all calls that came, then their answers.
            loop {
                match pin!(connection.accept()).poll(cx) {
                    Poll::Ready(Some(call)) => arrived.push(call?),
                    Poll::Ready(None) => return Poll::Ready(Ok(())),
                    Poll::Pending => break,
                }
            }
            let mut idle = arrived.is_empty();
            for (request, respond) in arrived.drain(..) {
                let mut call: Waiting = Box::pin(call(&mut router, request, respond));
                match call.poll_unpin(cx) {
                    Poll::Ready(ended) => given_up = counted(given_up, &ended),
                    Poll::Pending => waiting.push(call),
                }
            }
            while let Poll::Ready(Some(ended)) = waiting.poll_next_unpin(cx) {
                given_up = counted(given_up, &ended);
                idle = false;
            }
            if given_up > GIVEN_UP_MAX {
                tracing::debug!("a peer gives up more calls than it lets be answered");
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
            }
            if idle {
                return Poll::Pending;
            }
        }
    });
    if let Err(error) = ended.await {
        tracing::debug!(%error, "a connection broke");
    }
}

fn counted(given_up: usize, ended: &Result<Ended, h2::Error>) -> usize {
    match ended {
        Ok(Ended::Answered) => given_up.saturating_sub(1),
        Ok(Ended::GivenUp) | Err(_) => given_up + 1,
    }
}

fn limits() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(Some(LOCAL_RESETS_MAX))
        .max_header_list_size(HEADERS_MAX)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    builder
}

/// One call: its answer is made, and written as fast as it is read. A caller that gives up ends both.
fn call(
    router: &mut Router,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> impl Future<Output = Result<Ended, h2::Error>> + Send + 'static {
    let streams = STREAMS.contains(&request.uri().path());
    let upload = |body| Upload { body, whole: false, streams, late: None };
    let answer = router.call(request.map(|body| Body::new(upload(body))));
    // A bug in one call is not the others'.
    finish(AssertUnwindSafe(answer).catch_unwind(), respond)
}

async fn finish(
    mut answer: CatchUnwind<AssertUnwindSafe<Answer>>,
    mut respond: SendResponse<Bytes>,
) -> Result<Ended, h2::Error> {
    let answered = poll_fn(|cx| match answer.poll_unpin(cx) {
        Poll::Ready(answered) => Poll::Ready(Some(answered)),
        Poll::Pending => respond.poll_reset(cx).map(|_given_up| None),
    });
    let response = match answered.await {
        Some(Ok(Ok(response))) => response,
        Some(Ok(Err(never))) => match never {},
        Some(Err(_panic)) => Status::internal("this call met a bug of the sidecar; others go on").into_http(),
        None => return Ok(Ended::GivenUp),
    };
    let (head, body) = response.into_parts();
    let whole = body.is_end_stream();
    let stream = respond.send_response(Response::from_parts(head, ()), whole)?;
    if whole { Ok(Ended::Answered) } else { write(body, stream).await }
}

async fn write(mut body: Body, mut stream: SendStream<Bytes>) -> Result<Ended, h2::Error> {
    loop {
        let next = poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(frame) => Poll::Ready(Some(frame)),
            Poll::Pending => stream.poll_reset(cx).map(|_given_up| None),
        });
        match next.await {
            Some(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => write_data(data, &mut stream).await?,
                Err(frame) => {
                    stream.send_trailers(frame.into_trailers().unwrap_or_default())?;
                    return Ok(Ended::Answered);
                }
            },
            Some(None) => {
                stream.send_data(Bytes::new(), true)?;
                return Ok(Ended::Answered);
            }
            Some(Some(Err(_broken))) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Ok(Ended::Answered);
            }
            None => return Ok(Ended::GivenUp),
        }
    }
}

/// As much at a time as the reader has room for.
async fn write_data(mut data: Bytes, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(capacity) => capacity?,
                None => return Ok(()),
            };
        }
        let room = stream.capacity().min(data.len());
        stream.send_data(data.split_to(room), false)?;
    }
    Ok(())
}

/// What a call sends, counted against its windows until it is read.
struct Upload {
    body: RecvStream,
    /// All data has come; what may follow are trailers.
    whole: bool,
    /// There may be many messages, at any time.
    streams: bool,
    /// Since the one message was waited for.
    late: Option<Pin<Box<Sleep>>>,
}

impl Upload {
    fn is_late(&mut self, cx: &mut Context<'_>) -> bool {
        let late = || Box::pin(sleep(MESSAGE_WITHIN));
        !self.streams && self.late.get_or_insert_with(late).as_mut().poll(cx).is_ready()
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.whole {
            let polled = self.body.poll_data(cx);
            if polled.is_pending() && self.is_late(cx) {
                return Poll::Ready(Some(Err(Reason::CANCEL.into())));
            }
            if let Some(data) = ready!(polled) {
                let data = data?;
                self.body.flow_control().release_capacity(data.len())?;
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            self.whole = true;
        }
        let trailers: Option<HeaderMap> = ready!(self.body.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Whether the peer is still there.
struct Pulse {
    pings: PingPong,
    until: Pin<Box<Sleep>>,
    asked: bool,
}

impl Pulse {
    fn new(pings: PingPong) -> Self {
        Self { pings, until: Box::pin(sleep(KEEPALIVE_EVERY)), asked: false }
    }

    fn is_lost(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.asked
                && let Poll::Ready(pong) = self.pings.poll_pong(cx)
            {
                if pong.is_err() {
                    return true;
                }
                self.wait(false, KEEPALIVE_EVERY);
            }
            if self.until.poll_unpin(cx).is_pending() {
                return false;
            }
            if self.asked || self.pings.send_ping(Ping::opaque()).is_err() {
                return true;
            }
            self.wait(true, KEEPALIVE_WITHIN);
        }
    }

    fn wait(&mut self, asked: bool, time: Duration) {
        self.asked = asked;
        self.until = Box::pin(sleep(time));
    }
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
