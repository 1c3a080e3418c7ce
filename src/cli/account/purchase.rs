//! `bursar account purchase` and `award`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::{Actor, AwardRequest, PurchaseRequest};

#[derive(Clone, Debug, Args)]
pub struct PurchaseArgs {
    /// The account
    account: String,

    /// The pack
    pack: String,

    /// The member who buys, within what the plan allows members [default: an administrator buys]
    #[arg(long, value_name = "USER", default_value = "", hide_default_value = true)]
    member: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct AwardArgs {
    /// The account
    account: String,

    /// The user
    user: String,

    /// The incentive
    incentive: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl PurchaseArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let by = if self.member.is_empty() { Actor::Admin } else { Actor::Member };
        let request = PurchaseRequest {
            account: self.account,
            pack: self.pack,
            by: by.into(),
            user: self.member,
            note: self.note,
            request_id: String::new(),
        };
        let write = async |request_id| Ok(ledger.purchase(PurchaseRequest { request_id, ..request }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}

impl AwardArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (account, user, incentive, note) = (self.account, self.user, self.incentive, self.note);
        let write = async |request_id| {
            Ok(ledger.award(AwardRequest { account, user, incentive, note, request_id }).await?)
        };
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}
