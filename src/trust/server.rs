//! The side that is called: its certificate, and whose it accepts. A caller without a certificate is let in and has no
//! name; what it may do is another matter.

use std::path::PathBuf;
use std::sync::Arc;

use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::live::{Content, Live, TrustError};
use super::pem;

/// The one protocol that is spoken here.
pub(super) const PROTOCOL: &[u8] = b"h2";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerFiles {
    /// The server's certificate and those that signed it.
    pub chain: PathBuf,
    pub key: PathBuf,
    /// The authorities of callers' certificates; without, none is asked for.
    pub client_ca: Option<PathBuf>,
}

impl ServerFiles {
    /// Errors: what can't be used.
    pub fn open(self) -> Result<Live<ServerConfig>, TrustError> {
        let files = [Some(self.chain), Some(self.key), self.client_ca].into_iter().flatten().collect();
        Live::open("the server's certificate", files, configured)
    }
}

fn configured(contents: &[Content]) -> Result<ServerConfig, TrustError> {
    let [chain, key, client_ca @ ..] = contents else {
        return Err(TrustError::new("".as_ref(), "was not read"));
    };
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::new(&chain.path, error.to_string()))?;
    let builder = match client_ca.first() {
        Some(ca) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(pem::roots(ca)?), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| TrustError::new(&ca.path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let mut config = builder
        .with_single_cert(pem::chain(chain)?, pem::key(key)?)
        .map_err(|error| TrustError::new(&chain.path, format!("does not go with its key: {error}")))?;
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    // Connections are few and last: each is made anew, so that a certificate that has ended is not taken up again.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
