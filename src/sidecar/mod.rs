//! The process beside the agent runtimes.
pub mod entry;
pub mod outbox;
pub mod shard;
pub mod slot;
pub mod tape;
pub mod upstream;
