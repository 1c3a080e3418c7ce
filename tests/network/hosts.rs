//! Hosts of the simulated network: the processes' own services, on connections of the simulation.

use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bursar::config::{SidecarConfig, Sources, load};
use bursar::grpc::LeaseClient;
use bursar::grpc::ledger_server::{Bounds, serve_incoming};
use bursar::grpc::listen::{Listeners, Other};
use bursar::ledger::{Embedded, Ledger};
use bursar::runtime::{Clock, Shutdown};
use bursar::sidecar::process::{Ground, run_on};
use bursar::storage::{Engine, MemoryDisk};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Uri};
use turmoil::net::{TcpListener, TcpStream};

pub const LEDGER_PORT: u16 = 7400;
pub const SIDECAR_PORT: u16 = 7401;

/// Until the thread of a journal whose process died has let go of its disk.
const DISK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// A connection of the simulation.
struct Wire(TcpStream);

impl Connected for Wire {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// A channel as a sidecar has one to its ledger, over the simulation.
pub fn channel(host: &str, port: u16) -> Channel {
    let endpoint = LeaseClient::endpoint(&format!("http://{host}:{port}")).unwrap();
    let host = host.to_owned();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let host = host.clone();
        async move { TcpStream::connect((host.as_str(), port)).await.map(TokioIo::new) }
    }))
}

pub async fn ledger(disk: MemoryDisk, clock: Clock) -> turmoil::Result {
    let store = loop {
        let engine = Engine::Memory(disk.clone());
        let opened = tokio::task::spawn_blocking(|| Embedded::open(Path::new("memory"), engine, None));
        match opened.await? {
            Ok(store) => break store,
            Err(why) if is_held(&why.to_string()) => tokio::time::sleep(DISK_AGAIN_AFTER).await,
            Err(why) => return Err(why.into()),
        }
    };
    let (_stopper, shutdown) = Shutdown::new();
    let (ledger, background) = Ledger::open(store, clock).await?;
    tokio::spawn(ledger.clone().keep_up(background, shutdown.clone()));
    let listener = TcpListener::bind(("0.0.0.0", LEDGER_PORT)).await?;
    let (accepted, incoming) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let io = listener.accept().await.map(|(io, _)| Wire(io));
            if accepted.send(io).await.is_err() {
                return;
            }
        }
    });
    Ok(serve_incoming(ledger, ReceiverStream::new(incoming), Bounds::default(), shutdown).await?)
}

pub async fn sidecar(disk: MemoryDisk, clock: Clock) -> turmoil::Result {
    let flags =
        [("threads", "1".to_owned()), ("data_dir", "memory".to_owned()), ("socket", "none".to_owned())];
    let sources = Sources { flags: flags.into_iter().collect(), ..Sources::default() };
    let config = load::<SidecarConfig>(&sources).unwrap().config;
    let listener = TcpListener::bind(("0.0.0.0", SIDECAR_PORT)).await?;
    let (_stopper, shutdown) = Shutdown::new();
    loop {
        let upstream = LeaseClient::over(channel("ledger", LEDGER_PORT));
        let (accepted, incoming) = mpsc::channel(16);
        let engine = Engine::Memory(disk.clone());
        let ground = Ground { engine, clock: clock.clone(), listeners: Listeners::of(incoming), admin: None };
        let accepting = async {
            loop {
                let (io, _) = listener.accept().await?;
                if accepted.send(Other::new(io)).await.is_err() {
                    return Ok::<(), io::Error>(());
                }
            }
        };
        tokio::select! {
            ran = run_on(&config, upstream, ground, shutdown.clone()) => match ran {
                Err(why) if is_held(&format!("{why:#}")) => tokio::time::sleep(DISK_AGAIN_AFTER).await,
                ended => return Ok(ended?),
            },
            ended = accepting => return Ok(ended?),
        }
    }
}

fn is_held(why: &str) -> bool {
    why.contains("memory") && why.contains("in use")
}
