//! The sidecar's machine: a leased slice of one account.
//!
//! | file | what |
//! |---|---|
//! | `state` | the wallet as a value, and its single write path |
//! | `snapshot` | the same, as one record of its journal |
//! | `run` | calls about runs, decided on the slice |
//! | `accepted` | calls about a run that another settles, while that one is out of reach |
//! | `doubt` | runs that are open here and that the ledger may have settled |
//! | `unknown` | what is answered for an account of which nothing is known here |
//! | `lease` | asking for credits and room, and giving idle ones back |
//! | `totals` | what the ledger is told of what runs hold here |
//! | `recount` | what is told to a ledger that was restored from a backup |
//! | `tick` | what time does |
//! | `recover` | what is done after a restart |

mod accepted;
mod doubt;
mod lease;
mod recount;
mod recover;
mod run;
mod snapshot;
mod state;
mod tick;
mod totals;
mod unknown;

pub use run::{Link, Step};
pub use state::{Here, Log, Wallet};
