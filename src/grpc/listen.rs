//! Where callers come in: a Unix socket, a TCP port.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net as std_unix;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;
use tonic::service::RoutesBuilder;

use super::accept::{self, ACCEPTED_AHEAD, Entry};
use super::connection::Connection;
pub use super::connection::Other;
use super::health::Health;
use super::http2;
use super::proto::DESCRIPTORS;
use super::route::{First, Router};
use crate::runtime::Shutdown;
use crate::trust::Live;

/// Connections that wait to be accepted: as many as come at once where a whole fleet starts.
const CONNECTING_MAX: i32 = 1024;

/// Where to listen, and to whom.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// Its permission bits.
    pub socket: Option<(PathBuf, u32)>,
    /// The users whose processes may use the socket; without, all whom its permission bits let in.
    pub users: Option<Vec<u32>>,
    pub tcp: Option<SocketAddr>,
    /// What the port speaks TLS with; without, it is not encrypted.
    pub tls: Option<Live<ServerConfig>>,
    /// Open connections at once: each costs file handles and buffers.
    pub connections_max: usize,
}

/// Bound, not yet served.
#[derive(Debug)]
pub struct Listeners {
    unix: Option<std_unix::UnixListener>,
    tcp: Option<std::net::TcpListener>,
    other: Option<mpsc::Receiver<Other>>,
    entry: Entry,
    listening: Listening,
}

/// Of health and reflection, in bytes: they ask for a name.
pub(super) const SIDE_REQUEST_BYTES_MAX: usize = 4 << 10;

/// Where a server can be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    pub socket: Option<PathBuf>,
    pub tcp: Option<SocketAddr>,
    /// Probes and metrics, over plain HTTP.
    pub admin: Option<SocketAddr>,
}

#[derive(Debug, Error)]
pub enum ListenError {
    #[error("can't listen on `{address}`: {source}")]
    Tcp { address: SocketAddr, source: io::Error },
    #[error("can't {what} the socket `{path}`: {source}", path = path.display())]
    Unix { what: &'static str, path: PathBuf, source: io::Error },
    #[error("the socket `{path}` is in use by another process: stop that one, or name another", path = path.display())]
    InUse { path: PathBuf },
    #[error("`{path}` is no socket: remove it, or name another path", path = path.display())]
    NoSocket { path: PathBuf },
    #[error("can't serve: {0}")]
    Serve(String),
}

/// Everything that one server serves.
#[derive(Clone, Debug)]
pub struct Services(Router);

impl Services {
    /// `first` with what every server has beside it: health, and reflection in both versions.
    pub(super) fn new<S: First>(first: S) -> (Self, Health) {
        let mut services = RoutesBuilder::default();
        let (reporter, health) = tonic_health::server::health_reporter();
        services.add_service(health.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX));
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
                .with_service_name(S::NAME)
                .with_service_name("grpc.health.v1.Health")
        };
        // Both fail only where the descriptors of this build are not whole, which a test would have seen.
        if let Ok(v1) = reflection().build_v1() {
            services.add_service(v1.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX));
        }
        if let Ok(v1alpha) = reflection().build_v1alpha() {
            services.add_service(v1alpha.max_decoding_message_size(SIDE_REQUEST_BYTES_MAX));
        }
        (Self(Router::new(first, services.routes().prepare())), Health::new(reporter))
    }
}

impl Listeners {
    /// Binds. A socket that a process left behind is replaced; one that answers is not.
    pub fn bind(addresses: &Addresses) -> Result<Self, ListenError> {
        let mut listening = Listening::default();
        let unix = match &addresses.socket {
            Some((path, mode)) => Some(bind_unix(path, *mode)?),
            None => None,
        };
        listening.socket = addresses.socket.as_ref().map(|(path, _)| path.clone());
        let tcp = match addresses.tcp {
            Some(address) => {
                let failed = |source| ListenError::Tcp { address, source };
                let listener = std::net::TcpListener::bind(address).map_err(failed)?;
                // Once more, with a longer line than the library's.
                rustix::net::listen(&listener, CONNECTING_MAX).map_err(|error| failed(error.into()))?;
                listener.set_nonblocking(true).map_err(failed)?;
                listening.tcp = Some(listener.local_addr().map_err(failed)?);
                Some(listener)
            }
            None => None,
        };
        let room = Arc::new(Semaphore::new(addresses.connections_max));
        let entry = Entry { room, users: addresses.users.clone(), tls: addresses.tls.clone() };
        Ok(Self { unix, tcp, other: None, entry, listening })
    }

