//! Where the database is, and what every session of it is told.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use thiserror::Error;
use tokio_postgres::NoTls;
use tokio_postgres::config::{Config, Host, SslMode, TargetSessionAttrs};

use super::tls::Tls;
use super::trouble::said;

/// A new session is there within this, or the database counts as away.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Whoever waits longer for a session that others use tries again later.
const SESSION_WITHIN: Duration = Duration::from_secs(10);

/// A peer that is gone is noticed after so long.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(10);

/// What every session is told. A row's lock is waited for 3 s at most, and a process that stops inside a transaction keeps
/// it 10 s at most. `synchronous_commit` must not be what a database's default may make of it: an answer rests on it.
const SESSION: &str = "-c lock_timeout=3s -c statement_timeout=10s -c idle_in_transaction_session_timeout=10s \
    -c synchronous_commit=on -c default_transaction_isolation=read\\ committed -c application_name=bursar";

/// Where the database is, and how it is reached.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Option<Tls>,
}

/// Why an address can't be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    #[error("the database's address can't be read: {0}")]
    Unreadable(String),
    #[error("the database's certificate authority `{path}` can't be read: {why}", path = path.display())]
    Authority { path: PathBuf, why: String },
    #[error("the database's password file `{path}` can't be read: {why}", path = path.display())]
    Password { path: PathBuf, why: String },
    #[error(
        "the database is on another machine and would be reached without TLS: name the authority of its certificate as \
         `database_ca`, or say `sslmode=disable` in its address"
    )]
    Plain,
    #[error("the sessions can't be pooled: {0}")]
    Pool(String),
}

impl Address {
    /// `url`: `postgres://user:password@host:port,host:port/name?options`. With several hosts, the one that takes writes
    /// is used: after a failover, the other.
    pub fn read(url: &str, ca: Option<&Path>, password: Option<&Path>) -> Result<Self, ConnectError> {
        let mut config: Config = url.parse().map_err(|error| ConnectError::Unreadable(said(&error)))?;
        if let Some(path) = password {
            let text = std::fs::read_to_string(path)
                .map_err(|error| ConnectError::Password { path: path.to_owned(), why: error.to_string() })?;
            config.password(text.trim_end_matches(['\r', '\n']));
        }
        let tls = match ca {
            Some(path) => Some(
                Tls::trusting(path).map_err(|why| ConnectError::Authority { path: path.to_owned(), why })?,
            ),
            None => None,
        };
        let disabled = config.get_ssl_mode() == SslMode::Disable;
        match (&tls, disabled) {
            (Some(_), false) => {
                config.ssl_mode(SslMode::Require);
            }
            (None, false) if config.get_hosts().iter().any(is_elsewhere) => return Err(ConnectError::Plain),
            _ => {
                config.ssl_mode(SslMode::Disable);
            }
        }
        let given = config.get_options().unwrap_or_default();
        let options = format!("{given} {SESSION}");
        config
            .options(options.trim_start())
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .connect_timeout(CONNECT_WITHIN)
            .keepalives_idle(KEEPALIVE_IDLE)
            .tcp_user_timeout(UNACKNOWLEDGED_MAX);
        Ok(Self { config, tls })
    }

    /// A pool of at most `size` sessions; none is opened before it is needed.
    pub fn pool(&self, size: usize) -> Result<Pool, ConnectError> {
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match &self.tls {
            Some(tls) => Manager::from_config(self.config.clone(), tls.clone(), manager),
            None => Manager::from_config(self.config.clone(), NoTls, manager),
        };
        Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(CONNECT_WITHIN))
            .wait_timeout(Some(SESSION_WITHIN))
            .build()
            .map_err(|error| ConnectError::Pool(said(&error)))
    }
}

fn is_elsewhere(host: &Host) -> bool {
    match host {
        Host::Unix(_) => false,
        Host::Tcp(name) => {
            let address: Option<std::net::IpAddr> = name.parse().ok();
            name != "localhost" && !address.is_some_and(|address| address.is_loopback())
        }
    }
}

impl fmt::Debug for Address {
    /// Never with the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({:?}, {:?})", self.config.get_hosts(), self.config.get_dbname())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_machine_is_reached_over_tls_or_by_a_written_word() {
        for url in
            ["postgres:///bursar?host=/run/postgresql", "postgres://u@127.0.0.1:1/b", "postgres://[::1]/b"]
        {
            Address::read(url, None, None).unwrap();
        }
        let plain = Address::read("postgres://u:geheim@db.example/b", None, None).unwrap_err();
        assert_eq!(plain, ConnectError::Plain);
        let address = Address::read("postgres://u:geheim@db.example/b?sslmode=disable", None, None).unwrap();
        assert!(!format!("{address:?}").contains("geheim"));
        let two = Address::read("postgres://db.example,127.0.0.1/b", None, None).unwrap_err();
        assert_eq!(two, ConnectError::Plain);
        assert!(matches!(
            Address::read("postgres://u@h:port/b", None, None),
            Err(ConnectError::Unreadable(_))
        ));
        let none = Path::new("/does/not/exist.pem");
        let missing = Address::read("postgres://u@127.0.0.1/b", Some(none), None).unwrap_err();
        assert!(matches!(missing, ConnectError::Authority { .. }));
    }
}
