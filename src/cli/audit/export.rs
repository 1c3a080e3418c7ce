//! `bursar audit export`

use super::command::JournalArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;
use crate::grpc::json::json;
use crate::grpc::proto::ledger_v1::ExportRequest;

impl JournalArgs {
    /// Data for programs whether or not JSON was asked for: a line per entry.
    pub(super) async fn export(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let mut parts = ledger.export(ExportRequest { account: self.account }).await?;
        while let Some(part) = parts.next().await? {
            for entry in &part.entries {
                screen.print_json(&json(entry))?;
            }
        }
        Ok(Exit::Success)
    }
}
