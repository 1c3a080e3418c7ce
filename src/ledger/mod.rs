//! The ledger as a process: accounts over a store, time, and the sidecars that listen.
//!
//! | file | what |
//! |---|---|
//! | `process` | start order and stop order |
//! | `service` | the ledger as one value: accounts under their locks, and what they share |
//! | `api` | the ledger as its servers call it |
//! | `slot` | one account under its lock; a bug breaks it alone |
//! | `leasing` | leases, decisions, recalls |
//! | `reporting` | records of sidecars, each applied once |
//! | `writes` | what administrators and pricing teams write |
//! | `view` | what people are shown |
//! | `shelf` | the published playbooks |
//! | `sidecars` | whose epoch is current, and how far each has reported |
//! | `watchers` | the sidecars that listen |
//! | `timers` | when time next does something to which account |
//! | `store` | what a store must do |
//! | `embedded` | the store on the local journal |
//! | `record` | what a store keeps |

mod api;
pub mod embedded;
mod leasing;
mod process;
pub mod record;
mod reporting;
mod service;
mod shelf;
mod sidecars;
mod slot;
pub mod store;
mod timers;
mod view;
mod watchers;
mod writes;

pub use embedded::Embedded;
pub use process::run;
pub use service::Ledger;
