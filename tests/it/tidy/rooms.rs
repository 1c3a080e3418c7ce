//! Who may use what: rooms look up only, crates stay in their rooms, pure rooms stay pure, one file reads the clock.

use super::source::{Kind, Token, UsedPath, code, paths};
use super::{File, MayUse, RESERVED, ROOMS, Violation};
use std::collections::BTreeSet;

const CLOCK: &str = "src/runtime/clock.rs";

/// What a pure room may not name, and why. A path is matched from its start, a single word anywhere.
const IMPURE: &[(&[&str], &str)] = &[
    (&["async"], "no async: the core is called, it never waits"),
    (&["await"], "no async: the core is called, it never waits"),
    (&["HashMap"], "no hash maps: their order could show on replay; use a BTreeMap"),
    (&["HashSet"], "no hash sets: their order could show on replay; use a BTreeSet"),
    (&["f32"], "no floats: amounts are exact decimals"),
    (&["f64"], "no floats: amounts are exact decimals"),
    (&["println"], "no I/O: effects leave as values"),
    (&["eprintln"], "no I/O: effects leave as values"),
    (&["Mutex"], "no locks: the shell owns the machine while it calls it"),
    (&["RwLock"], "no locks: the shell owns the machine while it calls it"),
    (&["std", "time"], "no clock: time is an argument named `at`"),
    (&["core", "time"], "no clock: time is an argument named `at`"),
    (&["std", "fs"], "no I/O: the shell reads and writes"),
    (&["std", "io"], "no I/O: the shell reads and writes"),
    (&["std", "net"], "no I/O: the shell reads and writes"),
    (&["std", "env"], "no I/O: the environment is read once, by `config`"),
    (&["std", "process"], "no I/O: only `main` ends the process"),
    (&["std", "thread"], "no threads: the shell decides what runs where"),
];

/// The crates that the manifest depends on, as Rust names them.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("Cargo.toml is TOML");
    let table = manifest.get("dependencies").and_then(toml::Value::as_table).expect("it has dependencies");
    table.keys().map(|name| name.replace('-', "_")).collect()
}

pub fn check(file: &File, dependencies: &BTreeSet<String>) -> Vec<Violation> {
    if file.path == "src/lib.rs" {
        return check_order(file);
    }
    if !file.path.starts_with("src/") || !file.path.ends_with(".rs") || is_test_file(&file.path) {
        return Vec::new();
    }
    let tokens = code(&file.text).tokens;
    let used = paths(&tokens);
    let mut found = check_clock(file, &tokens, &used);
    if file.path == "src/main.rs" {
        return found;
    }
    let inside: Vec<&str> = file.path.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    let Some(own) = ROOMS.iter().position(|room| inside.len() > 1 && room.name == inside[0]) else {
        found.push(Violation::new(&file.path, 1, "stands in no room; put it into the room of its rule"));
        return found;
    };
    let depth = inside.len() - usize::from(inside.last() == Some(&"mod"));
    found.extend(used.iter().filter_map(|path| check_room(file, own, depth, path)));
    found.extend(used.iter().filter_map(|path| check_crate(file, own, dependencies, path)));
    if matches!(ROOMS[own].may_use, MayUse::Only(_)) {
        found.extend(check_pure(file, &tokens, &used));
    }
    found.sort();
    found.dedup();
    found
}

/// Unit tests in a file of their own, `tests.rs` or below `tests/`.
pub fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// `lib.rs` declares the rooms, all of them and in the table's order: it is the first thing that is read.
fn check_order(file: &File) -> Vec<Violation> {
    let tokens = code(&file.text).tokens;
    let declared = tokens.windows(3).filter(|window| window[0].is_ident("mod") && window[2].is(';'));
    let declared: Vec<&str> = declared.filter_map(|window| window[1].ident()).collect();
    let wanted: Vec<&str> = ROOMS.iter().map(|room| room.name).collect();
    if declared == wanted {
        return Vec::new();
    }
    let reason = format!("declares the rooms {declared:?}, the dependency order is {wanted:?}");
    vec![Violation::new(&file.path, 1, reason)]
}

/// The name that `path` takes from the crate's root, by `crate::` or by enough `super::`.
fn from_root(path: &UsedPath, depth: usize) -> Option<&str> {
    let segments = &path.segments;
    let skip = match segments.first()?.as_str() {
        "crate" => 1,
        "super" if segments.iter().take_while(|segment| *segment == "super").count() == depth => depth,
        _ => return None,
    };
    segments.get(skip).map(String::as_str)
}

fn check_room(file: &File, own: usize, depth: usize, path: &UsedPath) -> Option<Violation> {
    let name = from_root(path, depth)?;
    let room = ROOMS[own].name;
    let reason = match ROOMS.iter().position(|room| room.name == name) {
        Some(other) if other <= own => return None,
        Some(_) => format!("`{room}` uses `{name}`, which stands below it; a room uses only rooms above it"),
        None => format!("`{name}` is no room; the crate's root holds rooms and nothing else"),
    };
    Some(Violation::new(&file.path, path.line, reason))
}

fn check_crate(
    file: &File,
    own: usize,
    dependencies: &BTreeSet<String>,
    path: &UsedPath,
) -> Option<Violation> {
    let name = path.segments.first()?;
    if !dependencies.contains(name) || path.segments.len() < 2 {
        return None;
    }
    let room = &ROOMS[own];
    let reserved = RESERVED.iter().find(|(stem, _, _)| {
        name.strip_prefix(stem).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    });
    let reason = match (reserved, &room.may_use) {
        (Some((_, rooms, why)), _) if !rooms.contains(&room.name) => {
            format!("`{name}` is for {} only: {why}", rooms.join(" and "))
        }
        (_, MayUse::Only(allowed)) if !allowed.contains(&name.as_str()) => {
            format!(
                "`{}` is a pure room; of the dependencies it may use only {}",
                room.name,
                allowed.join(", ")
            )
        }
        _ => return None,
    };
    Some(Violation::new(&file.path, path.line, reason))
}

