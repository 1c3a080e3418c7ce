//! `bursar playbook …`: check and test a policy here, publish it to the ledger.
//!
//! | file | what |
//! |---|---|
//! | `command` | which of them |
//! | `check` | whether documents may be published |
//! | `test` | plays scenarios |
//! | `scenario_files` | which files are scenarios |
//! | `publish` | makes a document the next version |
//! | `show` | one version, all versions |

mod check;
mod command;
mod publish;
mod scenario_files;
mod show;
mod test;

pub use check::source;
pub use command::PlaybookCommand;
