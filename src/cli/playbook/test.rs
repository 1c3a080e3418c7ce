//! `bursar playbook test`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::scenario_files::{self, ScenarioFile};
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::scenario::{Dealing, Outcome, run_dealt, run_source};

/// Sidecars that runs are dealt over at most: as many as a scenario may name.
const SIDECARS_MAX: i64 = 100;

#[derive(Clone, Debug, Args)]
pub struct TestArgs {
    /// Files of scenarios, or directories with all their *.yaml
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Deal the runs of each scenario over so many sidecars: the decisions, charges and balances must be the same. What
    /// names sidecars itself is left out; `paid_by` and `final` are not compared
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=SIDECARS_MAX))]
    sidecars: Option<u16>,
}

impl TestArgs {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let files = scenario_files::find(&self.paths)?;
        if files.is_empty() {
            return Err(Failure::new("there is no scenario here")
                .help("name a file of scenarios, or a directory with some `*.yaml` that hold them"));
        }
        let (mut passed, mut failed, mut shown) = (0_usize, 0_usize, Vec::new());
        for file in &files {
            if scenario_files::is_playbook(&file.source) {
                let path = file.path.display();
                screen.say(&format!(
                    "{path}: not scenarios but a playbook, which `bursar playbook check` checks"
                ));
            }
            for outcome in self.play(file) {
                match outcome.result {
                    Ok(()) => passed += 1,
                    Err(_) => failed += 1,
                }
                if screen.json {
                    shown.push(outcome_json(&outcome));
                } else {
                    screen.print(&line(&outcome))?;
                }
            }
        }
        if screen.json {
            screen.print_json(&json!({ "passed": passed, "failed": failed, "scenarios": shown }))?;
        } else {
            screen.print(&format!("{passed} passed, {failed} failed"))?;
        }
        Ok(if failed == 0 { Exit::Success } else { Exit::Failure })
    }

    /// Plays one file; a playbook that a scenario names by its path is looked for beside it.
    fn play(&self, file: &ScenarioFile) -> Vec<Outcome> {
        let beside = file.path.parent().unwrap_or_else(|| Path::new(""));
        let read = |path: &str| {
            let path = beside.join(path);
            std::fs::read_to_string(&path)
                .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))
        };
        let name = file.path.display().to_string();
        match self.sidecars {
            None => run_source(&name, &file.source, &read),
            Some(over) => {
                let dealing = Dealing { over: over.into(), skip: 0, each_step: true };
                run_dealt(&name, &file.source, dealing, &read)
            }
        }
    }
}

/// One line, whatever the failure says.
fn line(outcome: &Outcome) -> String {
    match &outcome.result {
        Ok(()) => format!("ok {}", outcome.scenario),
        Err(failure) => {
            let said = failure.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
            format!("FAIL {}: {}: {said}", outcome.scenario, outcome.file)
        }
    }
}

fn outcome_json(outcome: &Outcome) -> Value {
    let mut shown = json!({
        "scenario": outcome.scenario,
        "file": outcome.file,
        "line": outcome.line,
        "ok": outcome.result.is_ok(),
    });
    if let (Err(failure), Some(shown)) = (&outcome.result, shown.as_object_mut()) {
        let failure = json!({
            "step": failure.step,
            "line": failure.line,
            "operation": failure.operation,
            "expected": failure.expected,
            "got": failure.got,
        });
        shown.insert("failure".to_owned(), failure);
    }
    shown
}
