//! `bursar account invoice`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::read;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::client::wire_timestamp;
use crate::grpc::proto::ledger_v1::{ListInvoiceLinesRequest, ListInvoiceLinesResponse};
use crate::types::Timestamp;

#[derive(Clone, Debug, Args)]
pub struct InvoiceArgs {
    /// The account
    account: String,

    /// Only lines made at or after this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    from: Option<Timestamp>,

    /// Only lines made before this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    to: Option<Timestamp>,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    ledger: LedgerArgs,
}

const COLUMNS: [&str; 8] =
    ["number", "kind", "credits", "amount", "currency", "covers_from", "covers_to", "open"];

impl InvoiceArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.ledger.connect().await?;
        let request = ListInvoiceLinesRequest {
            account: self.account,
            from: self.from.map(wire_timestamp),
            to: self.to.map(wire_timestamp),
            ..ListInvoiceLinesRequest::default()
        };
        let mut all = ListInvoiceLinesResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let request = ListInvoiceLinesRequest { page_size, page_token, ..request.clone() };
            let answer = ledger.invoice_lines(request).await?;
            page.took(answer.lines.len(), &answer.next_page_token);
            all.lines.extend(answer.lines);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "lines")))?;
        Ok(Exit::Success)
    }
}