    /// Connections that are accepted elsewhere, over any transport.
    pub fn of(accepted: mpsc::Receiver<Other>) -> Self {
        let entry = Entry { room: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)), users: None, tls: None };
        Self { unix: None, tcp: None, other: Some(accepted), entry, listening: Listening::default() }
    }

    /// Probes and metrics are answered there.
    pub fn also(&mut self, admin: SocketAddr) {
        self.listening.admin = Some(admin);
    }

    pub fn listening(&self) -> &Listening {
        &self.listening
    }

    /// The same listeners, for another thread to accept from.
    pub fn share(&self) -> io::Result<Self> {
        Ok(Self {
            unix: self.unix.as_ref().map(std_unix::UnixListener::try_clone).transpose()?,
            tcp: self.tcp.as_ref().map(std::net::TcpListener::try_clone).transpose()?,
            // Whoever accepts those gives them to one thread.
            other: None,
            entry: self.entry.clone(),
            listening: self.listening.clone(),
        })
    }

    /// Serves until the shutdown, then until the calls in work have ended.
    pub async fn serve(self, services: Services, shutdown: Shutdown) -> Result<(), ListenError> {
        let mut incoming = self.accept(&shutdown)?;
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                Some(io) = incoming.recv() => {
                    open.spawn(http2::serve(io, services.0.clone(), shutdown.clone()));
                }
                Some(_ended) = open.join_next() => {}
                else => return Ok(()),
            }
        }
    }

    /// Connections as they come, until the shutdown. Must be called within a tokio runtime.
    pub(super) fn accept(self, shutdown: &Shutdown) -> Result<mpsc::Receiver<Connection>, ListenError> {
        let (accepted, incoming) = mpsc::channel(ACCEPTED_AHEAD);
        let failed = |error: io::Error| ListenError::Serve(error.to_string());
        let (entry, shutdown) = (self.entry, shutdown.clone());
        if let Some(listener) = self.unix {
            let listener = UnixListener::from_std(listener).map_err(failed)?;
            tokio::spawn(accept::unix(listener, accepted.clone(), entry.clone(), shutdown.clone()));
        }
        if let Some(listener) = self.tcp {
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            tokio::spawn(accept::tcp(listener, accepted.clone(), entry.clone(), shutdown.clone()));
        }
        if let Some(others) = self.other {
            tokio::spawn(accept::others(others, accepted, entry, shutdown));
        }
        Ok(incoming)
    }
}

fn bind_unix(path: &Path, mode: u32) -> Result<std_unix::UnixListener, ListenError> {
    let failed = |what: &'static str| move |source| ListenError::Unix { what, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(ListenError::NoSocket { path: path.to_owned() });
        }
        // Nobody answers: its process is gone.
        Ok(_) if std_unix::UnixStream::connect(path).is_err() => {
            fs::remove_file(path).map_err(failed("remove"))?;
        }
        Ok(_) => return Err(ListenError::InUse { path: path.to_owned() }),
        Err(_) => {}
    }
    let listener = std_unix::UnixListener::bind(path).map_err(failed("bind"))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed("set the mode of"))?;
    listener.set_nonblocking(true).map_err(failed("listen on"))?;
    Ok(listener)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: PathBuf) -> Addresses {
        Addresses { socket: Some((path, 0o600)), users: None, tcp: None, tls: None, connections_max: 1 }
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_one_in_use_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let addresses = at(path.clone());
        let first = Listeners::bind(&addresses).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Listeners::bind(&addresses), Err(ListenError::InUse { .. })));
        drop(first);
        Listeners::bind(&addresses).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "mine").unwrap();
        assert!(matches!(Listeners::bind(&at(file)), Err(ListenError::NoSocket { .. })));
    }
}
