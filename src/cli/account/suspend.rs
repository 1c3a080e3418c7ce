//! `bursar account suspend` and `resume`

use clap::Args;

use super::show::account;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::{ResumeRequest, SuspendRequest};

#[derive(Clone, Debug, Args)]
pub struct SuspensionArgs {
    /// The account
    account: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl SuspensionArgs {
    pub async fn suspend(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, note) = (self.account, self.note);
        let write =
            async |request_id| Ok(ledger.suspend(SuspendRequest { account: name, note, request_id }).await?);
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }

    pub async fn resume(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, note) = (self.account, self.note);
        let write =
            async |request_id| Ok(ledger.resume(ResumeRequest { account: name, note, request_id }).await?);
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}
