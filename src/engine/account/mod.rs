//! The ledger's machine: one whole account.
//!
//! | file | what |
//! |---|---|
//! | `entry` | the account's append-only, hash-chained journal |
//! | `state` | the account as a value |
//! | `apply` | its single write path: an entry evolves it, replaying the entries gives it |
//! | `apply_lease`, `apply_absorbed` | the same, by what leases hold, and by a sidecar's record |
//! | `work` | one command at work: entries are emitted and applied one by one |
//! | `administer` | what administrators do: subscribe, suspend, grant, void, lower the overage |
//! | `lease` | issuing slices, and taking back those that nobody answers for |
//! | `grant` | what a grant says, once and again, and grants that never arrived |
//! | `idle` | what lies idle at sidecars, as far as they tell |
//! | `emergency` | credits for use while the ledger can't be reached, leased in advance |
//! | `absorb` | what sidecars report, each record once |
//! | `absorb_run`, `absorb_room` | a record of a run: its credits, and its room |
//! | `absorb_word` | a settler's word on what was settled in its silence |
//! | `absorb_promoted` | runs that the account itself holds from now on |
//! | `lacking` | whether idle credits elsewhere might change a decision |
//! | `recount` | what a ledger that was restored from a backup is told by sidecars |
//! | `decide` | runs that the account itself settles |
//! | `tick` | what time does |
//! | `balance` | the truth over ledger and sidecars together |
//! | `alert` | conditions that became true |
//! | `verify` | the invariants of the whole |

mod absorb;
mod absorb_promoted;
mod absorb_room;
mod absorb_run;
mod absorb_word;
mod administer;
mod alert;
mod apply;
mod apply_absorbed;
mod apply_lease;
pub mod balance;
mod decide;
mod emergency;
pub mod entry;
mod grant;
mod idle;
mod lacking;
mod lease;
mod recount;
mod state;
mod tick;
mod verify;
mod work;

pub use absorb::Report;
pub use administer::{AdminRefusal, Command, GrantAsk};
pub use balance::Balance;
pub use decide::{RunAsk, RunReply};
pub use entry::{Entry, Reply};
pub use lease::Leasing;
pub use state::Account;
pub use work::Work;
