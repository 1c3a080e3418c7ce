//! What is said about the work: logs, and spans of decisions.
//!
//! | file | what |
//! |---|---|
//! | `admin` | probes and metrics over plain HTTP |
//! | `names` | every span and attribute name, once |
//! | `traceparent` | the trace context that a call brings |
//! | `decision` | which decisions are noted, and how |
//! | `trace` | the span that work is done under, and spans below it |
//! | `sampling` | which of the calls without a trace context get a span |
//! | `export` | spans to a collector, by OTLP |
//! | `metrics` | figures of the process: counted, read, scraped |
//! | `logs` | log lines on stderr, and which of them |

pub mod admin;
pub mod decision;
pub mod export;
pub mod logs;
pub mod metrics;
pub mod names;
pub mod sampling;
pub mod trace;
pub mod traceparent;

pub use admin::{Admin, Readiness};
pub use decision::{Decided, Decisions};
pub use export::{Export, ExportError, Exporter};
pub use logs::{LogFilter, LogFormat};
pub use sampling::{SampleRatio, Sampler};
pub use trace::{Trace, Traced, Traces};
pub use traceparent::TraceParent;
