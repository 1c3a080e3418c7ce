//! `bursar audit …`: what finance and auditors read of an account's journal, at the ledger.
//!
//! | file | what |
//! |---|---|
//! | `command` | which of them |
//! | `list` | entries, with the rule and the version that moved which block |
//! | `export` | the whole journal as JSON lines |
//! | `verify` | whether it is whole |

mod command;
mod export;
mod list;
mod verify;

pub use command::AuditCommand;
