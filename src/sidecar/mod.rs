//! The process beside the agent runtimes: it decides on slices of accounts that it leases from the ledger.
//!
//! | file | what |
//! |---|---|
//! | `process` | in which order it starts, what keeps it going, how it stops |
//! | `door` | what the service asks: whatever core is in place, or why there is none |
//! | `core` | what all parts share between two openings of the journal |
//! | `runs` | calls about runs, from question to answer |
//! | `admit` | what a call must pass before its wallet is asked |
//! | `views` | questions that change nothing |
//! | `calls` | one call's way: the lease in hand, the ledger, the offline mode |
//! | `exchange` | leases asked for, of one account or of several |
//! | `handles`, `ids` | handles opened and sealed; ids that nobody else draws |
//! | `serving` | the threads that answer calls |
//! | `shard`, `slot` | the accounts in memory; one of them |
//! | `tape`, `entry`, `outbox` | where events go: the journal, what it holds, what the ledger is still to be told |
//! | `link` | staying in touch with the ledger |
//! | `past` | a ledger that was restored from a backup |
//! | `reports`, `recalls` | what the ledger is told; which of its recalls that answers |
//! | `timers` | what time does: lapses, promotions |
//! | `renewals` | leases renewed ahead of need, several in one call |
//! | `settle` | the same under a test's clock, in debug builds |
//! | `trim` | keeping the journal short |
//! | `metrics` | its metrics |
//! | `pace` | work on every account, a little at a time between calls |
//! | `recover`, `salvage` | opening the journal; what a damaged one still held |
//! | `upstream` | the ledger as the sidecar needs it |

mod admit;
mod calls;
mod core;
mod door;
pub mod entry;
mod exchange;
mod handles;
mod ids;
mod link;
mod metrics;
mod outbox;
mod pace;
mod past;
pub mod process;
mod recalls;
mod recover;
mod renewals;
mod reports;
mod runs;
mod salvage;
mod serving;
#[cfg(debug_assertions)]
mod settle;
mod shard;
mod slot;
mod tape;
mod timers;
mod trim;
pub mod upstream;
mod views;
mod watching;

pub use process::run;

#[cfg(test)]
mod fake_ledger;
#[cfg(test)]
mod tests;
