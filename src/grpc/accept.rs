//! How connections are taken: so many at once, of whom it was said, encrypted where it was said.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connection::{Connection, Other, counted};
use crate::runtime::Shutdown;
use crate::trust::Live;

/// After an accept that failed, mostly for lack of file handles.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Connections that were accepted and not yet taken up.
pub(super) const ACCEPTED_AHEAD: usize = 16;

/// A handshake is two messages each way.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);

/// What a connection must meet.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub room: Arc<Semaphore>,
    /// Of a socket: the users whose processes may use it.
    pub users: Option<Vec<u32>>,
    /// Of a port.
    pub tls: Option<Live<ServerConfig>>,
}

type Accepted = mpsc::Sender<Connection>;

pub(super) async fn unix(listener: UnixListener, accepted: Accepted, entry: Entry, shutdown: Shutdown) {
    let mut full = false;
    loop {
        let io = tokio::select! {
            () = shutdown.requested() => return,
            io = listener.accept() => io,
        };
        let connection = match io {
            Ok((io, _)) if !entry.lets_in(&io) => continue,
            io => io.map(|(io, _)| Connection::unix(io, &entry.room)),
        };
        if !hand_over(connection, &accepted, &mut full).await {
            return;
        }
    }
}

pub(super) async fn tcp(listener: TcpListener, accepted: Accepted, entry: Entry, shutdown: Shutdown) {
    let mut full = false;
    loop {
        let io = tokio::select! {
            () = shutdown.requested() => return,
            io = listener.accept() => io,
        };
        let connection = match (io, &entry.tls) {
            (Ok((io, _)), Some(tls)) => match counted(&entry.room) {
                // Whoever dawdles holds no other up.
                Some(counted) => {
                    tokio::spawn(shake_hands(io, tls.now(), counted, accepted.clone()));
                    continue;
                }
                None => Ok(None),
            },
            (io, _) => io.map(|(io, _)| Connection::tcp(io, &entry.room)),
        };
        if !hand_over(connection, &accepted, &mut full).await {
            return;
        }
    }
}

pub(super) async fn others(
    mut others: mpsc::Receiver<Other>,
    accepted: Accepted,
    entry: Entry,
    shutdown: Shutdown,
) {
    let mut full = false;
    loop {
        let io = tokio::select! {
            () = shutdown.requested() => return,
            io = others.recv() => io,
        };
        let Some(io) = io else { return };
        if !hand_over(Ok(Connection::other(io, &entry.room)), &accepted, &mut full).await {
            return;
        }
    }
}

impl Entry {
    fn lets_in(&self, io: &UnixStream) -> bool {
        let Some(users) = &self.users else { return true };
        let user = io.peer_cred().map(|credentials| credentials.uid());
        let may = user.as_ref().is_ok_and(|user| users.contains(user));
        if !may {
            tracing::warn!(?user, "a connection was refused: its user is not among `socket_users`");
        }
        may
    }
}

async fn shake_hands(
    io: TcpStream,
    config: Arc<ServerConfig>,
    counted: OwnedSemaphorePermit,
    accepted: Accepted,
) {
    let _slower = io.set_nodelay(true);
    match timeout(HANDSHAKE_WITHIN, TlsAcceptor::from(config).accept(io)).await {
        // Where the server is gone, so is the connection.
        Ok(Ok(io)) => drop(accepted.send(Connection::tls(io, counted)).await),
        Ok(Err(error)) => tracing::debug!(%error, "a connection did not become one of TLS"),
        Err(_) => tracing::debug!("a connection stayed silent instead of beginning TLS"),
    }
}

/// False once the server is gone.
async fn hand_over(connection: io::Result<Option<Connection>>, accepted: &Accepted, full: &mut bool) -> bool {
    let was_full = std::mem::replace(full, matches!(connection, Ok(None)));
    match connection {
        Ok(Some(connection)) => accepted.send(connection).await.is_ok(),
        Ok(None) => {
            // Once, and not for each of a flood.
            if !was_full {
                tracing::warn!("a connection was refused: as many are open as may be");
            }
            true
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be accepted");
            tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
            true
        }
    }
}
