//! Scenarios: tests for playbooks, and the conformance suite of this project. They run the real core, one ledger and
//! several sidecars joined by an in-memory network, under a clock that only the scenario moves.
//!
//! | file | what |
//! |---|---|
//! | `file` | a scenario as written |
//! | `keys` | which operations there are, and what each may name |
//! | `value` | what a reply says, and whether it is what was expected |
//! | `operation` | reading a step's keys into calls |
//! | `node` | one simulated sidecar: its memory, its disk, its wallets |
//! | `world` | ledger, sidecars, network and clock |
//! | `faults` | partitions, crashes, lost disks |
//! | `exchange` | what sidecars and ledger say to each other |
//! | `runs` | operations about runs |
//! | `administration` | operations about accounts |
//! | `contracts` | operations about their contracts, refunds and transfers |
//! | `deal` | runs dealt over several sidecars |
//! | `site` | the world as a place where steps are carried out |
//! | `runner` | steps, one after the other, and what is checked after each |

mod administration;
mod contracts;
mod deal;
mod exchange;
mod faults;
pub mod file;
mod keys;
mod node;
pub mod operation;
mod runner;
mod runs;
mod site;
#[cfg(test)]
mod tests;
pub mod value;
mod world;

pub use deal::{Dealing, dealt};
pub use runner::{Failure, Outcome, Site, play, run_dealt, run_source};
