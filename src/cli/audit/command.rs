//! Which of the audit commands.

use clap::{Args, Subcommand};

use super::list::ListArgs;
use crate::cli::connection::LedgerArgs;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

#[derive(Clone, Debug, Subcommand)]
pub enum AuditCommand {
    /// Entries of an account's journal: which rule of which version moved which block
    List(ListArgs),
    /// The whole journal of an account, one JSON object per line
    Export(JournalArgs),
    /// Whether the journal of an account is whole; status 1 where it is not
    Verify(JournalArgs),
}

#[derive(Clone, Debug, Args)]
pub struct JournalArgs {
    /// The account
    pub(super) account: String,

    #[command(flatten)]
    pub(super) to: LedgerArgs,
}

impl AuditCommand {
    pub async fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match self {
            Self::List(args) => args.run(screen).await,
            Self::Export(args) => args.export(screen).await,
            Self::Verify(args) => args.verify(screen).await,
        }
    }
}
