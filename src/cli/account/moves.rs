//! `bursar account allocate` and `transfer`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::{Actor, AllocateRequest, TransferRequest};

#[derive(Clone, Debug, Args)]
pub struct AllocateArgs {
    /// The account
    account: String,

    /// How many credits
    #[arg(allow_hyphen_values = true)]
    credits: String,

    /// The pool that takes: `account`, `team:T` or `user:U`
    #[arg(long, value_name = "POOL")]
    into: String,

    /// The pool that gives
    #[arg(long, value_name = "POOL", default_value = "account")]
    from: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct TransferArgs {
    /// The account that gives, and perhaps its pool: `ACCOUNT` or `ACCOUNT/team:T`
    from: String,

    /// The account that takes, and perhaps its pool
    into: String,

    /// How many credits
    #[arg(allow_hyphen_values = true)]
    credits: String,

    /// A member asks, not an administrator
    #[arg(long)]
    member: bool,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl AllocateArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let request = AllocateRequest {
            account: self.account,
            from: self.from,
            to: self.into,
            credits: self.credits,
            note: self.note,
            request_id: String::new(),
        };
        let write = async |request_id| Ok(ledger.allocate(AllocateRequest { request_id, ..request }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}

impl TransferArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let ((account, from), (to_account, to)) = (place(&self.from), place(&self.into));
        let by = if self.member { Actor::Member } else { Actor::Admin };
        let request = TransferRequest {
            account,
            from,
            to_account,
            to,
            credits: self.credits,
            by: by.into(),
            note: self.note,
            request_id: String::new(),
        };
        let write = async |request_id| Ok(ledger.transfer(TransferRequest { request_id, ..request }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}

/// Account and pool; names of accounts have no `/`.
fn place(text: &str) -> (String, String) {
    let (account, pool) = text.split_once('/').unwrap_or((text, ""));
    (account.to_owned(), pool.to_owned())
}
