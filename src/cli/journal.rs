//! `bursar journal`: looks at what a process left on disk, at a copy, so that looking changes nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::Exit;
use super::failure::Failure;
use super::journal_record::readable;
use super::screen::Screen;
use super::table;
use crate::storage::{Limits, Report, StoredRecord, read, verify};

#[derive(Clone, Debug, Subcommand)]
pub enum JournalCommand {
    /// Checks numbers, links, checksums and head; status 1 where it is damaged
    Verify(DirectoryArgs),
    /// Prints every record, the newest last; with damage those before it
    Dump(DirectoryArgs),
}

#[derive(Clone, Debug, Args)]
pub struct DirectoryArgs {
    /// The journal's directory, the data directory that holds it, or a store that was set aside; not in use
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Where a process keeps its journal in its data directory.
const JOURNAL: &str = "journal";

impl JournalCommand {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match self {
            Self::Verify(args) => args.verify(screen),
            Self::Dump(args) => args.dump(screen),
        }
    }
}

impl DirectoryArgs {
    fn verify(&self, screen: Screen) -> Result<Exit, Failure> {
        let report = verify(&self.journal(), limits()).map_err(anyhow::Error::from)?;
        let shown = report_json(&report);
        if screen.json { screen.print_json(&shown) } else { screen.print(&table::fields(&shown)) }?;
        Ok(ending(&report))
    }

    fn dump(&self, screen: Screen) -> Result<Exit, Failure> {
        let contents = read(&self.journal(), limits()).map_err(anyhow::Error::from)?;
        for record in &contents.records {
            screen.print(&if screen.json { record_json(record).to_string() } else { line(record) })?;
        }
        if let Some(damage) = &contents.report.damage {
            screen.say(&format!("the journal is damaged, what follows can't be read: {damage}"));
        }
        Ok(ending(&contents.report))
    }

    /// The data directory may be named as well as the journal in it.
    fn journal(&self) -> PathBuf {
        let inside = self.directory.join(JOURNAL);
        if inside.is_dir() { inside } else { self.directory.clone() }
    }
}

/// Whoever looks has time, however large the journal is.
fn limits() -> Limits {
    Limits { open_within: std::time::Duration::from_secs(600), ..Limits::default() }
}

fn ending(report: &Report) -> Exit {
    if report.damage.is_some() { Exit::Failure } else { Exit::Success }
}

fn report_json(report: &Report) -> Value {
    let set_aside: Vec<String> = report.set_aside.iter().map(|path| path.display().to_string()).collect();
    json!({
        "ok": report.damage.is_none(),
        "damage": report.damage.as_ref().map(ToString::to_string),
        "id": report.id.map(|id| hex(&id)),
        "start": report.start,
        "clean": report.clean,
        "records": report.records,
        "trimmed": report.trimmed,
        "newest": report.newest.map(|(number, _)| number),
        "newest_link": report.newest.map(|(_, link)| hex(&link.0)),
        "payload_bytes": report.payload_bytes,
        "disk_bytes": report.disk_bytes,
        "set_aside": set_aside,
    })
}

fn line(record: &StoredRecord) -> String {
    format!("{} {} {}", record.number, record.start, readable(&record.payload).text)
}

fn record_json(record: &StoredRecord) -> Value {
    let shown = readable(&record.payload);
    json!({
        "number": record.number,
        "start": record.start,
        "link": hex(&record.link.0),
        "kind": shown.kind,
        "text": shown.text,
        "cbor": shown.cbor,
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
