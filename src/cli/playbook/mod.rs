//! `bursar playbook …`: check and test a policy here, publish it to the ledger.
//!
//! | file | what |
//! |---|---|
//! | `command` | which of them |
//! | `check` | whether documents may be published |
//! | `test` | plays scenarios |
//! | `diff` | what one version changes against another |
//! | `scenario_files` | which files are scenarios |
//! | `publish` | makes a document the next version |
//! | `show` | one version, all versions |
//! | `schema` | the language as a JSON Schema, for editors |
//! | `reference` | the language as tables, for people |

mod check;
mod command;
mod diff;
mod publish;
mod reference;
mod scenario_files;
mod schema;
mod show;
mod test;

pub use check::source;
pub use command::PlaybookCommand;