fn check_pure(file: &File, tokens: &[Token], used: &[UsedPath]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (pattern, why) in IMPURE {
        let lines: Vec<usize> = if let [word] = pattern {
            tokens.iter().filter(|token| token.is_ident(word)).map(|token| token.line).collect()
        } else {
            let starts = |path: &&UsedPath| {
                path.segments.iter().map(String::as_str).take(pattern.len()).eq(pattern.iter().copied())
            };
            used.iter().filter(starts).map(|path| path.line).collect()
        };
        found.extend(lines.into_iter().map(|line| Violation::new(&file.path, line, *why)));
    }
    for token in tokens {
        if matches!(&token.kind, Kind::Number(number) if number.contains('.')) {
            found.push(Violation::new(&file.path, token.line, "no floats: amounts are exact decimals"));
        }
    }
    found
}

fn check_clock(file: &File, tokens: &[Token], used: &[UsedPath]) -> Vec<Violation> {
    if file.path == CLOCK {
        return Vec::new();
    }
    let now = used
        .iter()
        .filter(|path| path.segments.len() > 1 && path.segments.last().is_some_and(|last| last == "now"));
    let raw = tokens.iter().filter(|token| token.is_ident("clock_gettime"));
    let lines = now.map(|path| path.line).chain(raw.map(|token| token.line));
    let reason = format!("only `{CLOCK}` reads a clock; take the time as an argument, or ask the clock");
    lines.map(|line| Violation::new(&file.path, line, reason.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the rules say of one file, as `line: reason` cut to its first words.
    fn said(path: &str, text: &str) -> Vec<String> {
        let dependencies =
            ["tonic", "tonic_health", "sled", "tokio", "jiff", "serde", "clap"].map(str::to_owned).into();
        check(&File::new(path, text), &dependencies)
            .iter()
            .map(|v| format!("{}: {}", v.line, v.reason))
            .collect()
    }

    #[track_caller]
    fn refused(path: &str, text: &str, reason: &str) {
        let said = said(path, text);
        assert!(said.len() == 1 && said[0].contains(reason), "wanted one `{reason}`, got {said:?}");
    }

    #[track_caller]
    fn accepted(path: &str, text: &str) {
        assert_eq!(said(path, text), [""; 0]);
    }

    #[test]
    fn a_room_uses_only_rooms_above_it() {
        refused("src/credit/draw.rs", "use crate::engine::Wallet;", "1: `credit` uses `engine`");
        refused("src/credit/draw.rs", "\nuse crate::{types::Credits, engine};", "2: `credit` uses `engine`");
        refused("src/credit/draw.rs", "fn f(w: super::super::engine::Wallet) {}", "uses `engine`");
        refused("src/credit/mod.rs", "pub use super::lease::Size;", "uses `lease`");
        refused("src/types/id.rs", "use crate::helper;", "`helper` is no room");
        accepted(
            "src/engine/apply.rs",
            "use crate::{credit, types::Credits};\nuse super::wallet;\nuse crate::engine::tick;",
        );
        accepted("src/credit/draw.rs", "// crate::engine\n#[cfg(test)]\nmod tests { use crate::engine::X; }");
        accepted("src/credit/tests.rs", "use crate::engine::X;");
    }

    #[test]
    fn crates_stay_in_their_rooms() {
        refused("src/sidecar/serve.rs", "use tonic::Status;", "`tonic` is for grpc only");
        refused(
            "src/ledger/serve.rs",
            "fn f() -> tonic_health::Reporter {}",
            "`tonic_health` is for grpc only",
        );
        refused("src/engine/apply.rs", "use sled::Db;", "`sled` is for storage only");
        refused("src/types/id.rs", "use serde::Deserialize;", "`types` is a pure room");
        refused("src/engine/apply.rs", "fn f() { tokio::spawn(x) }", "`engine` is a pure room");
        accepted("src/grpc/status.rs", "use tonic::Status; use tokio::net;");
        accepted("src/config/flags.rs", "use clap::Args;");
        accepted("src/playbook/document.rs", "use serde::Deserialize;");
    }

    #[test]
    fn pure_rooms_stay_pure() {
        for text in [
            "async fn f() {}",
            "type T = HashMap<u8, u8>;",
            "let x = 1.5;",
            "use std::time::Duration;",
            "use std::{fs::File};",
        ] {
            refused("src/lease/sizing.rs", text, "no ");
            accepted("src/sidecar/sync.rs", text);
        }
        accepted("src/lease/sizing.rs", "let x = pair.0.1; for i in 0..5 {} let s = \"HashMap 1.5\";");
    }

    #[test]
    fn one_file_reads_the_clock() {
        refused("src/sidecar/sync.rs", "let t = std::time::Instant::now();", "only `src/runtime/clock.rs`");
        refused("src/main.rs", "let t = jiff::Timestamp::now();", "only `src/runtime/clock.rs`");
        accepted("src/runtime/clock.rs", "let t = std::time::Instant::now();");
        accepted("src/sidecar/sync.rs", "let t = clock.now();");
    }

    #[test]
    fn rooms_are_declared_in_order() {
        let all: String = ROOMS.iter().map(|room| format!("pub mod {};\n", room.name)).collect();
        accepted("src/lib.rs", &all);
        refused("src/lib.rs", &all.replace("pub mod credit;\n", ""), "the dependency order is");
        refused("src/helper.rs", "fn f() {}", "stands in no room");
    }
}
