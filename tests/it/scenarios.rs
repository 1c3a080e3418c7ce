//! Every scenario under `tests/scenarios/` passes. `BURSAR_SCENARIO=words` runs only those whose names contain the words.

use std::fs;
use std::path::{Path, PathBuf};

use bursar::scenario::run_source;

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

#[test]
fn every_scenario_passes() {
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
        for outcome in run_source(&name, &source, &other) {
            if !outcome.scenario.contains(&only) {
                continue;
            }
            match outcome.result {
                Ok(()) => passed += 1,
                Err(failure) => failed.push(format!("{name}: {}: {failure}", outcome.scenario)),
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} scenarios passed, {} failed:\n{}",
        passed,
        failed.len(),
        failed.join("\n")
    );
    assert!(passed > 0 || !only.is_empty(), "no scenario was found under {}", root.display());
}
