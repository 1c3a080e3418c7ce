//! Options of `bursar ledger`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::setting::settings;
use super::value::{self, DatabaseUrl, Endpoint};
use crate::telemetry::{LogFilter, LogFormat, SampleRatio};

/// The file that is read where none is named.
pub const USUAL_FILE: &str = "/etc/bursar/ledger.toml";

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// What a ledger is told.
    LedgerConfig = "ledger" {
        /// Where the ledger keeps its accounts' journals, unless a database does.
        data_dir: PathBuf = "/var/lib/bursar/ledger", value::path;

        /// The PostgreSQL that holds the accounts instead, such as `postgres://user:password@host/name`, or `none`. Any
        /// number of ledgers may share one; with several hosts, the one that takes writes is used.
        database: Option<DatabaseUrl> = "none", value::database;

        /// A file that holds the database's password, or `none`.
        database_password_file: Option<PathBuf> = "none", value::path_or_none;

        /// The authority that signed the database's certificate, a PEM file, or `none` for no TLS: only on this machine, or
        /// with `sslmode=disable` in the database's address.
        database_ca: Option<PathBuf> = "none", value::path_or_none;

        /// How many accounts may be written at once, each over a session of its own.
        database_sessions: usize = "16", |text: &str| value::count(text, 1..=1000);

        /// The address that sidecars, operators and billing systems call, or `none`. Loopback, unless `allow_remote`
        /// says otherwise.
        listen: Option<SocketAddr> = "127.0.0.1:7400", value::listen_or_none;

        /// Lets other machines call over TCP, neither encrypted nor authenticated.
        allow_remote: bool = "false", value::switch;

        /// The certificate that callers over TCP are shown, and those that signed it: a PEM file, or `none` for no TLS. It is
        /// read again when it changes, like the three files that follow.
        tls_cert: Option<PathBuf> = "none", value::path_or_none;

        /// The key of that certificate, a PEM file, or `none`.
        tls_key: Option<PathBuf> = "none", value::path_or_none;

        /// The authorities of callers' certificates, a PEM file, or `none`: callers then show none, and have a token or no
        /// name.
        tls_client_ca: Option<PathBuf> = "none", value::path_or_none;

        /// The document that says who may do what, or `none`: whoever reaches the ledger may do everything.
        access: Option<PathBuf> = "none", value::path_or_none;

        /// A Unix socket beside it, or `none`.
        socket: Option<PathBuf> = "none", value::socket;

        /// Who may use the socket: permission bits, always octal.
        socket_mode: u32 = "0660", value::file_mode;

        /// The users whose processes may use the socket, by number and separated by commas, or `any` whom its permission
        /// bits let in.
        socket_users: Option<Vec<u32>> = "any", value::users;

        /// How many calls may be in work at once; further ones are refused with `OVERLOADED`.
        calls_max: usize = "4096", |text: &str| value::count(text, 1..=1_000_000);

        /// How long a stop may take: calls end, journals are flushed.
        shutdown_grace: Duration = "5s", |text: &str| value::duration(text, SECOND..=HOUR);

        /// Threads that answer calls: a number, or `auto` for one per core.
        threads: Option<NonZeroUsize> = "auto", value::threads;

        /// Which log lines are written: a level, or directives such as `info,bursar::decision=debug` for each refusal.
        log: LogFilter = "info", str::parse;

        /// How log lines look: `auto` (text on a terminal, else JSON), `json` or `text`.
        log_format: LogFormat = "auto", str::parse;

        /// The OTLP/gRPC port of a collector of traces, such as `http://127.0.0.1:4317`, or `none`.
        otlp_endpoint: Option<Endpoint> = "none", value::collector_or_none;

        /// The share of calls without a trace context that get a span, from `0` to `1`.
        trace_ratio: SampleRatio = "0.01", str::parse;

        /// The address of `/livez`, `/readyz` and `/metrics`, such as `127.0.0.1:7403`, or `none`: plain HTTP, which whoever
        /// reaches it may read. It tells figures and no names of accounts.
        admin_listen: Option<SocketAddr> = "none", value::listen_or_none;
    }
}

fn contradictions(config: &LedgerConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if config.listen.is_none() && config.socket.is_none() {
        found.push(("listen", "is off, and so is `socket`; nobody could call this ledger".to_owned()));
    }
    let guarded = config.tls_cert.is_some() && config.access.is_some();
    let open = config.listen.filter(|_| !guarded);
    if let Some(what) = open.and_then(|listen| value::open_to_others(listen, config.allow_remote)) {
        let what = format!("{what}; or give it `tls_cert`, `tls_key` and `access`");
        found.push(("listen", what));
    }
    match (&config.tls_cert, &config.tls_key) {
        (Some(_), None) => {
            found.push(("tls_cert", "is there without its key; name it as `tls_key`".to_owned()))
        }
        (None, Some(_)) => {
            found.push(("tls_key", "is there without its certificate; name it as `tls_cert`".to_owned()));
        }
        _ => {}
    }
    if config.tls_cert.is_none() && config.tls_client_ca.is_some() {
        found.push((
            "tls_client_ca",
            "asks for certificates, which come with TLS alone; name `tls_cert`".to_owned(),
        ));
    }
    found
}
