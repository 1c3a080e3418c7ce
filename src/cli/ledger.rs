//! `bursar ledger`

use std::net::SocketAddr;

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::process;
use super::screen::Screen;
use crate::config::{ConfigArgs, LedgerConfig, ledger};
use crate::ledger::run as serve;

pub fn run(args: &ConfigArgs<LedgerConfig>, screen: Screen) -> Result<Exit, Failure> {
    let config = process::load(args, ledger::USUAL_FILE, screen)?.config;
    process::start_logs(&config.log, config.log_format)?;
    process::until_stopped(async |shutdown| serve(&config, |at| say_ready(screen, at), shutdown).await)
}

fn say_ready(screen: Screen, at: SocketAddr) {
    let json = json!({ "ready": true, "address": at.to_string() });
    process::ready(screen, &json, &format!("the ledger is ready at http://{at}"));
}
