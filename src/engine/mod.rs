//! The two state machines that hold all the rules, and what they share. Synchronous code: time, ids and amounts come in
//! as arguments; what the world must do next goes out as values.
//!
//! | file | what |
//! |---|---|
//! | `call` | what may be asked about a run |
//! | `answer` | what is answered |
//! | `fault` | why something could not be answered |
//! | `contract` | what an account's plan says now |
//! | `frame` | what a decision looks at |
//! | `authorize`, `progress`, `commit`, `release`, `lapse`, `record` | the rules of a run, one file each |
//! | `quote`, `judge`, `reserve` | authorise, step by step: what it costs, what may refuse it, what happens then |
//! | `repeat` | the same request again |
//! | `offline` | what a run may do past the lease while the ledger can't be reached |
//! | `outlook` | what is left, and whether the next run would be refused |
//! | `handle` | the opaque, authenticated name of a reservation |
//! | `wallet` | the sidecar's machine: a leased slice of one account |
//! | `account` | the ledger's machine: one whole account |

pub mod account;
pub mod answer;
pub mod authorize;
pub mod call;
pub mod commit;
pub mod contract;
pub mod fault;
pub mod frame;
pub mod handle;
mod judge;
pub mod lapse;
mod offline;
mod outlook;
pub mod progress;
mod quote;
pub mod record;
pub mod release;
mod repeat;
mod reserve;
pub mod wallet;

pub use answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
pub use call::{Authorize, Commit, Progress, Record, Release};
pub use contract::{Contract, Playbooks};
pub use fault::Fault;
pub use frame::Frame;
