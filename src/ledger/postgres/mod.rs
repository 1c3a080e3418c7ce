//! The store on PostgreSQL: accounts as rows, shared by any number of processes.
//!
//! | file | what |
//! |---|---|
//! | `connect` | the address, the pools, what every session is told |
//! | `tls` | sessions over TLS |
//! | `trouble` | what an error of the database means for the ledger |
//! | `migrate` | the schema, and whether this build fits it; `migrations/` are its steps |
//! | `turn` | a turn at an account: one transaction under its row's lock |
//! | `common` | what lies under the account `/`: identity, playbooks, sidecars, news |
//! | `shared` | all of it as a ledger's store |

mod common;
mod connect;
mod migrate;
mod shared;
mod tls;
mod trouble;
mod turn;

pub use connect::{Address, ConnectError};
pub use migrate::{Migrated, SchemaError, migrate};
pub use shared::Postgres;
