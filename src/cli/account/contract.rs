//! `bursar account change-plan`, `set-seats`, `cancel` and `set-cap`

use clap::Args;

use super::show::account;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::{
    CancelRequest, ChangePlanRequest, ChangeTime, SetCapRequest, SetSeatsRequest,
};

#[derive(Clone, Debug, Args)]
pub struct ChangePlanArgs {
    /// The account
    account: String,

    /// The plan
    plan: String,

    /// At once, with allowance and fee pro-rated [default: at the period's end]
    #[arg(long)]
    now: bool,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct SeatsArgs {
    /// The account
    account: String,

    /// How many; fewer from the next period on
    seats: u32,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CancelArgs {
    /// The account
    account: String,

    /// At once [default: at the term's end, at the period's where there is no term]
    #[arg(long)]
    now: bool,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct CapArgs {
    /// The account
    account: String,

    /// The keys of the cap as in a playbook: a YAML mapping, or `@FILE`
    #[arg(value_name = "YAML", value_parser = read::text_or_file)]
    cap: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

const fn when(now: bool) -> ChangeTime {
    if now { ChangeTime::Now } else { ChangeTime::Renewal }
}

impl ChangePlanArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, plan, note) = (self.account, self.plan, self.note);
        let when = when(self.now).into();
        let write = async |request_id| {
            let request = ChangePlanRequest { account: name, plan, when, note, request_id };
            Ok(ledger.change_plan(request).await?)
        };
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}

impl SeatsArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, seats, note) = (self.account, self.seats, self.note);
        let write = async |request_id| {
            Ok(ledger.set_seats(SetSeatsRequest { account: name, seats, note, request_id }).await?)
        };
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}

impl CancelArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, note, when) = (self.account, self.note, when(self.now).into());
        let write = async |request_id| {
            Ok(ledger.cancel(CancelRequest { account: name, when, note, request_id }).await?)
        };
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}

impl CapArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let (name, cap, note) = (self.account, self.cap, self.note);
        let write = async |request_id| {
            Ok(ledger.set_cap(SetCapRequest { account: name, cap, note, request_id }).await?)
        };
        screen.answer_as(&self.id.write(write).await?, account)?;
        Ok(Exit::Success)
    }
}
