//! How much a sidecar may use alone, until when, and how it accounts for it.
//!
//! | file | what |
//! |---|---|
//! | `terms` | what a sidecar must know of an account to decide |
//! | `exchange` | what is asked of the ledger, and what it grants |
//! | `acting` | who a sidecar is, and the accounts that it may act for |
//! | `event` | what happens to a sidecar's slice: its journal, and what of it is reported |
//! | `recount` | what a ledger that was restored from a backup is told |
//! | `sizing` | how big a lease is |
//! | `mark` | the most that reservations not yet on disk may add up to, and what an unclean stop seals |
//! | `promotion` | which runs the account itself should hold |

pub mod acting;
pub mod event;
pub mod exchange;
pub mod mark;
pub mod promotion;
pub mod recount;
pub mod sizing;
pub mod terms;

pub use acting::{Accounts, Acting};
pub use event::{Left, Passed, Returned, SidecarRecord, WalletEvent};
pub use exchange::{Ask, Grant, LeaseTotals, Room};
pub use mark::Mark;
pub use recount::Recount;
pub use terms::AccountTerms;
