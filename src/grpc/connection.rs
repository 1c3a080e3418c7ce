//! One caller's connection, counted while it is open, and who is at its other end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use crate::trust::SpiffeId;

#[derive(Debug)]
pub struct Connection {
    io: Io,
    peer: Peer,
    /// Until its first byte.
    silence: Option<Pin<Box<Sleep>>>,
    /// Bytes read since others had their turn.
    read: usize,
    _counted: OwnedSemaphorePermit,
}

/// Whoever connects has something to say.
const SILENT_FOR: Duration = Duration::from_secs(10);

/// What is read of one connection before others have their turn: a few milliseconds' work at most, whatever the frames.
const READ_AT_ONCE: usize = 32 << 10;

/// Who is at the other end, as far as the connection itself tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// What its certificate names, which an authority of ours has signed.
    pub id: Option<SpiffeId>,
}

#[derive(Debug)]
enum Io {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Unix(UnixStream),
    Other(Other),
}

/// A connection over something else than a socket: a network that is simulated.
pub struct Other(Pin<Box<dyn Transport>>);

pub trait Transport: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Transport for T {}

impl Other {
    pub fn new(io: impl Transport + 'static) -> Self {
        Self(Box::pin(io))
    }
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Other")
    }
}

impl Connection {
    /// `None` where too many are open.
    pub(super) fn tcp(io: TcpStream, room: &Arc<Semaphore>) -> Option<Self> {
        // Answers are small and awaited: none should wait for company. A socket that refuses is slower, not wrong.
        let _slower = io.set_nodelay(true);
        Some(Self::plain(Io::Tcp(io), counted(room)?))
    }

    /// `None` where too many are open.
    pub(super) fn unix(io: UnixStream, room: &Arc<Semaphore>) -> Option<Self> {
        Some(Self::plain(Io::Unix(io), counted(room)?))
    }

    pub(super) fn other(io: Other, room: &Arc<Semaphore>) -> Option<Self> {
        Some(Self::plain(Io::Other(io), counted(room)?))
    }

    /// After the handshake.
    pub(super) fn tls(io: TlsStream<TcpStream>, counted: OwnedSemaphorePermit) -> Self {
        let shown = io.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let peer = Peer { id: shown.and_then(SpiffeId::of) };
        Self::new(Io::Tls(Box::new(io)), peer, counted)
    }

    fn plain(io: Io, counted: OwnedSemaphorePermit) -> Self {
        Self::new(io, Peer::default(), counted)
    }

    fn new(io: Io, peer: Peer, counted: OwnedSemaphorePermit) -> Self {
        Self { io, peer, silence: Some(Box::pin(sleep(SILENT_FOR))), read: 0, _counted: counted }
    }

    fn poll_io(&mut self, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_read(context, buffer),
            Io::Tls(io) => Pin::new(io).poll_read(context, buffer),
            Io::Unix(io) => Pin::new(io).poll_read(context, buffer),
            Io::Other(io) => io.0.as_mut().poll_read(context, buffer),
        }
    }
}

/// `None` where too many are open.
pub(super) fn counted(room: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(room).try_acquire_owned().ok()
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.read >= READ_AT_ONCE {
            self.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let polled = self.poll_io(context, buffer);
        if polled.is_ready() {
            self.read += buffer.filled().len() - before;
            self.silence = None;
            return polled;
        }
        self.read = 0;
        let silence = self.silence.as_mut().map(|silence| silence.as_mut().poll(context));
        match silence {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            _ => Poll::Pending,
        }
    }
}

// Not vectored, on purpose: h2 then gathers answers below a kilobyte into one buffer, and many leave in one system call.
// Vectored, each would be a call of its own.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_write(context, bytes),
            Io::Tls(io) => Pin::new(io).poll_write(context, bytes),
            Io::Unix(io) => Pin::new(io).poll_write(context, bytes),
            Io::Other(io) => io.0.as_mut().poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_flush(context),
            Io::Tls(io) => Pin::new(io).poll_flush(context),
            Io::Unix(io) => Pin::new(io).poll_flush(context),
            Io::Other(io) => io.0.as_mut().poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Tcp(io) => Pin::new(io).poll_shutdown(context),
            Io::Tls(io) => Pin::new(io).poll_shutdown(context),
            Io::Unix(io) => Pin::new(io).poll_shutdown(context),
            Io::Other(io) => io.0.as_mut().poll_shutdown(context),
        }
    }
}
