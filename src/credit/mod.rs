//! The grammar of credits, one rule per file: what blocks and caps allow, and what each move does to them.
//!
//! | file | what |
//! |---|---|
//! | `block` | an amount with a species, a life and a price; its columns and moves |
//! | `pool` | blocks in draw order, and the pool's debt |
//! | `tally` | what the blocks come to, kept beside them |
//! | `path` | which pools a run draws on |
//! | `draw` | which blocks pay for an amount |
//! | `hold` | what a run holds, and flows into and out of it |
//! | `settle` | a charge over what a run holds: spent, overrun, given back |
//! | `cap` | what caps count, per scope and window |
//! | `counters` | the counters of a book |
//! | `reservation` | what is known of an open run, and of an ended one |
//! | `retry` | what a chain of retries costs |
//! | `debt` | what was consumed but no block could pay |
//! | `period` | when a plan's periods start and what they grant |
//! | `invoice` | billing lines |
//! | `price` | what overage costs: billing lines |
//! | `event` | what happened to a run |
//! | `book` | pools, counters and runs of one account, at the ledger or at a sidecar |
//! | `blocks` | the blocks of a book: added, found, moved, put away |
//! | `conservation` | what always holds |
//! | `refusal` | the business "no", in order of precedence |

pub mod block;
mod blocks;
pub mod book;
pub mod cap;
pub mod conservation;
pub mod counters;
pub mod debt;
pub mod draw;
pub mod event;
pub mod hold;
pub mod invoice;
pub mod path;
pub mod period;
pub mod pool;
pub mod price;
pub mod refusal;
pub mod reservation;
pub mod retry;
pub mod settle;
mod tally;

pub use block::{Block, Column, Move};
pub use book::Book;
pub use cap::{CapKey, Counter, ScopeKey};
pub use counters::Counters;
pub use event::{CapFlow, Change, Flow, Place, RunEvent};
pub use pool::{Pool, PoolId};
pub use refusal::{Decision, Reason, Refusal};
pub use reservation::{Final, Reservation, Run, State, Subject};
