//! `bursar playbook publish`

use std::path::PathBuf;

use clap::Args;

use super::check::source;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::proto::ledger_v1::{Finding, PlaybookServicePublishRequest};

#[derive(Clone, Debug, Args)]
pub struct PublishArgs {
    /// The playbook
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Checks and answers, publishes nothing
    #[arg(long)]
    validate_only: bool,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl PublishArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let document = source(&self.file)?;
        let mut ledger = self.to.connect().await?;
        let write = async |request_id| {
            let validate_only = self.validate_only;
            Ok(ledger.publish(PlaybookServicePublishRequest { document, validate_only, request_id }).await?)
        };
        let file = self.file.display().to_string();
        let answer = self.id.write(write).await.map_err(|failure| failure.in_file(&file))?;
        if !screen.json {
            for warning in &answer.warnings {
                screen.say(&shown(&file, warning));
            }
        }
        screen.answer_as(&answer, |value| value.get("version").map(table::fields).unwrap_or_default())?;
        Ok(Exit::Success)
    }
}

/// As `bursar playbook check` shows it.
fn shown(file: &str, warning: &Finding) -> String {
    let Finding { choice, line, column, message } = warning;
    let choice = if choice.is_empty() { String::new() } else { format!("[{choice}]") };
    format!("{file}:{line}:{column}: warning{choice}: {message}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_where_and_which_choice() {
        let message = "plans.a: no cap".to_owned();
        let warning = Finding { choice: "C14".to_owned(), line: 7, column: 3, message };
        assert_eq!(shown("p.yaml", &warning), "p.yaml:7:3: warning[C14]: plans.a: no cap");
        let plain = Finding { choice: String::new(), ..warning };
        assert_eq!(shown("p.yaml", &plain), "p.yaml:7:3: warning: plans.a: no cap");
    }
}
