//! `bursar account alerts`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::client::LedgerClient;
use crate::grpc::proto::ledger_v1::{ListAlertsRequest, ListAlertsResponse, WatchAlertsRequest};

#[derive(Clone, Debug, Args)]
pub struct AlertsArgs {
    /// The account
    account: String,

    /// Goes on and prints each alert as it is raised
    #[arg(long)]
    watch: bool,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

const COLUMNS: [&str; 6] = ["number", "name", "raised_at", "cap", "scope", "figure"];

impl AlertsArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        if self.watch {
            return watch(&mut ledger, self.account, screen).await;
        }
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

/// Until the ledger ends it, or the reader does.
async fn watch(ledger: &mut LedgerClient, account: String, screen: Screen) -> Result<Exit, Failure> {
    let mut alerts = ledger.watch_alerts(WatchAlertsRequest { account, after: 0 }).await?;
    while let Some(alert) = alerts.next().await?.and_then(|part| part.alert) {
        screen.answer_as(&alert, |alert| {
            let words = COLUMNS.iter().filter_map(|column| alert.get(column)).map(table::words);
            words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("  ")
        })?;
    }
    Ok(Exit::Success)
}
