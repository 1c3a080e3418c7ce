//! The rooms that decide, as the crate has them.

#[path = "../../src/types/mod.rs"]
pub mod types;

#[path = "../../src/playbook/mod.rs"]
pub mod playbook;

#[path = "../../src/credit/mod.rs"]
pub mod credit;

#[path = "../../src/lease/mod.rs"]
pub mod lease;

#[path = "../../src/engine/mod.rs"]
pub mod engine;

/// What a sidecar's journal holds.
#[path = "../../src/sidecar/entry.rs"]
pub mod entry;
