//! The name of a workload, as SPIFFE has it: `spiffe://trust-domain/path`.

use std::fmt;

use smol_str::SmolStr;
use tokio_rustls::rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// As long as the standard lets an id be.
const BYTES_MAX: usize = 2048;

const SCHEME: &str = "spiffe://";

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpiffeId(SmolStr);

impl SpiffeId {
    /// Errors: what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no SPIFFE id such as `spiffe://example.org/agents/planner`");
        let rest = text.strip_prefix(SCHEME).filter(|_| text.len() <= BYTES_MAX).ok_or_else(wrong)?;
        let mut parts = rest.split('/');
        let domain = parts.next().unwrap_or_default();
        let of_domain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(&b);
        let of_path = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let segment = |part: &str| !matches!(part, "" | "." | "..") && part.bytes().all(of_path);
        if domain.is_empty() || !domain.bytes().all(of_domain) || !parts.all(segment) {
            return Err(wrong());
        }
        Ok(Self(text.into()))
    }

    /// The one id that a certificate names; `None` where it names none, or several.
    pub fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let certificate = EndEntityCert::try_from(certificate).ok()?;
        let mut ids = certificate.valid_uri_names();
        match (ids.next(), ids.next()) {
            (Some(id), None) => Self::parse(id).ok(),
            _ => None,
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One id, or all that begin alike up to a `/*` at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffePattern {
    id: SpiffeId,
    below: bool,
}

impl SpiffePattern {
    /// Errors: what would be right.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (id, below) = text.strip_suffix("/*").map_or((text, false), |id| (id, true));
        Ok(Self { id: SpiffeId::parse(id)?, below })
    }

    pub fn has(&self, id: &SpiffeId) -> bool {
        if !self.below {
            return *id == self.id;
        }
        id.0.strip_prefix(self.id.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_the_standard_has_them() {
        for id in ["spiffe://example.org", "spiffe://a-b.c_d/ns/agents/sa/Planner-1", "spiffe://x/a.b"] {
            assert_eq!(SpiffeId::parse(id).unwrap().as_str(), id);
        }
        for id in [
            "",
            "spiffe://",
            "https://example.org/x",
            "spiffe://Example.org/x",
            "spiffe://example.org/",
            "spiffe://example.org//x",
            "spiffe://example.org/../x",
            "spiffe://example.org/x y",
            "spiffe://example.org:443/x",
            "spiffe://user@example.org/x",
            "spiffe://example.org/x?y",
        ] {
            assert!(SpiffeId::parse(id).is_err(), "{id}");
        }
        assert!(SpiffeId::parse(&format!("spiffe://x/{}", "a".repeat(BYTES_MAX))).is_err());
    }

    #[test]
    fn a_pattern_is_an_id_or_what_is_below_it() {
        for (pattern, id, has) in [
            ("spiffe://x/a", "spiffe://x/a", true),
            ("spiffe://x/a", "spiffe://x/a/b", false),
            ("spiffe://x/a/*", "spiffe://x/a/b", true),
            ("spiffe://x/a/*", "spiffe://x/a", false),
            ("spiffe://x/a/*", "spiffe://x/ab", false),
            ("spiffe://x/*", "spiffe://x/a/b", true),
            ("spiffe://x/*", "spiffe://xy/a", false),
        ] {
            let pattern = SpiffePattern::parse(pattern).unwrap();
            assert_eq!(pattern.has(&SpiffeId::parse(id).unwrap()), has, "{pattern:?} {id}");
        }
        assert!(SpiffePattern::parse("spiffe://x/a*").is_err());
    }
}
