//! `bursar account refund`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::request_id::RequestIdArgs;
use crate::cli::screen::Screen;
use crate::grpc::proto::ledger_v1::RefundRequest;

#[derive(Clone, Debug, Args)]
pub struct RefundArgs {
    /// The account
    account: String,

    /// The run: its handle, or its id as the audit shows it
    #[arg(value_name = "RUN", required_unless_present = "purchase", conflicts_with = "purchase")]
    reservation: Option<String>,

    /// What is unused of a purchase: the number that `purchase` printed
    #[arg(long, value_name = "GRANT")]
    purchase: Option<u64>,

    /// So much of the charge [default: all of it]
    #[arg(
        long,
        value_name = "CREDITS",
        conflicts_with = "purchase",
        default_value = "",
        hide_default_value = true
    )]
    credits: String,

    /// Why, for the journal
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    note: String,

    #[command(flatten)]
    id: RequestIdArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

impl RefundArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let request = RefundRequest {
            account: self.account,
            reservation: self.reservation.unwrap_or_default(),
            grant: self.purchase.unwrap_or_default(),
            credits: self.credits,
            note: self.note,
            request_id: String::new(),
        };
        let write = async |request_id| Ok(ledger.refund(RefundRequest { request_id, ..request }).await?);
        screen.answer(&self.id.write(write).await?)?;
        Ok(Exit::Success)
    }
}
