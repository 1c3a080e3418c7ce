//! `bursar audit list`

use clap::Args;
use serde_json::Value;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::read;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::client::wire_timestamp;
use crate::grpc::proto::ledger_v1::{ListEntriesRequest, ListEntriesResponse};
use crate::types::Timestamp;

#[derive(Clone, Debug, Args)]
pub struct ListArgs {
    /// The account
    account: String,

    /// Only entries at or after this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    from: Option<Timestamp>,

    /// Only entries before this instant
    #[arg(long, value_name = "INSTANT", value_parser = read::instant)]
    to: Option<Timestamp>,

    /// Only entries of this kind, such as `granted` or `settled`
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
    kind: String,

    #[command(flatten)]
    pages: PageArgs,

    #[command(flatten)]
    ledger: LedgerArgs,
}

const COLUMNS: [&str; 7] = ["number", "at", "kind", "choice", "rule", "playbook_version", "changes"];

impl ListArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.ledger.connect().await?;
        let request = ListEntriesRequest {
            account: self.account,
            from: self.from.map(wire_timestamp),
            to: self.to.map(wire_timestamp),
            kind: self.kind,
            ..ListEntriesRequest::default()
        };
        let mut all = ListEntriesResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let answer =
                ledger.entries(ListEntriesRequest { page_size, page_token, ..request.clone() }).await?;
            page.took(answer.entries.len(), &answer.next_page_token);
            all.entries.extend(answer.entries);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value: &Value| table::rows(&COLUMNS, table::list(value, "entries")))?;
        Ok(Exit::Success)
    }
}
