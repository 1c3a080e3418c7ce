//! `bursar sidecar`

use serde_json::json;

use super::exit::Exit;
use super::failure::Failure;
use super::process;
use super::screen::Screen;
use crate::config::{ConfigArgs, SidecarConfig, sidecar};
use crate::grpc::listen::Listening;
use crate::sidecar::run as serve;

pub fn run(args: &ConfigArgs<SidecarConfig>, screen: Screen) -> Result<Exit, Failure> {
    let config = process::load(args, sidecar::USUAL_FILE, screen)?.config;
    process::start_logs(&config.log, config.log_format)?;
    process::until_stopped(async |shutdown| serve(&config, |at| say_ready(screen, &at), shutdown).await)
}

fn say_ready(screen: Screen, at: &Listening) {
    let json = json!({
        "ready": true,
        "socket": at.socket,
        "address": at.tcp.map(|a| a.to_string()),
        "admin": at.admin.map(|a| a.to_string()),
    });
    let socket = at.socket.as_ref().map(|path| format!("unix:{}", path.display()));
    let address = at.tcp.map(|address| format!("http://{address}"));
    let places: Vec<String> = [socket, address].into_iter().flatten().collect();
    let admin = at.admin.map(|admin| format!("; probes and metrics at http://{admin}")).unwrap_or_default();
    process::ready(screen, &json, &format!("the sidecar is ready at {}{admin}", places.join(" and ")));
}
