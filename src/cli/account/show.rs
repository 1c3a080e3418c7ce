//! `bursar account get` and `list`

use clap::Args;
use serde_json::Value;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::proto::ledger_v1::{GetAccountRequest, ListAccountsRequest, ListAccountsResponse};

#[derive(Clone, Debug, Args)]
pub struct GetArgs {
    /// The account
    account: String,

    #[command(flatten)]
    to: LedgerArgs,
}

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    to: LedgerArgs,
}

const COLUMNS: [&str; 7] =
    ["account", "plan", "playbook_version", "suspended", "broken", "period_ends", "ends_at"];

impl GetArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let answer = self.to.connect().await?.account(GetAccountRequest { account: self.account }).await?;
        screen.answer_as(&answer, account)?;
        Ok(Exit::Success)
    }
}

impl ListArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let mut all = ListAccountsResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let answer = ledger.accounts(ListAccountsRequest { page_size, page_token }).await?;
            page.took(answer.accounts.len(), &answer.next_page_token);
            all.accounts.extend(answer.accounts);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "accounts")))?;
        Ok(Exit::Success)
    }
}

/// The account of an answer that has one, a field per line.
pub fn account(answer: &Value) -> String {
    answer.get("account").map(table::fields).unwrap_or_default()
}
