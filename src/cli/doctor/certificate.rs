//! The certificates that a process shows and trusts.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::check::Check;
use crate::config::{LedgerConfig, SidecarConfig};
use crate::runtime::Clock;
use crate::trust::Access;
use crate::trust::certificate::Certificate;
use crate::trust::client::ClientFiles;
use crate::trust::server::ServerFiles;
use crate::types::Timestamp;

/// Whoever renews certificates has done so by then.
const SOON: Duration = Duration::from_secs(14 * 86_400);

/// What others than owner and group may do with a key.
const OTHERS: u32 = 0o007;

const NAME: &str = "certificate";

pub fn of_sidecar(config: &SidecarConfig) -> Check {
    let Some(files) = config.ledger_tls().files() else {
        return Check::skipped(NAME, "the ledger is reached without TLS".to_owned());
    };
    if let Err(why) = ClientFiles::open(files) {
        return unusable(&why.to_string());
    }
    match (&config.ledger_cert, &config.ledger_key) {
        (Some(chain), Some(key)) => looked_at(chain, key, Clock::system().wall()),
        _ => Check::ok(
            NAME,
            "the ledger's authorities can be read; this sidecar shows no certificate".to_owned(),
        ),
    }
}

pub fn of_ledger(config: &LedgerConfig) -> Check {
    if let Some(Err(why)) = config.access.as_deref().map(Access::open) {
        return unusable(&why.to_string());
    }
    let (Some(chain), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        return Check::skipped(NAME, "this ledger speaks no TLS".to_owned());
    };
    let files =
        ServerFiles { chain: chain.clone(), key: key.clone(), client_ca: config.tls_client_ca.clone() };
    match files.open() {
        Ok(_) => looked_at(chain, key, Clock::system().wall()),
        Err(why) => unusable(&why.to_string()),
    }
}

fn unusable(why: &str) -> Check {
    Check::failed(
        NAME,
        why.to_owned(),
        "correct the file: a process that starts with it ends, a running one goes on with what it had"
            .to_owned(),
    )
}

fn looked_at(chain: &Path, key: &Path, now: Timestamp) -> Check {
    let certificate = match Certificate::read(chain) {
        Ok(certificate) => certificate,
        Err(why) => return unusable(&why.to_string()),
    };
    let ends = certificate.not_after;
    let renew = "renew it; the process reads it again by itself".to_owned();
    if now >= ends || now < certificate.not_before {
        let found = format!("`{}` holds from {} to {ends}", chain.display(), certificate.not_before);
        return Check::failed(NAME, found, renew);
    }
    let left = Duration::from_micros((ends.micros() - now.micros()).unsigned_abs());
    if left < SOON {
        let days = left.as_secs() / 86_400;
        return Check::warning(NAME, format!("`{}` ends in {days} days", chain.display()), renew);
    }
    let open = std::fs::metadata(key).is_ok_and(|found| found.permissions().mode() & OTHERS != 0);
    if open {
        return Check::warning(
            NAME,
            format!("every user of this machine may read `{}`", key.display()),
            "take that away: `chmod o= FILE`".to_owned(),
        );
    }
    let id = certificate.id.map_or_else(|| "nobody".to_owned(), |id| id.to_string());
    Check::ok(NAME, format!("`{}` names {id} and lasts until {ends}", chain.display()))
}

#[cfg(test)]
mod tests {
    use super::super::check::State;
    use super::*;

    #[test]
    fn a_certificate_is_renewed_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let (chain, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let mut params = rcgen::CertificateParams::new(vec!["ledger".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 7, 1);
        let pair = rcgen::KeyPair::generate().unwrap();
        std::fs::write(&chain, params.self_signed(&pair).unwrap().pem()).unwrap();
        std::fs::write(&key, pair.serialize_pem()).unwrap();
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
        for (now, state) in [
            ("2025-12-31T00:00:00Z", State::Failed),
            ("2026-02-01T00:00:00Z", State::Ok),
            ("2026-06-20T00:00:00Z", State::Warning),
            ("2026-07-01T00:00:00Z", State::Failed),
        ] {
            let check = looked_at(&chain, &key, now.parse().unwrap());
            assert_eq!(check.state, state, "{now}: {check:?}");
        }
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let check = looked_at(&chain, &key, "2026-02-01T00:00:00Z".parse().unwrap());
        assert_eq!(check.state, State::Warning);
        assert_eq!(looked_at(&key, &key, "2026-02-01T00:00:00Z".parse().unwrap()).state, State::Failed);
    }
}
