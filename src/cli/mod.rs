//! The `bursar` command: one file per command.
//!
//! | file | what |
//! |---|---|
//! | `command` | the arguments, and which command does them |
//! | `dev`, `sidecar`, `ledger` | the processes; `process` is what starting them has in common |
//! | `doctor` | whether what a process stands on holds |
//! | `sample`, `greeting` | what `dev` sets up, and what it says to paste next |
//! | `authorize`, `progress`, `commit`, `release`, `record`, `reservation` | runs, at a sidecar |
//! | `balance`, `features` | what an account has |
//! | `account` | accounts, at the ledger |
//! | `audit` | journals of accounts, for finance and auditors, at the ledger |
//! | `playbook` | playbooks: checked and played here, published at the ledger |
//! | `journal` | what a process left on disk; `journal_record` and `cbor` read it |
//! | `bench` | load for a sidecar, and how it answers under it |
//! | `simulate` | the simulator: worlds by their seeds |
//! | `config`, `completions`, `version` | about the program itself |
//! | `connection`, `usage`, `pages`, `request_id`, `read` | flags and values that several share |
//! | `screen`, `table` | what is shown |
//! | `exit`, `failure`, `advice` | how it ends |

mod account;
mod advice;
mod audit;
mod authorize;
mod balance;
mod bench;
mod cbor;
mod command;
mod commit;
mod completions;
mod config;
mod connection;
mod dev;
mod doctor;
mod exit;
mod failure;
mod features;
mod greeting;
mod journal;
mod journal_record;
mod ledger;
mod pages;
mod playbook;
mod process;
mod progress;
mod read;
mod record;
mod release;
mod request_id;
mod reservation;
mod sample;
mod screen;
mod sidecar;
mod simulate;
mod table;
mod usage;
mod version;

pub use command::{Cli, Misread};
pub use exit::Exit;
pub use failure::Failure;
pub use screen::Screen;
