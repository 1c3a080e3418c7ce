//! What the processes share with the machine they run on: time, patience and the end.
//!
//! | file | what |
//! |---|---|
//! | `clock` | the only reader of system time, and which boot of the machine this is |
//! | `alarm` | wakes at an instant of the clock |
//! | `ledger_clock` | the ledger's time at a sidecar, and at the ledger itself |
//! | `backoff` | how long to wait before trying again |
//! | `test_clock` | a clock that a test moves, in debug builds |
//! | `shutdown` | the signal to stop, for every task that listens |

pub mod alarm;
pub mod backoff;
pub mod clock;
pub mod ledger_clock;
pub mod shutdown;
#[cfg(debug_assertions)]
pub mod test_clock;

pub use alarm::Alarm;
pub use backoff::Backoff;
pub use clock::{BootId, Boottime, Clock, ManualClock};
pub use ledger_clock::{LedgerClock, OwnClock};
pub use shutdown::{Shutdown, Stopper};
