//! Compiles the protos to Rust, without a system protoc, and keeps their descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

const PROTO_ROOT: &str = "proto";

const PROTOS: [&str; 6] = [
    "bursar/v1/entitlement.proto",
    "bursar/ledger/v1/account.proto",
    "bursar/ledger/v1/audit.proto",
    "bursar/ledger/v1/lease.proto",
    "bursar/ledger/v1/ledger.proto",
    "bursar/ledger/v1/playbook.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    let out = PathBuf::from(env::var("OUT_DIR")?);

    // Without source info: a client that reflects needs the shapes, and they are a third of the bytes.
    let shapes = protox::Compiler::new([PROTO_ROOT])?
        .include_imports(true)
        .open_files(PROTOS)?
        .encode_file_descriptor_set();
    fs::write(out.join("descriptors.bin"), shapes)?;

    tonic_prost_build::configure()
        // Maps in order of their keys: the same message always has the same bytes.
        .btree_map(".")
        .bytes(".bursar.ledger.v1")
        .compile_fds(protox::compile(PROTOS, [PROTO_ROOT])?)?;
    Ok(())
}
