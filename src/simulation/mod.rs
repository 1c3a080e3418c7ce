//! The simulator: the real machines of several sidecars and a ledger in one world that a seed determines. Every message
//! takes its own time, may be lost or come twice; processes die, pause and lose their disks, clocks drift and jump. An
//! auditor compares what was answered with what is booked.
//!
//! What the shells `sidecar/` and `ledger/` do round the machines is done here anew, rule by rule, without async: each
//! file says whose it mirrors.
//!
//! | file | what |
//! |---|---|
//! | `dice` | chance, by a seed |
//! | `clock` | clocks that drift and jump, and ledger time at a sidecar |
//! | `agenda` | what is still to happen |
//! | `message`, `network` | what is said, and how it gets there |
//! | `disk`, `node` | a sidecar's journal, its machine and its process |
//! | `visit`, `turn`, `call`, `exchange` | one account at a sidecar, and one call's way |
//! | `link`, `report` | staying in touch with the ledger, and reporting to it |
//! | `ledger`, `serve`, `lease_job` | the ledger: its journal, its door, leases and recalls |
//! | `callers`, `trouble` | what is asked, and what goes wrong |
//! | `auditor`, `seen`, `refusal`, `verdict` | what must hold by the replies alone, during a world and at its end |
//! | `fleet`, `fleet_counts`, `fleet_figures` | many sidecars of one account without troubles, and what that costs |
//! | `trace`, `world`, `run` | a world, what happened in it, and what became of it |

mod agenda;
mod auditor;
mod call;
mod callers;
mod clock;
mod dice;
mod disk;
mod exchange;
mod fleet;
mod fleet_counts;
mod fleet_figures;
mod lease_job;
mod ledger;
mod link;
mod message;
mod network;
mod node;
mod refusal;
mod report;
mod run;
mod seen;
mod serve;
mod trace;
mod trouble;
mod turn;
mod verdict;
mod visit;
mod world;

pub use fleet::{LARGEST, Load, MEAN_USE, play_fleet};
pub use fleet_figures::{Figures, Tally};
pub use run::{Outcome, Problem, simulate, simulate_about, simulate_briefly};
