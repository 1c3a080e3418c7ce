//! The ledger as a process: accounts over a store, time, and the sidecars that listen.
//!
//! | file | what |
//! |---|---|
//! | `process` | start order and stop order |
//! | `service` | the ledger as one value: accounts under their locks, and what they share |
//! | `api` | the ledger as its servers call it |
//! | `settle` | the ledger under a test's clock, in debug builds |
//! | `slot` | one account in memory; a bug breaks it alone |
//! | `metrics` | its metrics |
//! | `lane` | the account's turns: commands that wait become one write of the store |
//! | `job` | a command that waits |
//! | `figures` | an account in figures, for the store's own checks |
//! | `news` | what processes of one ledger tell each other |
//! | `time` | the ledger's clock |
//! | `fetching` | runs that another sidecar settles |
//! | `learning` | a ledger that was restored from a backup |
//! | `leasing` | leases, decisions, recalls |
//! | `recalls` | what one account's recalls brought, and whom they served |
//! | `reporting` | records of sidecars, each applied once |
//! | `writes` | what administrators and pricing teams write |
//! | `transfer` | credits on their way from one account to another |
//! | `view` | what people are shown |
//! | `usage` | what runs were charged, by who caused them |
//! | `shelf` | the published playbooks |
//! | `sidecars` | whose epoch is current, and how far each has reported |
//! | `watchers` | the sidecars that listen |
//! | `timers` | when time next does something to which account |
//! | `store` | what a store must do |
//! | `embedded` | the store on the local journal |
//! | `archive` | where in that journal each account's entries are |
//! | `audit` | an account's journal for auditors: which rule and version moved which block |
//! | `postgres` | the store on PostgreSQL, shared by any number of processes |
//! | `record` | what a store keeps |

mod api;
mod archive;
mod audit;
pub mod embedded;
mod fetching;
mod figures;
mod job;
mod lane;
mod learning;
mod leasing;
mod metrics;
pub mod news;
pub mod postgres;
mod process;
mod recalls;
pub mod record;
mod reporting;
mod service;
#[cfg(debug_assertions)]
mod settle;
mod shelf;
mod sidecars;
mod slot;
pub mod store;
mod time;
mod timers;
mod transfer;
mod usage;
mod view;
mod watchers;
mod writes;

pub use embedded::Embedded;
pub use postgres::migrate;
pub use process::{database, looked_at, run};
pub use service::Ledger;
