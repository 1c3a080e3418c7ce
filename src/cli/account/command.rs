//! Which of the account commands.

use clap::{Args, Subcommand};

use super::alerts::AlertsArgs;
use super::billing::InvoiceArgs;
use super::contract::{CancelArgs, CapArgs, ChangePlanArgs, SeatsArgs};
use super::grant::{GrantArgs, VoidArgs};
use super::moves::{AllocateArgs, TransferArgs};
use super::overage_limit::OverageLimitArgs;
use super::purchase::{AwardArgs, PurchaseArgs};
use super::refund::RefundArgs;
use super::show::{GetArgs, ListArgs};
use super::subscribe::SubscribeArgs;
use super::suspend::SuspensionArgs;
use super::usage::UsageArgs;
use crate::cli::balance;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
    /// Opens an account on a plan
    Subscribe(SubscribeArgs),
    /// Denies every new run until the account is resumed; open runs end as usual
    Suspend(SuspensionArgs),
    /// Lets a suspended account run again
    Resume(SuspensionArgs),
    /// Gives credits to a pool of the account
    Grant(GrantArgs),
    /// Withdraws what is left of a grant; what runs hold of it stays held
    Void(VoidArgs),
    /// Buys a pack of credits
    Purchase(PurchaseArgs),
    /// Awards an incentive to a user
    Award(AwardArgs),
    /// Moves credits between pools of the account
    Allocate(AllocateArgs),
    /// Moves credits to another pool or account, as the plan allows
    Transfer(TransferArgs),
    /// Gives back a charge, or what is unused of a purchase
    Refund(RefundArgs),
    /// Moves the account to another plan
    ChangePlan(ChangePlanArgs),
    /// Sets the number of seats
    SetSeats(SeatsArgs),
    /// Ends the subscription
    Cancel(CancelArgs),
    /// Sets a cap for this account alone
    SetCap(CapArgs),
    /// Lowers soft overage below the plan's
    SetOverageLimit(OverageLimitArgs),
    /// One account
    Get(GetArgs),
    /// All accounts
    List(ListArgs),
    /// The true balance, over ledger and leases together
    Balance(BalanceArgs),
    /// What runs were charged, by user, team, agent, action or dimension
    Usage(UsageArgs),
    /// What the account is to be billed for
    Invoice(InvoiceArgs),
    /// The alerts that were raised
    Alerts(AlertsArgs),
}

#[derive(Clone, Debug, Args)]
pub struct BalanceArgs {
    /// The account
    account: String,

    /// `account`, `team:T` or `user:U` [default: all pools together]
    #[arg(long, default_value = "", hide_default_value = true)]
    pool: String,

    #[command(flatten)]
    to: LedgerArgs,
}

impl AccountCommand {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match self {
            Self::Subscribe(args) => args.run(screen).await,
            Self::Suspend(args) => args.suspend(screen).await,
            Self::Resume(args) => args.resume(screen).await,
            Self::Grant(args) => args.run(screen).await,
            Self::Void(args) => args.run(screen).await,
            Self::Purchase(args) => args.run(screen).await,
            Self::Award(args) => args.run(screen).await,
            Self::Allocate(args) => args.run(screen).await,
            Self::Transfer(args) => args.run(screen).await,
            Self::Refund(args) => args.run(screen).await,
            Self::ChangePlan(args) => args.run(screen).await,
            Self::SetSeats(args) => args.run(screen).await,
            Self::Cancel(args) => args.run(screen).await,
            Self::SetCap(args) => args.run(screen).await,
            Self::Usage(args) => args.run(screen).await,
            Self::SetOverageLimit(args) => args.run(screen).await,
            Self::Get(args) => args.run(screen).await,
            Self::List(args) => args.run(screen).await,
            Self::Balance(args) => {
                balance::at_ledger(&mut args.to.connect().await?, args.account, args.pool, screen).await
            }
            Self::Invoice(args) => args.run(screen).await,
            Self::Alerts(args) => args.run(screen).await,
        }
    }
}
