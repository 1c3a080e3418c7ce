//! Options of `bursar sidecar`.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use super::ledger_tls::LedgerTls;
use super::setting::settings;
use super::value::{self, Endpoint};
use crate::lease::Accounts;
use crate::playbook::offline::OfflineMode;
use crate::telemetry::{LogFilter, LogFormat, SampleRatio};
use crate::trust::SpiffeId;
use crate::types::Name;

/// The file that is read where none is named.
pub const USUAL_FILE: &str = "/etc/bursar/sidecar.toml";

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

settings! {
    /// What a sidecar is told.
    SidecarConfig = "sidecar" {
        /// Where the ledger is: `https://host:port`, `http://host:port` without TLS, or `unix:///path`.
        ledger: Endpoint = "http://127.0.0.1:7400", value::endpoint;

        /// The authorities of the ledger's certificate, a PEM file; with `https`. It is read again when it changes, like the
        /// two files that follow.
        ledger_ca: Option<PathBuf> = "none", value::path_or_none;

        /// The certificate that the sidecar shows the ledger, and those that signed it: a PEM file, or `none`.
        ledger_cert: Option<PathBuf> = "none", value::path_or_none;

        /// The key of that certificate, a PEM file, or `none`.
        ledger_key: Option<PathBuf> = "none", value::path_or_none;

        /// The SPIFFE id that the ledger's certificate must name, or `none`: it must name the host of `ledger`.
        ledger_id: Option<SpiffeId> = "none", value::spiffe_or_none;

        /// Where the sidecar keeps its journal. It must survive a restart, and belong to one sidecar alone.
        data_dir: PathBuf = "/var/lib/bursar/sidecar", value::path;

        /// The Unix socket that agent runtimes call, or `none`.
        socket: Option<PathBuf> = "/run/bursar/bursar.sock", value::socket;

        /// Who may use the socket: permission bits, always octal.
        socket_mode: u32 = "0660", value::file_mode;

        /// The users whose processes may use the socket, by number and separated by commas, or `any` whom its permission
        /// bits let in.
        socket_users: Option<Vec<u32>> = "any", value::users;

        /// The address that agent runtimes call over TCP, or `none`. Loopback, unless `allow_remote` says otherwise.
        listen: Option<SocketAddr> = "127.0.0.1:7401", value::listen_or_none;

        /// Lets other machines call over TCP, neither encrypted nor authenticated.
        allow_remote: bool = "false", value::switch;

        /// What the sidecar calls itself at the ledger and in traces, or `none`.
        label: Option<Name> = "none", value::name_or_none;

        /// The accounts that it acts for, separated by commas: names, or beginnings of names such as `acme-*`. The ledger
        /// refuses it any other.
        accounts: Accounts = "*", value::accounts;

        /// What happens, while the ledger cannot be reached, to runs of accounts that this sidecar has never seen: `deny`.
        /// Neither their plan nor the key of their handles is known, so that nothing else could be priced or charged.
        unknown_accounts: OfflineMode = "deny", value::offline_mode;

        /// The most that records may take on disk while they wait for the ledger. A full outbox refuses new work with
        /// `JOURNAL_FULL`; it never drops usage.
        outbox_bytes_max: u64 = "1GiB", |text: &str| value::bytes(text, MIB..=1024 * GIB);

        /// How long records are kept after the ledger has them, for a ledger that is restored from a backup.
        retain: Duration = "1h", |text: &str| value::duration(text, Duration::ZERO..=HOUR * 24 * 30);

        /// The most that such records may take on disk; the oldest go first.
        retain_bytes_max: u64 = "256MiB", |text: &str| value::bytes(text, 0..=1024 * GIB);

        /// How many calls may be in work at once; further ones are refused with `OVERLOADED`.
        calls_max: usize = "4096", |text: &str| value::count(text, 1..=1_000_000);

        /// How long a stop may take: calls end, records and leases go back to the ledger.
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

        /// The address of `/livez`, `/readyz` and `/metrics`, such as `127.0.0.1:7402`, or `none`: plain HTTP, which whoever
        /// reaches it may read. It tells figures and no names of accounts.
        admin_listen: Option<SocketAddr> = "none", value::listen_or_none;
    }
}

impl SidecarConfig {
    /// How it calls the ledger over TLS.
    pub fn ledger_tls(&self) -> LedgerTls {
        LedgerTls {
            ca: self.ledger_ca.clone(),
            cert: self.ledger_cert.clone(),
            key: self.ledger_key.clone(),
            id: self.ledger_id.clone(),
        }
    }
}

fn contradictions(config: &SidecarConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    if config.listen.is_none() && config.socket.is_none() {
        found.push(("listen", "is off, and so is `socket`; nobody could call this sidecar".to_owned()));
    }
    if let Some(what) = config.listen.and_then(|listen| value::open_to_others(listen, config.allow_remote)) {
        found.push(("listen", what));
    }
    found.extend(config.ledger_tls().contradictions(&config.ledger));
    if matches!((&config.ledger, &config.socket), (Endpoint::Unix(ledger), Some(own)) if ledger == own) {
        found.push(("ledger", "is this sidecar's own `socket`; name the ledger's".to_owned()));
    }
    found
}
