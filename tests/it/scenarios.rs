//! Every scenario under `tests/scenarios/` passes. `BURSAR_SCENARIO=words` runs only those whose names contain the words.

use std::fs;
use std::path::{Path, PathBuf};

use bursar::scenario::{Dealing, Outcome, run_dealt, run_source};

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

/// Reads the scenarios of a file beside it, too: playbooks.
type Other<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Runs every file; answers how many scenarios passed, and what is wrong with the others.
fn all(run: impl Fn(&str, &str, Other) -> Vec<Outcome>) -> (usize, Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let only = std::env::var("BURSAR_SCENARIO").unwrap_or_default();
    let mut paths = Vec::new();
    files(&root, &mut paths);
    let (mut passed, mut failed) = (0, Vec::new());
    for path in paths {
        let source = fs::read_to_string(&path).unwrap();
        let dir = path.parent().unwrap();
        let other =
            |name: &str| fs::read_to_string(dir.join(name)).map_err(|error| format!("`{name}`: {error}"));
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        for outcome in run(&name, &source, &other) {
            if !outcome.scenario.contains(&only) {
                continue;
            }
            match outcome.result {
                Ok(()) => passed += 1,
                Err(failure) => failed.push(format!("{name}: {}: {failure}", outcome.scenario)),
            }
        }
    }
    assert!(passed > 0 || !only.is_empty(), "no scenario was found under {}", root.display());
    (passed, failed)
}

#[test]
fn every_scenario_passes() {
    let (passed, failed) = all(run_source);
    assert!(failed.is_empty(), "{passed} scenarios passed, {}", said(&failed));
}

#[test]
fn every_scenario_comes_to_the_same_over_one_two_and_three_sidecars() {
    for over in 1..=3 {
        for (skip, each_step) in (0..over).flat_map(|skip| [(skip, false), (skip, true)]) {
            let dealing = Dealing { over, skip, each_step };
            let (passed, failed) = all(|file, source, other| run_dealt(file, source, dealing, other));
            assert!(failed.is_empty(), "{dealing:?}: {passed} scenarios passed, {}", said(&failed));
        }
    }
}

fn said(failed: &[String]) -> String {
    format!("{} failed:\n{}", failed.len(), failed.join("\n"))
}
