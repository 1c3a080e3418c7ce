//! `bursar account grant` and `void`

use std::time::Duration;

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::client::wire_duration;
use crate::grpc::proto::ledger_v1::{GrantRequest, VoidRequest};

#[derive(Clone, Debug, Args)]
pub struct GrantArgs {
    /// The account
    account: String,

    /// How many credits
    #[arg(allow_hyphen_values = true)]
    credits: String,

    /// `subscription`, `rollover`, `incentive`, `on_demand` or `refund`
    #[arg(long, default_value = "on_demand")]
    species: String,

    /// How long from now until they pay [default: at once]
    #[arg(long, value_name = "TIME", value_parser = read::span)]
    starts_in: Option<Duration>,

    /// How long they last, from when they pay [default: they do not expire]
    #[arg(long, value_name = "TIME", value_parser = read::span)]
    lasts: Option<Duration>,

    /// Lower numbers are drawn first
    #[arg(long, value_name = "N", default_value_t = 0, allow_hyphen_values = true)]
    priority: i32,

    /// `account`, `team:T` or `user:U`
    #[arg(long, default_value = "account")]
    pool: String,

    /// What one credit was sold for, in the playbook's currency [default: nothing]
    #[arg(long, value_name = "MONEY")]
    price: Option<String>,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct VoidArgs {
    /// The account
    account: String,

    /// The grant's number, as `grant` printed it
    grant: u64,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl GrantArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let request = GrantRequest {
            account: self.account,
            credits: self.credits,
            species: self.species,
            starts_in: self.starts_in.map(wire_duration),
            lasts: self.lasts.map(wire_duration),
            priority: self.priority,
            pool: self.pool,
            price: self.price,
            note: self.note,
            request_id: String::new(),
        };
        let write = async |request_id| Ok(ledger.grant(GrantRequest { request_id, ..request }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}

impl VoidArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (account, grant, note) = (self.account, self.grant, self.note);
        let write =
            async |request_id| Ok(ledger.void(VoidRequest { account, grant, note, request_id }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}
