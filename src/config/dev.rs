//! Options of `bursar dev`: both processes in one, for trying out. Everything stays on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::ledger::LedgerConfig;
use super::load::load;
use super::setting::{Process, settings};
use super::sidecar::SidecarConfig;
use super::source::Sources;
use super::value::{self, Endpoint};
use crate::telemetry::{LogFilter, LogFormat, SampleRatio};
use crate::types::Name;

/// The file that is read where none is named.
pub const USUAL_FILE: &str = "bursar.toml";

settings! {
    /// What `dev` is told.
    DevConfig = "dev" {
        /// Where both processes keep what they know. Delete it to start anew.
        data_dir: PathBuf = ".bursar", value::path;

        /// The Unix socket that agent runtimes call, or `none`.
        socket: Option<PathBuf> = ".bursar/bursar.sock", value::socket;

        /// The loopback address that agent runtimes call.
        listen: SocketAddr = "127.0.0.1:7401", value::listen;

        /// The loopback address of the ledger.
        ledger_listen: SocketAddr = "127.0.0.1:7400", value::listen;

        /// The playbook to publish, or `none` for the sample.
        playbook: Option<PathBuf> = "none", value::path_or_none;

        /// The account to open.
        account: Name = "acme", value::name;

        /// The plan that it is opened on, or `none` for the playbook's first.
        plan: Option<Name> = "none", value::name_or_none;

        /// Which log lines are written: a level, or directives such as `info,bursar::decision=debug` for each refusal.
        log: LogFilter = "warn", str::parse;

        /// How log lines look: `auto` (text on a terminal, else JSON), `json` or `text`.
        log_format: LogFormat = "auto", str::parse;

        /// The OTLP/gRPC port of a collector of traces, such as `http://127.0.0.1:4317`, or `none`.
        otlp_endpoint: Option<Endpoint> = "none", value::collector_or_none;

        /// The share of calls without a trace context that get a span, from `0` to `1`.
        trace_ratio: SampleRatio = "1", str::parse;

        /// The loopback address of the sidecar's `/livez`, `/readyz` and `/metrics`, or `none`.
        admin_listen: Option<SocketAddr> = "none", value::listen_or_none;
    }
}

fn contradictions(config: &DevConfig) -> Vec<(&'static str, String)> {
    let mut found = Vec::new();
    let admin = config.admin_listen.map(|listen| ("admin_listen", listen));
    let calls = [("listen", config.listen), ("ledger_listen", config.ledger_listen)];
    for (key, listen) in calls.into_iter().chain(admin) {
        if value::open_to_others(listen, false).is_some() {
            found
                .push((key, "is open to other machines; `dev` listens on `127.0.0.1` or `[::1]`".to_owned()));
        }
    }
    if config.listen == config.ledger_listen && config.listen.port() != 0 {
        found.push(("listen", "is `ledger_listen`, too; choose two ports".to_owned()));
    }
    found
}

impl DevConfig {
    /// The ledger that `dev` runs.
    pub fn ledger(&self) -> LedgerConfig {
        LedgerConfig {
            data_dir: self.data_dir.join("ledger"),
            listen: Some(self.ledger_listen),
            log: self.log.clone(),
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.clone(),
            trace_ratio: self.trace_ratio,
            ..defaults()
        }
    }

    /// The sidecar that `dev` runs. `ledger`: where the ledger came to listen.
    pub fn sidecar(&self, ledger: SocketAddr) -> SidecarConfig {
        SidecarConfig {
            ledger: Endpoint::Http(ledger.to_string()),
            data_dir: self.data_dir.join("sidecar"),
            socket: self.socket.clone(),
            listen: Some(self.listen),
            log: self.log.clone(),
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.clone(),
            trace_ratio: self.trace_ratio,
            admin_listen: self.admin_listen,
            ..defaults()
        }
    }
}

#[expect(clippy::expect_used, reason = "constants: a test loads the defaults of every process")]
fn defaults<P: Process>() -> P {
    load(&Sources::default()).expect("the defaults hold").config
}
