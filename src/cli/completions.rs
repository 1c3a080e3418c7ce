//! `bursar completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::command::Cli;
use super::exit::Exit;
use super::failure::Failure;
use super::screen::Screen;

#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

impl CompletionsArgs {
    pub fn run(self, screen: Screen) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "bursar", &mut script);
        screen.print(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}
