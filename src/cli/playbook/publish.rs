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
use crate::grpc::proto::ledger_v1::PlaybookServicePublishRequest;

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
        let answer = self.id.write(write).await?;
        if !screen.json {
            for warning in &answer.warnings {
                screen.say(&format!(
                    "{}:{}: warning: {}",
                    self.file.display(),
                    warning.line,
                    warning.message
                ));
            }
        }
        screen.answer_as(&answer, |value| value.get("version").map(table::fields).unwrap_or_default())?;
        Ok(Exit::Success)
    }
}
