//! `bursar playbook check`

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::scenario_files;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::playbook::finding::{Finding, Report, Severity};

#[derive(Clone, Debug, Args)]
pub struct CheckArgs {
    /// Playbooks
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

impl CheckArgs {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut sound = true;
        let mut shown = Vec::new();
        for file in &self.files {
            let source = source(file)?;
            let report = crate::playbook::check(&source);
            let name = file.display().to_string();
            sound &= report.is_sound();
            if !screen.json && scenario_files::is_scenarios(&source) {
                screen.say(&format!(
                    "{name}: not a playbook but scenarios, which `bursar playbook test` plays"
                ));
                continue;
            }
            if screen.json {
                shown.push(file_json(&name, &report));
            } else {
                screen.print(&report.in_file(&name).to_string())?;
                screen.say(&summary(&name, &report));
            }
        }
        if screen.json {
            screen.print_json(&Value::Array(shown))?;
        }
        Ok(if sound { Exit::Success } else { Exit::Failure })
    }
}

/// A playbook's text.
pub fn source(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file).map_err(|error| {
        let failure = Failure::new(format!("`{}` cannot be read: {error}", file.display()));
        let help = format!("name the playbooks in it, such as `{}`", file.join("*.yaml").display());
        if file.is_dir() { failure.help(help) } else { failure }
    })
}

fn summary(name: &str, report: &Report) -> String {
    let refused = report.of(Severity::Error).count();
    let warnings = count(report.of(Severity::Warning).count(), "warning");
    match &report.playbook {
        Some(playbook) => {
            let (actions, plans) =
                (count(playbook.actions.len(), "action"), count(playbook.plans.len(), "plan"));
            format!(
                "{name}: ok, playbook `{}` version {}, {actions}, {plans}, {warnings}",
                playbook.name, playbook.version
            )
        }
        None => format!("{name}: refused, {}, {warnings}", count(refused, "error")),
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn file_json(name: &str, report: &Report) -> Value {
    let findings: Vec<Value> = report.findings.iter().map(finding_json).collect();
    json!({ "file": name, "ok": report.is_sound(), "findings": findings, "omitted": report.omitted })
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "severity": finding.severity.word(),
        "choice": finding.choice.map(|choice| choice.to_string()).unwrap_or_default(),
        "line": finding.line,
        "column": finding.column,
        "path": finding.path,
        "problem": finding.problem,
        "why": finding.why,
        "help": finding.help,
    })
}
