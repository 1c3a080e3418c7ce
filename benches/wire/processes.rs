//! Ledger, sidecar and floor, each a process of its own, and the CPU time that one used.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::time::Instant;

use super::floor;
use super::measure::Form;

/// A process is quiet once it used less than this within a look's time. A look is longer than the journal keeps records that
/// nobody waits for: what a call leaves to be written belongs to it.
const QUIET: Duration = Duration::from_micros(500);
const LOOK: Duration = Duration::from_millis(75);

/// It does not take longer than this to become quiet, or its own upkeep is what is seen.
const LOOKS_MAX: usize = 20;

/// A server that can be called, ended when this is dropped.
pub struct Server {
    child: Child,
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
        let lines =
            [authorize, commit, form.threads.to_string().as_bytes()].map(|part| BASE64_STANDARD.encode(part));
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

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by this signal; answers how long that took.
    pub fn end(&mut self, signal: &str) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let sent = Command::new("kill").args([signal, &self.id().to_string()]).status()?;
        anyhow::ensure!(sent.success(), "process {} takes no signal", self.id());
        self.child.wait()?;
        Ok(began.elapsed())
    }

    /// Bytes of its memory that are in use.
    pub fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = resident.and_then(|rest| rest.trim().strip_suffix(" kB")).context("no VmRSS")?;
        Ok(kib.parse::<u64>()? << 10)
    }

    /// User and system time of all its threads so far.
    #[expect(
        unsafe_code,
        reason = "no safe call reads the CPU clock of another process, and /proc counts in 10 ms"
    )]
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let (mut clock, mut time) = (0, libc::timespec { tv_sec: 0, tv_nsec: 0 });
        let id = libc::pid_t::try_from(self.id())?;
        // SAFETY: both pointers are to live values of the types that the functions write.
        let failed = unsafe {
            libc::clock_getcpuclockid(id, &raw mut clock) != 0
                || libc::clock_gettime(clock, &raw mut time) != 0
        };
        anyhow::ensure!(!failed, "the CPU clock of process {id} can't be read");
        Ok(Duration::new(u64::try_from(time.tv_sec)?, u32::try_from(time.tv_nsec)?))
    }

    /// Waits until what was asked of it is done, what happens after the answers too; answers the CPU time then.
    pub async fn quiet(&self) -> anyhow::Result<Duration> {
        let mut before = self.cpu()?;
        for _ in 0..LOOKS_MAX {
            tokio::time::sleep(LOOK).await;
            let now = self.cpu()?;
            if now.saturating_sub(before) < QUIET {
                return Ok(now);
            }
            before = now;
        }
        Ok(before)
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
