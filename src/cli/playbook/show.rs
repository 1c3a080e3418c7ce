//! `bursar playbook get` and `list`

use clap::Args;

use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::pages::PageArgs;
use crate::cli::screen::Screen;
use crate::cli::table;
use crate::grpc::proto::ledger_v1::{
    PlaybookServiceGetRequest, PlaybookServiceListRequest, PlaybookServiceListResponse,
};

#[derive(Clone, Debug, Args)]
pub struct GetArgs {
    /// The version [default: the one in force]
    version: Option<u32>,

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

const COLUMNS: [&str; 5] = ["version", "playbook", "effective_at", "published_at", "in_force"];

impl GetArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let request = PlaybookServiceGetRequest { version: self.version.unwrap_or_default() };
        let answer = self.to.connect().await?.playbook(request).await?;
        screen.answer_as(&answer, |_| answer.document.clone())?;
        Ok(Exit::Success)
    }
}

impl ListArgs {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut ledger = self.to.connect().await?;
        let mut all = PlaybookServiceListResponse::default();
        let mut page = self.pages.start();
        while let Some((page_size, page_token)) = page.next() {
            let answer = ledger.playbooks(PlaybookServiceListRequest { page_size, page_token }).await?;
            page.took(answer.versions.len(), &answer.next_page_token);
            all.versions.extend(answer.versions);
        }
        all.next_page_token = page.rest(screen);
        screen.answer_as(&all, |value| table::rows(&COLUMNS, table::list(value, "versions")))?;
        Ok(Exit::Success)
    }
}
