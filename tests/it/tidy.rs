//! The house rules, as a test: which room may use what, sizes, marks of unfinished work, and the papers that must exist.
//!
//! Every violation is one line, `path:line: reason`. A rule that is in the way is changed here, with its reason.
//!
//! | file | what |
//! |---|---|
//! | `source` | Rust read as tokens, without comments and tests |
//! | `rooms` | who may use what |
//! | `shape` | sizes, and `mod.rs` as a door plate |
//! | `tree` | every tracked file: marks, machine paths, scenarios, changelog, decisions |

mod rooms;
mod shape;
mod source;
mod tree;

use std::fmt;
use std::path::Path;
use std::process::Command;

/// A room of `src/`, and the crates from outside that it may use.
pub struct Room {
    pub name: &'static str,
    pub may_use: MayUse,
}

pub enum MayUse {
    /// A pure room: no async, clock, randomness, I/O, floats, locks or hash maps, and of the dependencies only these.
    Only(&'static [&'static str]),
    /// A shell room: every dependency that `RESERVED` does not give to another room.
    Shell,
}

/// The dependency table. A room uses only rooms above it; `src/lib.rs` declares them in this order.
pub const ROOMS: &[Room] = &[
    Room { name: "types", may_use: MayUse::Only(VALUES) },
    Room { name: "playbook", may_use: MayUse::Only(DOCUMENTS) },
    Room { name: "credit", may_use: MayUse::Only(VALUES) },
    Room { name: "lease", may_use: MayUse::Only(VALUES) },
    Room { name: "engine", may_use: MayUse::Only(MACHINES) },
    Room { name: "scenario", may_use: MayUse::Only(SCENARIOS) },
    Room { name: "simulation", may_use: MayUse::Only(MACHINES) },
    Room { name: "storage", may_use: MayUse::Shell },
    Room { name: "runtime", may_use: MayUse::Shell },
    Room { name: "telemetry", may_use: MayUse::Shell },
    Room { name: "trust", may_use: MayUse::Shell },
    Room { name: "config", may_use: MayUse::Shell },
    Room { name: "grpc", may_use: MayUse::Shell },
    Room { name: "sidecar", may_use: MayUse::Shell },
    Room { name: "ledger", may_use: MayUse::Shell },
    Room { name: "cli", may_use: MayUse::Shell },
];

/// Values and pure functions over them. `minicbor` only derives how a value is written; it does no I/O. `hashbrown` is for
/// `types/by_id`, which lists in order.
const VALUES: &[&str] = &["rust_decimal", "thiserror", "jiff", "minicbor", "blake3", "smol_str", "hashbrown"];
const DOCUMENTS: &[&str] =
    &["rust_decimal", "thiserror", "jiff", "minicbor", "blake3", "serde", "serde_saphyr"];
const MACHINES: &[&str] =
    &["rust_decimal", "thiserror", "jiff", "minicbor", "blake3", "base64_simd", "tracing"];
const SCENARIOS: &[&str] = &[
    "rust_decimal",
    "thiserror",
    "jiff",
    "minicbor",
    "blake3",
    "tracing",
    "serde",
    "serde_saphyr",
    "serde_json",
];

/// Crates that belong to some rooms alone: (the crate, or the stem of a family of crates; its rooms; why).
pub const RESERVED: &[(&str, &[&str], &str)] = &[
    ("tonic", &["grpc"], "one room knows the wire, so that a status or a proto changes in one place"),
    ("prost", &["grpc"], "one room knows the wire, so that a status or a proto changes in one place"),
    ("sled", &["storage"], "the store stands behind a trait, so that it can be swapped"),
    ("tokio_postgres", &["ledger"], "one folder knows the database, behind the ledger's store"),
    ("deadpool_postgres", &["ledger"], "one folder knows the database, behind the ledger's store"),
    (
        "tokio_rustls",
        &["trust", "grpc", "ledger"],
        "one room makes what TLS is configured with; connections carry it",
    ),
    ("ring", &["trust"], "one room knows cryptography"),
    ("jsonwebtoken", &["trust"], "one room knows tokens"),
    ("opentelemetry", &["telemetry"], "every span and attribute name is written once"),
    ("clap", &["cli", "config"], "flags are read at the door and nowhere else"),
    ("comfy_table", &["cli"], "only the command line talks to people"),
    ("indicatif", &["cli"], "only the command line talks to people"),
    ("plotters", &["cli"], "only the command line talks to people"),
    ("hdrhistogram", &["cli"], "only the load generator measures; a server's figures are not kept in it"),
];

/// One finding, printed as `path:line: reason`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    pub path: String,
    pub line: usize,
    pub reason: String,
}

impl Violation {
    pub fn new(path: &str, line: usize, reason: impl Into<String>) -> Violation {
        Violation { path: path.to_owned(), line, reason: reason.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.reason)
    }
}

/// A file of the tree: its path from the root with `/`, and its text (binary files are left out).
pub struct File {
    pub path: String,
    pub text: String,
}

impl File {
    pub fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned() }
    }
}

/// Every text file that git tracks or would track: a rule must bite before the commit, not after it.
fn files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()
        .expect("git runs: the house rules look at tracked files");
    assert!(listing.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listing.stderr));
    let names = String::from_utf8(listing.stdout).expect("file names are UTF-8");
    let mut files = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        if let Ok(text) = std::fs::read_to_string(root.join(name)) {
            files.push(File { path: name.to_owned(), text });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    files
}

fn hold(mut violations: Vec<Violation>) {
    violations.sort();
    let lines: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(lines.is_empty(), "{} against the house rules:\n{}\n", lines.len(), lines.join("\n"));
}

#[test]
fn rooms_use_only_what_they_may() {
    let files = files();
    let manifest = files.iter().find(|file| file.path == "Cargo.toml").expect("a manifest");
    let dependencies = rooms::dependencies(&manifest.text);
    assert!(dependencies.contains("tonic"), "the manifest was not understood: {dependencies:?}");
    hold(files.iter().flat_map(|file| rooms::check(file, &dependencies)).collect());
}

#[test]
fn sizes_and_door_plates() {
    hold(files().iter().flat_map(shape::check).collect());
}

#[test]
fn every_tracked_file_is_clean() {
    hold(files().iter().flat_map(tree::check_text).collect());
}

#[test]
fn scenarios_parse_and_have_names_of_their_own() {
    hold(tree::check_scenarios(&files()));
}

#[test]
fn papers_exist_and_are_in_order() {
    hold(tree::check_papers(&files()));
}
