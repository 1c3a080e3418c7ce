//! `bursar config show`: every option of a process, its value, and where that came from.

use std::path::Path;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::process::unflagged;
use super::screen::Screen;
use super::table;
use crate::config::{
    Checked, ConfigArgs, DevConfig, LedgerConfig, Process, SidecarConfig, dev, ledger, sidecar,
};

#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Each option, its value, and where the value came from
    Show(ShowArgs),
}

#[derive(Clone, Debug, Args)]
pub struct ShowArgs {
    /// Which process [default: all three]
    #[command(subcommand)]
    process: Option<Which>,
}

#[derive(Clone, Debug, Subcommand)]
enum Which {
    /// Options of `bursar sidecar`
    Sidecar(ConfigArgs<SidecarConfig>),
    /// Options of `bursar ledger`
    Ledger(ConfigArgs<LedgerConfig>),
    /// Options of `bursar dev`
    Dev(ConfigArgs<DevConfig>),
}

const COLUMNS: [&str; 5] = ["key", "value", "origin", "env", "flag"];

impl ConfigCommand {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let Self::Show(args) = self;
        let all = match args.process {
            Some(Which::Sidecar(args)) => vec![process(args.load(Path::new(sidecar::USUAL_FILE))?)],
            Some(Which::Ledger(args)) => vec![process(args.load(Path::new(ledger::USUAL_FILE))?)],
            Some(Which::Dev(args)) => vec![process(args.load(Path::new(dev::USUAL_FILE))?)],
            None => every_process()?,
        };
        if screen.json {
            screen.print_json(&Value::Array(all))?;
            return Ok(Exit::Success);
        }
        for (position, one) in all.iter().enumerate() {
            if all.len() > 1 {
                let space = if position == 0 { "" } else { "\n" };
                screen.print(&format!(
                    "{space}# bursar {}",
                    one.get("process").map(table::words).unwrap_or_default()
                ))?;
            }
            screen.print(&table::rows(&COLUMNS, table::list(one, "settings")))?;
            for name in table::list(one, "unused") {
                screen.say(&format!("`{}` is set, and nothing reads it", table::words(name)));
            }
        }
        Ok(Exit::Success)
    }
}

/// Without flags, each from its own usual file.
fn every_process() -> Result<Vec<Value>, Failure> {
    Ok(vec![
        process(unflagged::<SidecarConfig>(sidecar::USUAL_FILE)?),
        process(unflagged::<LedgerConfig>(ledger::USUAL_FILE)?),
        process(unflagged::<DevConfig>(dev::USUAL_FILE)?),
    ])
}

fn process<P: Process>(checked: Checked<P>) -> Value {
    let settings: Vec<Value> = checked
        .shown
        .into_iter()
        .map(|shown| {
            json!({
                "key": shown.key,
                "value": shown.value,
                "origin": shown.origin.to_string(),
                "env": shown.env,
                "flag": shown.flag,
                "default": shown.default,
                "doc": shown.doc,
            })
        })
        .collect();
    json!({ "process": P::NAME, "settings": settings, "unused": checked.unused })
}
