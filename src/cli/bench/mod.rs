//! `bursar bench`: load for a sidecar, and how it answers under it.
//!
//! | file | what |
//! |---|---|
//! | `command` | the flags, and the run from end to end |
//! | `pace` | when each run is to begin: closed loop, open loop |
//! | `calls` | the calls of one run, and when each was sent and answered |
//! | `drive` | begins what is due, hears what ended, until it is over |
//! | `verdict` | what ends the whole at once |
//! | `tally` | what was answered, and the histograms |
//! | `report` | what was measured, for programs and for people |
//! | `bar` | how far it is, while it runs |
//! | `plot` | latency by percentile, as SVG |

mod bar;
mod calls;
mod command;
mod drive;
mod pace;
mod plot;
mod report;
mod tally;
mod verdict;

pub use command::BenchArgs;
