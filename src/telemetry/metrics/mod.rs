//! Figures of a process: what they are, how they are counted, how they are read.
//!
//! | file | what |
//! |---|---|
//! | `table` | every metric, once: name, kind, labels, what it says |
//! | `calls` | how calls were answered, and how long that took: counted on the hot path |
//! | `times` | how often something took how long |
//! | `amount` | a sum of credits |
//! | `reading` | what all metrics are at one instant |
//! | `exposition` | a reading as OpenMetrics text |
//! | `push` | readings to a collector, by OTLP |

pub mod amount;
pub mod calls;
pub mod exposition;
pub mod push;
pub mod reading;
pub mod table;
pub mod times;

pub use amount::Amount;
pub use calls::{Calls, Method, Mode};
pub use reading::{Reader, Reading};
pub use times::Times;
