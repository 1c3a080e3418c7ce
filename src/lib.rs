//! Bursar: may this run proceed, and who pays for it?
//!
//! The rooms stand in dependency order: a room uses only rooms above it (`tests/it/tidy.rs` holds the table).

pub mod types;

pub mod playbook;

pub mod credit;

pub mod lease;

pub mod engine;

pub mod scenario;

pub mod simulation;

pub mod storage;

pub mod runtime;

pub mod telemetry;

pub mod trust;

pub mod config;

pub mod grpc;

pub mod sidecar;

pub mod ledger;

pub mod cli;
