//! The processes' options: raw → checked, all errors at once; each value knows where it came from.
//!
//! Defaults < file (TOML) < `BURSAR_*` environment < flags. One table per process says every option's key, type, default,
//! parser and documentation; its environment variable and flag follow from the key (`data_dir`, `BURSAR_DATA_DIR`,
//! `--data-dir`).
//!
//! | file | what |
//! |---|---|
//! | `sidecar`, `ledger`, `dev` | the tables |
//! | `setting` | what a table is |
//! | `source` | where values come from, read raw |
//! | `file` | the TOML file |
//! | `environment` | the variables, and which of them are not meant for us |
//! | `flag` | the flags, for clap |
//! | `ledger_tls` | what a caller of a ledger needs for TLS |
//! | `load` | sources → a checked configuration |
//! | `value` | parsers: durations, sizes, addresses, paths |
//! | `fault` | what is wrong, where, and what would be right |

pub mod dev;
pub mod environment;
pub mod fault;
pub mod file;
pub mod flag;
pub mod ledger;
pub mod ledger_tls;
pub mod load;
pub mod setting;
pub mod sidecar;
pub mod source;
pub mod value;

pub use dev::DevConfig;
pub use fault::{Fault, Faults};
pub use flag::ConfigArgs;
pub use ledger::LedgerConfig;
pub use ledger_tls::LedgerTls;
pub use load::{Checked, Shown, load};
pub use setting::{Process, Setting};
pub use sidecar::SidecarConfig;
pub use source::{Origin, Sources};
pub use value::{DatabaseUrl, Endpoint};
