//! `bursar account subscribe`

use clap::Args;

use super::show::account;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::SubscribeRequest;

#[derive(Clone, Debug, Args)]
pub struct SubscribeArgs {
    /// The new account's name
    account: String,

    /// The plan
    #[arg(long)]
    plan: String,

    /// Where its calendar days begin, such as `Europe/Berlin` [default: UTC]
    #[arg(long, value_name = "ZONE", default_value = "", hide_default_value = true)]
    time_zone: String,

    /// Seats [default: as the plan's features say]
    #[arg(long, value_name = "N")]
    seats: Option<u32>,

    /// An add-on bought beside the plan; may be given several times
    #[arg(long = "addon", value_name = "NAME")]
    addons: Vec<String>,

    /// Keys of the plan for this account alone: a YAML mapping, or `@FILE`
    #[arg(long, value_name = "YAML", value_parser = read::text_or_file, default_value = "", hide_default_value = true)]
    overrides: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl SubscribeArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let request = SubscribeRequest {
            account: self.account,
            plan: self.plan,
            time_zone: self.time_zone,
            seats: self.seats,
            addons: self.addons,
            overrides: self.overrides,
            request_id: String::new(),
        };
        let write =
            async |request_id| Ok(ledger.subscribe(SubscribeRequest { request_id, ..request }).await?);
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}
