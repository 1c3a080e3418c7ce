//! `bursar ledger`, `bursar ledger migrate`

use clap::{Args, Subcommand};
use serde_json::json;

use super::command::wait;
use super::exit::Exit;
use super::failure::Failure;
use super::process;
use super::screen::Screen;
use crate::config::{ConfigArgs, LedgerConfig, ledger};
use crate::grpc::listen::Listening;
use crate::ledger::{database, migrate, run as serve};

#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct LedgerArgs {
    #[command(flatten)]
    config: ConfigArgs<LedgerConfig>,

    #[command(subcommand)]
    command: Option<LedgerCommand>,
}

#[derive(Clone, Debug, Subcommand)]
enum LedgerCommand {
    /// Makes the tables that `--database` needs, or brings them to this version
    Migrate(ConfigArgs<LedgerConfig>),
}

impl LedgerArgs {
    pub fn run(&self, screen: Screen) -> Result<Exit, Failure> {
        match &self.command {
            None => run(&self.config, screen),
            Some(LedgerCommand::Migrate(config)) => wait(bring_up(config, screen)),
        }
    }
}

fn run(args: &ConfigArgs<LedgerConfig>, screen: Screen) -> Result<Exit, Failure> {
    let config = process::load(args, ledger::USUAL_FILE, screen)?.config;
    process::start_logs(&config.log, config.log_format)?;
    process::until_stopped_across(config.threads, async |shutdown| {
        serve(&config, |at| say_ready(screen, config.tls_cert.is_some(), &at), shutdown).await
    })
}

fn say_ready(screen: Screen, encrypted: bool, at: &Listening) {
    let scheme = if encrypted { "https" } else { "http" };
    let json = json!({
        "ready": true,
        "address": at.tcp.map(|address| address.to_string()),
        "socket": at.socket,
        "admin": at.admin.map(|admin| admin.to_string()),
    });
    let address = at.tcp.map(|address| format!("{scheme}://{address}"));
    let socket = at.socket.as_ref().map(|path| format!("unix:{}", path.display()));
    let places: Vec<String> = [address, socket].into_iter().flatten().collect();
    let admin = at.admin.map(|admin| format!("; probes and metrics at http://{admin}")).unwrap_or_default();
    process::ready(screen, &json, &format!("the ledger is ready at {}{admin}", places.join(" and ")));
}

async fn bring_up(args: &ConfigArgs<LedgerConfig>, screen: Screen) -> Result<Exit, Failure> {
    let config = process::load(args, ledger::USUAL_FILE, screen)?.config;
    let Some(address) = database(&config)? else {
        return Err(Failure::usage("no database is configured: there is nothing to migrate")
            .help("`--database postgres://user@host/name` names one"));
    };
    let done = migrate(&address).await.map_err(|error| Failure::new(error.to_string()))?;
    if screen.json {
        screen.print_json(&json!({ "from": done.from, "to": done.to }))?;
    } else if done.from == done.to {
        screen.print(&format!("the schema is version {}: nothing to do", done.to))?;
    } else {
        screen.print(&format!("the schema is version {} now; it was {}", done.to, done.from))?;
    }
    Ok(Exit::Success)
}
