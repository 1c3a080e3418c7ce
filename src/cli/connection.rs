//! Which server a command speaks to, and how long it waits for it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::failure::Failure;
use super::read;
use crate::config::{DevConfig, Endpoint, LedgerConfig, LedgerTls, Process, SidecarConfig};
use crate::grpc::call_error::UNREACHABLE;
use crate::grpc::client::{Bearer, LedgerClient, SidecarClient};
use crate::grpc::connect::Way;
use crate::trust::SpiffeId;
use crate::trust::client::ClientFiles;

/// Names the sidecar where no flag does.
pub const SIDECAR_ENV: &str = "BURSAR_SIDECAR";

/// Names the ledger where no flag does.
pub const LEDGER_ENV: &str = "BURSAR_LEDGER";

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct SidecarArgs {
    /// The sidecar: `unix:PATH` or `http://127.0.0.1:PORT` [default: the socket of `bursar dev` in this directory, where
    /// there is one, else that of `bursar sidecar`]
    #[arg(long, env = SIDECAR_ENV, hide_env_values = true, value_name = "ENDPOINT", value_parser = read::endpoint)]
    pub sidecar: Option<Endpoint>,

    #[command(flatten)]
    pub patience: Patience,
}

#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct LedgerArgs {
    /// The ledger: `http://HOST:PORT` or `unix:PATH` [default: http://127.0.0.1:7400]
    #[arg(long, env = LEDGER_ENV, hide_env_values = true, value_name = "URL", value_parser = read::endpoint)]
    pub ledger: Option<Endpoint>,

    #[command(flatten)]
    pub trust: LedgerTrust,

    #[command(flatten)]
    pub patience: Patience,
}

/// What shows the ledger to us, and us to the ledger.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct LedgerTrust {
    /// The authorities of the ledger's certificate, a PEM file; for `https://`
    #[arg(long, env = "BURSAR_LEDGER_CA", hide_env_values = true, value_name = "FILE")]
    ledger_ca: Option<PathBuf>,

    /// The certificate to show the ledger, with those that signed it, a PEM file
    #[arg(long, env = "BURSAR_LEDGER_CERT", hide_env_values = true, value_name = "FILE")]
    ledger_cert: Option<PathBuf>,

    /// The key of that certificate, a PEM file
    #[arg(long, env = "BURSAR_LEDGER_KEY", hide_env_values = true, value_name = "FILE")]
    ledger_key: Option<PathBuf>,

    /// The SPIFFE id that the ledger's certificate must name instead of its host
    #[arg(long, env = "BURSAR_LEDGER_ID", hide_env_values = true, value_name = "ID", value_parser = SpiffeId::parse)]
    ledger_id: Option<SpiffeId>,

    /// A file that holds the token which says who you are
    #[arg(long, env = "BURSAR_TOKEN_FILE", hide_env_values = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Patience {
    /// How long to wait for the connection, and for each answer
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = read::span)]
    pub timeout: Duration,
}

impl SidecarArgs {
    pub async fn connect(&self) -> Result<SidecarClient, Failure> {
        let endpoint = match &self.sidecar {
            Some(endpoint) => endpoint.clone(),
            None => usual_sidecar()?,
        };
        SidecarClient::connect(&endpoint, self.patience.timeout).await.map_err(|error| {
            let failure = Failure::from(error);
            if failure.reason() != Some(UNREACHABLE) {
                return failure;
            }
            let tcp = default_of::<SidecarConfig>("listen");
            failure.help(format!(
                "`bursar dev` starts one; `--sidecar unix:PATH` or `--sidecar http://{tcp}` (or {SIDECAR_ENV}) names one"
            ))
        })
    }
}

impl LedgerArgs {
    pub async fn connect(&self) -> Result<LedgerClient, Failure> {
        connect_ledger(self.ledger.as_ref(), &self.trust, self.patience).await
    }
}

/// Connects to the ledger that was named, or to the usual one.
pub async fn connect_ledger(
    named: Option<&Endpoint>,
    trust: &LedgerTrust,
    patience: Patience,
) -> Result<LedgerClient, Failure> {
    let usual = || Endpoint::Http(default_of::<LedgerConfig>("listen").to_owned());
    let endpoint = named.cloned().unwrap_or_else(usual);
    let (way, bearer) = trust.to(endpoint)?;
    LedgerClient::connect_by(&way, bearer, patience.timeout).await.map_err(|error| {
        let failure = Failure::from(error);
        if failure.reason() != Some(UNREACHABLE) {
            return failure;
        }
        failure
            .help(format!("`bursar dev` starts one; `--ledger http://HOST:PORT` (or {LEDGER_ENV}) names one"))
    })
}

impl LedgerTrust {
    /// How to reach a ledger, and what to say with each call.
    fn to(&self, endpoint: Endpoint) -> Result<(Way, Bearer), Failure> {
        let Self { ledger_ca: ca, ledger_cert: cert, ledger_key: key, ledger_id: id, token_file } =
            self.clone();
        let tls = LedgerTls { ca, cert, key, id };
        if let Some((key, what)) = tls.contradictions(&endpoint).first() {
            return Err(Failure::usage(format!("`--{}` {what}", key.replace('_', "-"))));
        }
        let tls = tls
            .files()
            .map(ClientFiles::open)
            .transpose()
            .map_err(|error| Failure::usage(error.to_string()))?;
        let way = Way::new(endpoint, tls).map_err(|error| Failure::usage(error.to_string()))?;
        let bearer = match token_file {
            Some(path) => {
                let unusable = |what: String| Failure::usage(format!("`{}` {what}", path.display()));
                let token = std::fs::read_to_string(&path)
                    .map_err(|error| unusable(format!("can't be read: {error}")))?;
                Bearer::new(token.trim()).map_err(unusable)?
            }
            None => Bearer::default(),
        };
        Ok((way, bearer))
    }
}

/// The socket of `bursar dev` in this directory, where there is one, else that of `bursar sidecar`.
fn usual_sidecar() -> Result<Endpoint, Failure> {
    let dev = Path::new(default_of::<DevConfig>("socket"));
    let usual = if dev.exists() { dev } else { Path::new(default_of::<SidecarConfig>("socket")) };
    socket(usual)
        .map_err(|error| Failure::new(format!("cannot tell where `{}` is: {error}", usual.display())))
}

/// The endpoint of a socket, wherever the process goes from here.
pub fn socket(path: &Path) -> std::io::Result<Endpoint> {
    std::path::absolute(path).map(Endpoint::Unix)
}

/// What holds for an option of a process where nothing is said.
fn default_of<P: Process>(key: &str) -> &'static str {
    P::SETTINGS.iter().find(|setting| setting.key == key).map_or("none", |setting| setting.default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_places_are_those_of_the_processes() {
        assert_eq!(default_of::<LedgerConfig>("listen"), "127.0.0.1:7400");
        assert_eq!(default_of::<SidecarConfig>("listen"), "127.0.0.1:7401");
        assert_eq!(default_of::<SidecarConfig>("socket"), "/run/bursar/bursar.sock");
        assert_eq!(default_of::<DevConfig>("socket"), ".bursar/bursar.sock");
    }
}
