//! The process beside the agent runtimes.
pub mod calls;
pub mod core;
pub mod entry;
pub mod handles;
pub mod ids;
pub mod outbox;
pub mod runs;
pub mod shard;
pub mod slot;
pub mod tape;
pub mod upstream;
pub mod views;
