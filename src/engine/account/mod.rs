//! The ledger's machine: one whole account.
//!
//! | file | what |
//! |---|---|
//! | `entry` | the account's append-only, hash-chained journal |
//! | `entry_absorbed`, `entry_contract`, `moved` | parts of its entries |
//! | `state` | the account as a value |
//! | `apply` | its single write path: an entry evolves it, replaying the entries gives it |
//! | `apply_lease`, `apply_absorbed` | the same, by what leases hold, and by a sidecar's record |
//! | `apply_credits` | the same, by credits that are bought, awarded or moved |
//! | `apply_contract` | the same, by its plan, its term, its lines, refunds and transfers |
//! | `work` | one command at work: entries are emitted and applied one by one |
//! | `administer` | what administrators do: subscribe, suspend, grant, void, lower the overage |
//! | `subscription` | another plan, seats, caps of its own, an end |
//! | `renewal` | what time does to the contract: terms, commitments, fees, versions |
//! | `refund` | a charge is given back |
//! | `transfer` | credits move between pools and between accounts |
//! | `buy` | packs, and the top-up |
//! | `award` | incentives |
//! | `allocate` | credits that go from pool to pool, and seats' shares |
//! | `period_end` | what rolls over, and what was borrowed |
//! | `amounts` | which amounts an administrator may move |
//! | `lease_path` | leases along the pools of a run's path |
//! | `lease` | issuing slices, and taking back those that nobody answers for |
//! | `grant` | what a grant says, once and again, and grants that never arrived |
//! | `idle` | what lies idle at sidecars, as far as they tell |
//! | `emergency` | credits for use while the ledger can't be reached, leased in advance |
//! | `absorb` | what sidecars report, each record once |
//! | `absorb_run`, `absorb_purse`, `absorb_room` | a record of a run: its credits, and its room |
//! | `absorb_word` | a settler's word on what was settled in its silence |
//! | `absorb_promoted` | runs that the account itself holds from now on |
//! | `lacking` | whether idle credits elsewhere might change a decision |
//! | `recount` | what a ledger that was restored from a backup is told by sidecars |
//! | `decide` | runs that the account itself settles |
//! | `tick` | what time does |
//! | `balance` | the truth over ledger and sidecars together |
//! | `alert`, `burn` | conditions that became true |
//! | `verify` | the invariants of the whole |

mod absorb;
mod absorb_promoted;
mod absorb_purse;
mod absorb_room;
mod absorb_run;
mod absorb_word;
mod administer;
mod alert;
mod allocate;
mod amounts;
mod apply;
mod apply_absorbed;
mod apply_contract;
mod apply_credits;
mod apply_lease;
mod award;
pub mod balance;
mod burn;
mod buy;
mod decide;
mod emergency;
pub mod entry;
mod entry_absorbed;
pub mod entry_contract;
mod grant;
mod idle;
mod lacking;
mod lease;
mod lease_path;
mod moved;
mod period_end;
mod recount;
mod refund;
mod renewal;
mod state;
mod subscription;
mod tick;
mod transfer;
mod verify;
mod work;

pub use absorb::Report;
pub use administer::{AdminRefusal, Command, GrantAsk};
pub use balance::Balance;
pub use decide::{RunAsk, RunReply};
pub use entry::{Entry, Reply};
pub use entry_contract::{Sent, TransferId};
pub use lease::Leasing;
pub use state::Account;
pub use transfer::TransferAsk;
pub use work::Work;
