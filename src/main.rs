//! The `bursar` command: reads its arguments, does one thing, says how it went.

use std::process::ExitCode;

use bursar::cli::{Cli, Exit};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    let cli = match Cli::read() {
        Ok(cli) => cli,
        Err(misread) => return misread.say().into(),
    };
    let screen = cli.screen();
    let exit = match cli.run() {
        Ok(exit) => exit,
        Err(failure) => {
            screen.complain(&failure);
            failure.exit()
        }
    };
    Exit::into(exit)
}
