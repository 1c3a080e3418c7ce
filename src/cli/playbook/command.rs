//! Which of the playbook commands.

use clap::Subcommand;

use super::check::CheckArgs;
use super::diff::DiffArgs;
use super::publish::PublishArgs;
use super::show::{GetArgs, ListArgs};
use super::test::TestArgs;
use super::{reference, schema};
use crate::cli::command::wait;
use crate::cli::exit::Exit;
use crate::cli::failure::Failure;
use crate::cli::screen::Screen;

#[derive(Clone, Debug, Subcommand)]
pub enum PlaybookCommand {
    /// Checks playbooks: every error, then every warning, with its line
    Check(CheckArgs),
    /// Plays scenarios: files, or directories with all their *.yaml
    Test(TestArgs),
    /// What changes between two playbooks, whom it touches, what of it is dearer, and the earliest `effective`
    Diff(DiffArgs),
    /// Prints the JSON Schema of playbooks, for editors
    Schema,
    /// Prints the reference of the language: every key, and every warning
    Reference,
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
            Self::Diff(args) => wait(args.run(screen)),
            Self::Schema => screen.print(&schema::text()).map(|()| Exit::Success),
            Self::Reference => screen.print(&reference::reference()).map(|()| Exit::Success),
            Self::Publish(args) => wait(args.run(screen)),
            Self::Get(args) => wait(args.run(screen)),
            Self::List(args) => wait(args.run(screen)),
        }
    }
}
