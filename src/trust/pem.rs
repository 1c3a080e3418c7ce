//! Certificates and keys as files hold them.

use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::live::{Content, TrustError};

/// The authorities of a PEM file, and no others.
pub(super) fn roots(content: &Content) -> Result<RootCertStore, TrustError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(content)? {
        roots.add(certificate).map_err(|error| {
            TrustError::new(&content.path, format!("holds a certificate that is no authority: {error}"))
        })?;
    }
    Ok(roots)
}

/// A certificate and those that signed it, in the order of the file; at least one.
pub(super) fn chain(content: &Content) -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let unreadable =
        |error: &dyn std::fmt::Display| TrustError::new(&content.path, format!("is no PEM file: {error}"));
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.bytes).collect();
    let chain = chain.map_err(|error| unreadable(&error))?;
    if chain.is_empty() {
        return Err(TrustError::new(&content.path, "holds no certificate; it would be one or more, as PEM"));
    }
    Ok(chain)
}

pub(super) fn key(content: &Content) -> Result<PrivateKeyDer<'static>, TrustError> {
    // What is wrong with a key is not repeated: the words could hold a part of it.
    PrivateKeyDer::from_pem_slice(&content.bytes)
        .map_err(|_| TrustError::new(&content.path, "holds no private key; it would be one, as PEM"))
}
