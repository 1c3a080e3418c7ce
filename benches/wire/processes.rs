//! Ledger, sidecar and floor, each a process of its own.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use base64_simd::STANDARD;

use super::floor;
use super::measure::Form;
use super::meter::Meter;

/// A server that can be called, ended when this is dropped.
pub struct Server {
    pub child: Child,
    pub tcp: SocketAddr,
    pub socket: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nothing of it is needed any more; its directories go with it.
        let _gone = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Server {
    pub fn ledger(dir: &Path) -> anyhow::Result<Self> {
        let mut command = bursar("ledger", &dir.join("ledger"), &[]);
        command.args(["--listen", "127.0.0.1:0"]);
        Self::start(command, PathBuf::new(), "")
    }

    pub fn sidecar(dir: &Path, sockets: &Path, ledger: SocketAddr, form: &Form) -> anyhow::Result<Self> {
        let socket = sockets.join("sidecar.sock");
        let mut command = bursar("sidecar", &dir.join("sidecar"), &form.under);
        command.arg("--ledger").arg(format!("http://{ledger}")).arg("--socket").arg(&socket);
        command.args(["--listen", "127.0.0.1:0", "--threads", &form.threads.to_string()]);
        Self::start(command, socket, "")
    }

    /// The empty handler, which answers what the sidecar once did.
    pub fn floor(dir: &Path, authorize: &[u8], commit: &[u8], form: &Form) -> anyhow::Result<Self> {
        let socket = dir.join("floor.sock");
        let mut command = under(&form.under, std::env::current_exe()?.as_os_str());
        command.env(floor::ROLE, &socket);
        let lines = [authorize, commit, form.threads.to_string().as_bytes()]
            .map(|part| STANDARD.encode_to_string(part));
        Self::start(command, socket, &(lines.join("\n") + "\n"))
    }

    fn start(mut command: Command, socket: PathBuf, input: &str) -> anyhow::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        child.stdin.take().context("no stdin")?.write_all(input.as_bytes())?;
        let mut server = Self { tcp: SocketAddr::from(([127, 0, 0, 1], 0)), child, socket };
        let mut line = String::new();
        BufReader::new(server.child.stdout.take().context("no stdout")?).read_line(&mut line)?;
        let ready: serde_json::Value = serde_json::from_str(&line)
            .with_context(|| format!("{command:?} did not become ready: `{line}`"))?;
        server.tcp = ready.get("address").and_then(|at| at.as_str()).context("no address")?.parse()?;
        Ok(server)
    }

    pub fn meter(&self) -> Meter {
        Meter(vec![self.child.id()])
    }
}

fn bursar(process: &str, data: &Path, wrapper: &[String]) -> Command {
    let mut command = under(wrapper, OsStr::new(env!("CARGO_BIN_EXE_bursar")));
    command.args([process, "--json", "--log", "warn", "--data-dir"]).arg(data);
    command
}

fn under(wrapper: &[String], program: &OsStr) -> Command {
    let Some((first, rest)) = wrapper.split_first() else { return Command::new(program) };
    let mut command = Command::new(first);
    command.args(rest).arg(program);
    command
}
