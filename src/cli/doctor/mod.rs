//! `bursar doctor`: whether what a process stands on holds, and what to do where it does not.
//!
//! | file | what |
//! |---|---|
//! | `command` | which checks are made for which process, and how they are shown |
//! | `check` | what one look found |
//! | `certificate` | the certificates that it shows and trusts |
//! | `disk` | the data directory: is it there, is it safe, is there room |
//! | `server` | the process itself, and the ledger |

mod certificate;
mod check;
mod command;
mod disk;
mod server;

pub use command::DoctorArgs;
