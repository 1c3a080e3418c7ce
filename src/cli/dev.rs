//! `bursar dev`: ledger and sidecar in one process, on a sample playbook and account.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_local};

use super::exit::Exit;
use super::failure::Failure;
use super::greeting;
use super::process;
use super::sample::{self, Sample};
use super::screen::Screen;
use crate::config::{Checked, ConfigArgs, DevConfig, Origin, dev};
use crate::grpc::listen::Listening;
use crate::ledger;
use crate::runtime::{Shutdown, Stopper};
use crate::sidecar;

/// The longest path of a Unix socket, in bytes.
const SOCKET_PATH_MAX: usize = 107;

pub fn run(args: &ConfigArgs<DevConfig>, screen: Screen) -> Result<Exit, Failure> {
    let config = places(process::load(args, dev::USUAL_FILE, screen)?, screen)?;
    let sample = Sample::read(&config)?;
    process::start_logs(&config.log, config.log_format)?;
    process::until_stopped(async |shutdown| serve(&config, &sample, screen, shutdown).await)
}

/// A process that runs beside this task, and what stops it.
struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    stopper: Stopper,
}

async fn serve(
    config: &DevConfig,
    sample: &Sample,
    screen: Screen,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let (mut ledger, address) = start_ledger(config).await?;
    let account = sample::set_up(config, sample, address).await?;
    let (mut sidecar, listening) = start_sidecar(config, address).await?;
    sample::first_answer(sample, &account, &listening).await?;
    let ready = greeting::Ready { listening: &listening, ledger: address, account: &account, sample, config };
    process::ready(screen, &ready.json(), &ready.people());
    tokio::select! {
        () = shutdown.requested() => {}
        ended = &mut sidecar.task => return ended?,
        ended = &mut ledger.task => return ended?,
    }
    // The sidecar first: it gives back to the ledger what it holds.
    sidecar.stopper.stop();
    sidecar.task.await??;
    ledger.stopper.stop();
    ledger.task.await?
}

async fn start_ledger(config: &DevConfig) -> anyhow::Result<(Running, SocketAddr)> {
    let (config, (stopper, shutdown)) = (config.ledger(), Shutdown::new());
    let (say, ready) = oneshot::channel();
    let task = spawn_local(async move {
        // Nobody waits any more only where `dev` itself is stopping.
        let ready = |at: Listening| {
            let _ = say.send(at.tcp);
        };
        ledger::run(&config, ready, shutdown).await
    });
    let (running, address) = started(Running { task, stopper }, ready).await?;
    Ok((running, address.context("the ledger listens on no port")?))
}

async fn start_sidecar(config: &DevConfig, ledger: SocketAddr) -> anyhow::Result<(Running, Listening)> {
    let (config, (stopper, shutdown)) = (config.sidecar(ledger), Shutdown::new());
    let (say, ready) = oneshot::channel();
    let task = spawn_local(async move {
        let ready = |listening| {
            let _ = say.send(listening);
        };
        sidecar::run(&config, ready, shutdown).await
    });
    started(Running { task, stopper }, ready).await
}

/// Waits until the process is ready, or has ended without being so.
async fn started<T>(running: Running, ready: oneshot::Receiver<T>) -> anyhow::Result<(Running, T)> {
    match ready.await {
        Ok(ready) => Ok((running, ready)),
        Err(_) => {
            running.task.await??;
            anyhow::bail!("it ended before it was ready")
        }
    }
}

/// Makes the data directory, and paths absolute so that what is printed can be pasted anywhere.
///
/// A socket that was not named stands in the data directory. Where its path is too long for a socket, `dev` listens on
/// TCP alone and says so.
fn places(checked: Checked<DevConfig>, screen: Screen) -> Result<DevConfig, Failure> {
    let origin_of = |key| checked.shown.iter().find(|shown| shown.key == key).map(|shown| &shown.origin);
    let usual_socket = origin_of("socket") == Some(&Origin::Default);
    let mut config = checked.config;
    let cannot = |path: &Path, error: std::io::Error| {
        Failure::new(format!("cannot make `{}`: {error}", path.display()))
            .help("`--data-dir DIR` names another directory")
    };
    std::fs::create_dir_all(&config.data_dir).map_err(|error| cannot(&config.data_dir, error))?;
    config.data_dir = std::path::absolute(&config.data_dir)?;
    if usual_socket {
        config.socket = Some(config.data_dir.join("bursar.sock"));
    }
    config.socket = config.socket.map(std::path::absolute).transpose()?;
    let length = config.socket.as_ref().map_or(0, |path| path.as_os_str().len());
    if length > SOCKET_PATH_MAX {
        let what =
            format!("the socket's path has {length} bytes, and a socket's has at most {SOCKET_PATH_MAX}");
        if !usual_socket {
            return Err(Failure::usage(what).help("`--socket PATH` names a shorter one"));
        }
        screen.say(&format!("{what}: listening on TCP alone; `--socket PATH` names a shorter one"));
        config.socket = None;
    }
    Ok(config)
}
