//! How a server is reached: its place and, over TLS, with which certificates. A connection takes those of its day.

use std::io;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tonic::transport::{Channel, Endpoint as TonicEndpoint};
use tower::service_fn;

use super::call_error::CallError;
use crate::config::Endpoint;
use crate::trust::Live;

#[derive(Clone, Debug)]
pub struct Way {
    endpoint: Endpoint,
    secure: Option<Secure>,
}

/// TLS with nobody to trust, or trust without TLS.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WayError {
    #[error("`{0}` is reached over TLS: name the authorities of its certificate")]
    Untrusted(Endpoint),
    #[error("`{0}` is reached without TLS: certificates are of no use to it")]
    Plain(Endpoint),
}

impl Way {
    /// Errors: only an endpoint of TLS has certificates, and always.
    pub fn new(endpoint: Endpoint, tls: Option<Live<ClientConfig>>) -> Result<Self, WayError> {
        let secure = match (&endpoint, tls) {
            (Endpoint::Https(authority), Some(tls)) => Some(Secure { authority: authority.clone(), tls }),
            (Endpoint::Https(_), None) => return Err(WayError::Untrusted(endpoint)),
            (_, Some(_)) => return Err(WayError::Plain(endpoint)),
            (_, None) => None,
        };
        Ok(Self { endpoint, secure })
    }

    /// Connects now. Errors: `UNREACHABLE`.
    pub(super) async fn connect(&self, within: Duration) -> Result<Channel, CallError> {
        let unreachable = |cause: tonic::transport::Error| CallError::unreachable(&self.endpoint, &cause);
        let to = TonicEndpoint::from_shared(self.uri()).map_err(unreachable)?.connect_timeout(within);
        match self.secure.clone() {
            Some(secure) => to.connect_with_connector(service_fn(move |_| secure.clone().begin())).await,
            None => to.connect().await,
        }
        .map_err(unreachable)
    }

    /// Connects when it is first used, and again after each loss.
    pub(super) fn connect_lazily(&self, to: TonicEndpoint) -> Channel {
        match self.secure.clone() {
            Some(secure) => to.connect_with_connector_lazy(service_fn(move |_| secure.clone().begin())),
            None => to.connect_lazy(),
        }
    }

    /// As the HTTP library has it: it is not told of TLS, which is made here.
    pub(super) fn uri(&self) -> String {
        match &self.endpoint {
            Endpoint::Https(authority) => format!("http://{authority}"),
            plain => plain.to_string(),
        }
    }
}

#[derive(Clone, Debug)]
struct Secure {
    authority: String,
    tls: Live<ClientConfig>,
}

impl Secure {
    async fn begin(self) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
        let host = self.authority.rsplit_once(':').map_or(self.authority.as_str(), |(host, _)| host);
        let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(io::Error::other)?;
        let io = TcpStream::connect(&self.authority).await?;
        io.set_nodelay(true)?;
        Ok(TokioIo::new(TlsConnector::from(self.tls.now()).connect(name, io).await?))
    }
}
