//! What a caller of a ledger needs for TLS: a sidecar by its options, a command by its flags.

use std::path::PathBuf;

use super::value::Endpoint;
use crate::trust::SpiffeId;
use crate::trust::client::ClientFiles;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LedgerTls {
    pub ca: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub id: Option<SpiffeId>,
}

impl LedgerTls {
    /// What the files and the ledger's place do not say together: (the key to blame, what is wrong and what would be right).
    pub fn contradictions(&self, ledger: &Endpoint) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut blame = |key, what: &str| found.push((key, what.to_owned()));
        match (ledger, &self.ca) {
            (Endpoint::Https(_), None) => {
                blame(
                    "ledger",
                    "is reached over TLS; name the authorities of its certificate as `ledger_ca`",
                );
            }
            (Endpoint::Http(_) | Endpoint::Unix(_), Some(_)) => {
                blame("ledger_ca", "is for a `ledger` that is reached by `https://host:port`");
            }
            _ => {}
        }
        match (&self.cert, &self.key) {
            (Some(_), None) => blame("ledger_cert", "is there without its key; name it as `ledger_key`"),
            (None, Some(_)) => {
                blame("ledger_key", "is there without its certificate; name it as `ledger_cert`")
            }
            _ => {}
        }
        if self.ca.is_none() && (self.cert.is_some() || self.id.is_some()) {
            let key = if self.cert.is_some() { "ledger_cert" } else { "ledger_id" };
            blame(key, "is for TLS; name the authorities of the ledger's certificate as `ledger_ca`");
        }
        found
    }

    /// `None` without TLS.
    pub fn files(&self) -> Option<ClientFiles> {
        let own = self.cert.clone().zip(self.key.clone());
        Some(ClientFiles { ca: self.ca.clone()?, own, server: self.id.clone() })
    }
}
