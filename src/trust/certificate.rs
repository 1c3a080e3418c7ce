//! What a certificate says of itself.

use std::path::Path;

use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::parse_x509_certificate;

use super::live::{Content, TrustError};
use super::pem;
use super::spiffe::SpiffeId;
use crate::types::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
    pub id: Option<SpiffeId>,
}

impl Certificate {
    /// The first certificate of a PEM file.
    pub fn read(path: &Path) -> Result<Self, TrustError> {
        let bytes =
            std::fs::read(path).map_err(|error| TrustError::new(path, format!("can't be read: {error}")))?;
        let content = Content { path: path.to_owned(), bytes };
        let chain = pem::chain(&content)?;
        let first = chain.first().ok_or_else(|| TrustError::new(path, "holds no certificate"))?;
        Self::of(first).ok_or_else(|| TrustError::new(path, "holds a certificate that can't be read"))
    }

    /// `None` where it can't be read.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let validity = parsed.validity();
        let instant = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
        Some(Self {
            not_before: instant(validity.not_before.timestamp()),
            not_after: instant(validity.not_after.timestamp()),
            id: SpiffeId::of(certificate),
        })
    }
}
