//! Which of the playbook commands.

use clap::Subcommand;

use super::check::CheckArgs;
use super::publish::PublishArgs;
use super::show::{GetArgs, ListArgs};
use super::test::TestArgs;
use crate::cli::command::wait;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

#[derive(Clone, Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Checks playbooks: every error and every warning, with its line
    Check(CheckArgs),
    /// Plays scenarios: files, or directories with all their *.yaml
    Test(TestArgs),
    /// Makes a playbook the next version at the ledger
    Publish(PublishArgs),
    /// Prints one version, as it was written
    Get(GetArgs),
    /// All versions, newest first
    List(ListArgs),
}

impl PlaybookCommand {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        match self {
            Self::Check(args) => args.run(screen),
            Self::Test(args) => args.run(screen),
            Self::Publish(args) => wait(args.run(screen)),
            Self::Get(args) => wait(args.run(screen)),
            Self::List(args) => wait(args.run(screen)),
        }
    }
}
