//! `bursar account set-overage-limit`

use clap::Args;

use super::show::account;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::SetOverageLimitRequest;

#[derive(Clone, Debug, Args)]
pub struct OverageLimitArgs {
    /// The account
    account: String,

    /// Credits per period, zero or more
    #[arg(required_unless_present = "plans_own", conflicts_with = "plans_own", allow_hyphen_values = true)]
    credits: Option<String>,

    /// The plan's own limit again
    #[arg(long)]
    plans_own: bool,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl OverageLimitArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, credits, note) = (self.account, self.credits, self.note);
        let write = async |request_id| {
            let request = SetOverageLimitRequest { account: name, credits, note, request_id };
            Ok(ledger.set_overage_limit(request).await?)
        };
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}
