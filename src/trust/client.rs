//! The side that calls: which servers it trusts, and the certificate that it shows.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};

use super::live::{Content, Live, TrustError};
use super::pem;
use super::server::PROTOCOL;
use super::spiffe::SpiffeId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities of servers' certificates, and no others.
    pub ca: PathBuf,
    /// The caller's own certificate with those that signed it, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
    /// What the server's certificate must name instead of its host.
    pub server: Option<SpiffeId>,
}

impl ClientFiles {
    /// Errors: what can't be used.
    pub fn open(self) -> Result<Live<ClientConfig>, TrustError> {
        let mut files = vec![self.ca];
        files.extend(self.own.into_iter().flat_map(|(chain, key)| [chain, key]));
        let server = self.server;
        Live::open("the certificate to the ledger", files, move |contents| {
            configured(contents, server.as_ref())
        })
    }
}

/// A caller that trusts the authorities of a PEM file and shows nothing of its own, whatever protocol follows.
pub fn trusting(ca: &Path) -> Result<ClientConfig, TrustError> {
    let bytes = std::fs::read(ca).map_err(|error| TrustError::new(ca, format!("can't be read: {error}")))?;
    let roots = pem::roots(&Content { path: ca.to_owned(), bytes })?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::new(ca, error.to_string()))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn configured(contents: &[Content], server: Option<&SpiffeId>) -> Result<ClientConfig, TrustError> {
    let [ca, own @ ..] = contents else { return Err(TrustError::new("".as_ref(), "was not read")) };
    let provider = Arc::new(ring::default_provider());
    let roots = pem::roots(ca)?;
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TrustError::new(&ca.path, error.to_string()))?;
    let builder = match server {
        Some(id) => builder.dangerous().with_custom_certificate_verifier(Arc::new(Named::new(
            id.clone(),
            roots,
            &provider,
        ))),
        None => builder.with_root_certificates(roots),
    };
    let mut config = match own {
        [chain, key] => builder
            .with_client_auth_cert(pem::chain(chain)?, pem::key(key)?)
            .map_err(|error| TrustError::new(&chain.path, format!("does not go with its key: {error}")))?,
        _ => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// A server is known by its SPIFFE id, wherever it stands.
#[derive(Debug)]
struct Named {
    id: SpiffeId,
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Named {
    fn new(id: SpiffeId, roots: RootCertStore, provider: &CryptoProvider) -> Self {
        Self { id, roots, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, between, now, self.algorithms.all)?;
        match SpiffeId::of(certificate) {
            Some(id) if id == self.id => Ok(ServerCertVerified::assertion()),
            found => {
                let found = found.map_or_else(|| "nobody".to_owned(), |id| format!("`{id}`"));
                let what = format!("the server's certificate names {found}; wanted is `{}`", self.id);
                Err(CertificateError::Other(OtherError(Arc::new(std::io::Error::other(what)))).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
