//! `bursar account usage`

use clap::{Args, ValueEnum};

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::read;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::client::wire_timestamp;
use crate::grpc::proto::ledger_v1::{GetUsageRequest, UsageGroup};
use crate::types::Timestamp;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum By {
    User,
    Team,
    Agent,
    Action,
}

#[derive(Clone, Debug, Args)]
pub struct UsageArgs {
    /// The account
    account: String,

    /// What it is grouped by [default: nothing]
    #[arg(long, value_name = "GROUP", value_enum)]
    by: Option<By>,

    /// Grouped by the values of this dimension
    #[arg(long, value_name = "NAME", conflicts_with = "by", default_value = "", hide_default_value = true)]
    by_dimension: String,

    /// Only runs that ended at or after this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    from: Option<Timestamp>,

    /// Only runs that ended before this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    to: Option<Timestamp>,

    #[command(flatten)]
    ledger: LedgerArgs,
}

const COLUMNS: [&str; 5] = ["name", "runs", "charged", "debt", "paid_by"];

impl UsageArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let group_by = match self.by {
            Some(By::User) => UsageGroup::User,
            Some(By::Team) => UsageGroup::Team,
            Some(By::Agent) => UsageGroup::Agent,
            Some(By::Action) => UsageGroup::Action,
            None if self.by_dimension.is_empty() => UsageGroup::Unspecified,
            None => UsageGroup::Dimension,
        };
        let request = GetUsageRequest {
            account: self.account,
            from: self.from.map(wire_timestamp),
            to: self.to.map(wire_timestamp),
            group_by: group_by.into(),
            dimension: self.by_dimension,
        };
        let answer = self.ledger.connect().await?.usage(request).await?;
        screen.answer_as(&answer, |value| {
            let total = value.get("total").map(table::fields).unwrap_or_default();
            format!("{}\n\n{total}", table::rows(&COLUMNS, table::list(value, "groups")))
        })?;
        Ok(Exit::Success)
    }
}
