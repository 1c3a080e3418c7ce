//! What is said about the work: logs, and spans of decisions.
//!
//! | file | what |
//! |---|---|
//! | `names` | every span and attribute name, once |
//! | `traceparent` | the trace context that a call brings |
//! | `decision` | which decisions are noted, and how |
//! | `sampling` | which of the calls without a trace context get a span |
//! | `export` | spans to a collector, by OTLP |
//! | `logs` | log lines on stderr, and which of them |

pub mod decision;
pub mod export;
pub mod logs;
pub mod names;
pub mod sampling;
pub mod traceparent;

pub use decision::{Decided, Decisions};
pub use export::{Export, ExportError, Exporter};
pub use logs::{LogFilter, LogFormat};
pub use sampling::SampleRatio;
pub use traceparent::TraceParent;
