//! A gRPC client that does unary calls and sessions and nothing else: on a machine with few cores, what it uses is missing elsewhere.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bursar::grpc::http2;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request};
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

/// What stands before a message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 5;

/// Of an answer in a session, whose it is: what else is in it is skipped.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Numbered {
    #[prost(uint64, tag = "1")]
    sequence: u64,
}

/// A request's headers, the same for every call of one method.
pub type Head = Request<()>;

/// One connection; as many calls at once as one likes.
#[derive(Clone)]
pub struct Connection(SendRequest<Bytes>);

impl Connection {
    pub async fn tcp(address: SocketAddr) -> anyhow::Result<Self> {
        let io = TcpStream::connect(address).await?;
        // An answer that waits for company would be all that is measured.
        io.set_nodelay(true)?;
        Self::over(io).await
    }

    pub async fn unix(path: &Path) -> anyhow::Result<Self> {
        Self::over(UnixStream::connect(path).await?).await
    }

    async fn over<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>(io: T) -> anyhow::Result<Self> {
        let mut builder = h2::client::Builder::new();
        // As the sidecar's own, and for the same reason: many short answers that nobody has read yet are no attack.
        builder.initial_connection_window_size(http2::CONNECTION_WINDOW);
        let (sender, connection) = builder.handshake(io).await?;
        tokio::spawn(async move {
            // Its end shows at the calls.
            let _ended = connection.await;
        });
        Ok(Self(sender))
    }

    /// One call; answers the message's bytes.
    pub async fn call(&mut self, head: &Head, message: Bytes) -> anyhow::Result<Bytes> {
        std::future::poll_fn(|context| self.0.poll_ready(context)).await?;
        let (answer, mut stream) = self.0.send_request(head.clone(), false)?;
        stream.send_data(message, true)?;
        let answer = answer.await?;
        sound(answer.headers(), false)?;
        let mut body = answer.into_body();
        let mut bytes = Bytes::new();
        while let Some(part) = body.data().await {
            let part = part?;
            body.flow_control().release_capacity(part.len())?;
            bytes = if bytes.is_empty() { part } else { Bytes::from([bytes, part].concat()) };
        }
        let trailers = body.trailers().await?.context("an answer without a status")?;
        sound(&trailers, true)?;
        anyhow::ensure!(bytes.len() >= PREFIX_LEN, "an answer without a message");
        Ok(bytes.slice(PREFIX_LEN..))
    }

    /// One stream of requests, whose sequences are their places, so many in flight: what is answered together is followed by as
    /// many together. Answers the answers' bytes, and how long each took.
    pub async fn session(
        &mut self,
        head: &Head,
        requests: &[Bytes],
        in_flight: usize,
    ) -> anyhow::Result<Vec<(Bytes, Duration)>> {
        std::future::poll_fn(|context| self.0.poll_ready(context)).await?;
        let (answer, mut stream) = self.0.send_request(head.clone(), false)?;
        let (mut sent, mut done) = (Vec::with_capacity(requests.len()), Vec::with_capacity(requests.len()));
        let mut room = in_flight;
        let mut ask = |room: usize, sent: &mut Vec<Instant>| {
            let next: Vec<&[u8]> = requests.iter().skip(sent.len()).take(room).map(Bytes::as_ref).collect();
            sent.resize(sent.len() + next.len(), Instant::now());
            stream.send_data(Bytes::from(next.concat()), sent.len() == requests.len())
        };
        ask(room, &mut sent)?;
        let answer = answer.await?;
        sound(answer.headers(), false)?;
        let (mut body, mut bytes) = (answer.into_body(), BytesMut::new());
        while done.len() < requests.len() {
            let part = body.data().await.context("the session ended early")??;
            body.flow_control().release_capacity(part.len())?;
            bytes.extend_from_slice(&part);
            room = 0;
            while let Some(message) = message(&mut bytes)? {
                let Numbered { sequence } = Numbered::decode(message.clone())?;
                let asked = sent.get(usize::try_from(sequence)?).context("nobody asked for that")?;
                done.push((message, asked.elapsed()));
                room += 1;
            }
            if room > 0 && sent.len() < requests.len() {
                ask(room, &mut sent)?;
            }
        }
        sound(&body.trailers().await?.context("a session without a status")?, true)?;
        Ok(done)
    }
}

/// Takes the next whole message.
fn message(bytes: &mut BytesMut) -> anyhow::Result<Option<Bytes>> {
    let Some(prefix) = bytes.get(1..PREFIX_LEN) else { return Ok(None) };
    let whole = PREFIX_LEN + u32::from_be_bytes(prefix.try_into()?) as usize;
    if bytes.len() < whole {
        return Ok(None);
    }
    let mut message = bytes.split_to(whole).freeze();
    message.advance(PREFIX_LEN);
    Ok(Some(message))
}

/// The headers of a call of this method.
pub fn head(method: &str) -> anyhow::Result<Head> {
    let uri = format!("http://localhost/bursar.v1.EntitlementService/{method}");
    let head = Request::builder().method(Method::POST).uri(uri);
    Ok(head.header("te", "trailers").header("content-type", "application/grpc").body(())?)
}

/// A message with its prefix.
pub fn framed(message: &impl Message) -> anyhow::Result<Bytes> {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(PREFIX_LEN + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length)?);
    message.encode(&mut bytes)?;
    Ok(bytes.freeze())
}

fn sound(headers: &HeaderMap, is_end: bool) -> anyhow::Result<()> {
    match headers.get("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        None if !is_end => Ok(()),
        status => anyhow::bail!("the call failed: status {status:?}, {:?}", headers.get("grpc-message")),
    }
}
