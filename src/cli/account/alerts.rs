//! `bursar account alerts`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::proto::ledger_v1::{ListAlertsRequest, ListAlertsResponse};

#[derive(Clone, Debug, Args)]
pub struct AlertsArgs {
    /// The account
    account: String,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

const COLUMNS: [&str; 6] = ["number", "name", "raised_at", "cap", "scope", "figure"];

impl AlertsArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let request = ListAlertsRequest { account: self.account, ..ListAlertsRequest::default() };
        let mut all = ListAlertsResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let request = ListAlertsRequest { page_size, page_token, ..request.clone() };
            let answer = ledger.alerts(request).await?;
            page.took(answer.alerts.len(), &answer.next_page_token);
            all.alerts.extend(answer.alerts);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "alerts")))?;
        Ok(Exit::Success)
    }
}
