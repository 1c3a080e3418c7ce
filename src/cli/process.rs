//! What starting a process has in common: its configuration, its logs, its runtime, its signals.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use serde_json::Value;
use tokio::runtime::Builder;

use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;
use crate::config::{self, Checked, ConfigArgs, Process, Sources};
use crate::runtime::Shutdown;
use crate::telemetry::{LogFilter, LogFormat, logs};

/// Reads the configuration. `usual`: the file where none is named.
pub fn load<P: Process>(args: &ConfigArgs<P>, usual: &str, screen: Screen) -> Result<Checked<P>, Failure> {
    let checked = args.load(Path::new(usual))?;
    for name in &checked.unused {
        screen.say(&format!("`{name}` is set, and nothing reads it"));
    }
    Ok(checked)
}

/// The configuration as it is without flags.
pub fn unflagged<P: Process>(usual: &str) -> Result<Checked<P>, Failure> {
    Ok(config::load(&Sources::of_process(None, Path::new(usual), BTreeMap::new())?)?)
}

/// From here on the process logs.
pub fn start_logs(filter: &LogFilter, format: LogFormat) -> Result<(), Failure> {
    logs::start(filter, format).map_err(|error| Failure::new(format!("cannot log: {error}")))
}

/// Runs a process on this thread until a signal stops it.
pub fn until_stopped<F>(process: impl FnOnce(Shutdown) -> F) -> Result<Exit, Failure>
where
    F: Future<Output = anyhow::Result<()>>,
{
    until_stopped_on(Builder::new_current_thread(), process)
}

/// The same, its tasks on so many threads; `None` = one per core.
pub fn until_stopped_across<F>(
    threads: Option<NonZeroUsize>,
    process: impl FnOnce(Shutdown) -> F,
) -> Result<Exit, Failure>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let threads = threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get);
    let mut runtime = match threads {
        1 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    runtime.worker_threads(threads);
    until_stopped_on(runtime, process)
}

fn until_stopped_on<F>(mut runtime: Builder, process: impl FnOnce(Shutdown) -> F) -> Result<Exit, Failure>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let runtime = runtime.enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(format!("cannot start: {error}")))?;
    let tasks = tokio::task::LocalSet::new();
    runtime.block_on(tasks.run_until(async move {
        process(Shutdown::on_signals()?).await?;
        Ok(Exit::Success)
    }))
}

/// Says that the process takes calls: for programs one line of JSON, else `people`.
pub fn ready(screen: Screen, json: &Value, people: &str) {
    let said = if screen.json { screen.print_json(json) } else { screen.print(people) };
    // A process goes on serving where nobody reads what it prints.
    if let Err(failure) = said {
        screen.complain(&failure);
    }
}
