//! `bursar playbook diff`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::check::source;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::json::plain;
use crate::grpc::proto::ledger_v1::PlaybookServiceDiffRequest;
use crate::playbook::diff::{Change, Diff};
use crate::playbook::{Playbook, load};

#[derive(Clone, Debug, Args)]
pub struct DiffArgs {
    /// The version that is compared with; with one file alone it is the version in force at the ledger
    before: PathBuf,

    /// The later version
    after: Option<PathBuf>,

    #[command(flatten)]
    to: LedgerArgs,
}

const COLUMNS: [&str; 6] = ["path", "before", "after", "dearer", "price_rises", "whom"];

impl DiffArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match &self.after {
            Some(after) => between(&self.before, after, screen)?,
            None => {
                let document = source(&self.before)?;
                let request =
                    PlaybookServiceDiffRequest { document, ..PlaybookServiceDiffRequest::default() };
                let answer = plain(&self.to.connect().await?.diff(request).await?);
                show(&answer, screen)?;
            }
        }
        Ok(Exit::Success)
    }
}

/// Two files: what changes is known here, from when it may hold only to the ledger.
fn between(before: &Path, after: &Path, screen: Screen) -> Result<(), Failure> {
    let (before, after) = (sound(before)?, sound(after)?);
    if after.version <= before.version {
        let (from, to) = (before.version, after.version);
        screen.say(&format!("`version` goes from {from} to {to}: it must rise, or the ledger refuses it"));
    }
    let diff = Diff::between(&before, &after);
    let changes: Vec<Value> = diff.changes.iter().map(change).collect();
    let notice = before.notice.filter(|_| diff.is_dearer());
    let notice = notice.map(|notice| notice.to_string()).unwrap_or_default();
    show(&json!({ "changes": changes, "dearer": diff.is_dearer(), "notice": notice }), screen)
}

fn sound(file: &Path) -> Result<Box<Playbook>, Failure> {
    let name = file.display().to_string();
    load(&source(file)?).map(Box::new).map_err(|report| {
        Failure::new(format!("`{name}` is refused:\n{}", report.in_file(&name)))
            .help(format!("`bursar playbook check {name}` says it all"))
    })
}

fn change(change: &Change) -> Value {
    json!({
        "path": change.path,
        "before": change.before.clone().unwrap_or_default(),
        "after": change.after.clone().unwrap_or_default(),
        "dearer": change.dearer,
        "price_rises": change.price_rises,
        "whom": change.whom.to_string(),
    })
}

/// A change as people read it: where a version says nothing stands a dash.
fn filled(change: &Value) -> Value {
    let mut change = change.clone();
    for side in ["before", "after"] {
        if let Some(said) = change.get_mut(side).filter(|said| said.as_str() == Some("")) {
            *said = json!("-");
        }
    }
    change
}

fn show(answer: &Value, screen: Screen) -> Result<(), Failure> {
    if screen.json {
        return screen.print_json(answer);
    }
    let changes = table::list(answer, "changes");
    if changes.is_empty() {
        screen.say("nothing changes");
        return Ok(());
    }
    let changes: Vec<Value> = changes.iter().map(filled).collect();
    screen.print(&table::rows(&COLUMNS, &changes))?;
    let text = |key: &str| answer.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    if answer.get("dearer").and_then(Value::as_bool) != Some(true) {
        screen.say("nothing becomes dearer: no notice is needed");
    } else if let Some(earliest) = text("earliest_effective") {
        screen.say(&format!("it is dearer: `effective` may be {earliest} at the earliest"));
    } else if let Some(notice) = text("notice") {
        screen.say(&format!("it is dearer: publish it {notice} before its `effective`"));
    } else {
        screen.say("it is dearer, and the version before asks for no notice");
    }
    Ok(())
}
