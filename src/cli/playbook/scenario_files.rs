//! Which files `bursar playbook test` plays: those that are named, and below directories every `*.yaml` that is not a
//! playbook itself.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::failure::Failure;

/// A file of scenarios.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioFile {
    pub path: PathBuf,
    pub source: String,
}

/// In the order given, and below a directory in the order of names.
pub fn find(paths: &[PathBuf]) -> Result<Vec<ScenarioFile>, Failure> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, &mut found)?;
        } else {
            found.push(ScenarioFile { path: path.clone(), source: read(path)? });
        }
    }
    Ok(found)
}

/// Text of a file.
pub fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(|error| cannot(path, &error))
}

fn below(directory: &Path, found: &mut Vec<ScenarioFile>) -> Result<(), Failure> {
    let entries = fs::read_dir(directory).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut entries = entries.map_err(|error| cannot(directory, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        if entry.file_type().map_err(|error| cannot(&path, &error))?.is_dir() {
            below(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            let source = read(&path)?;
            if !is_playbook(&source) {
                found.push(ScenarioFile { path, source });
            }
        }
    }
    Ok(())
}

/// A playbook stands beside the scenarios that name it. A broken one is one all the same: they are refused with it.
pub fn is_playbook(source: &str) -> bool {
    let has = |key: &str| source.lines().any(|line| line.starts_with(key));
    every_document(source, |document| document.get("bursar").is_some() && document.get("scenario").is_none())
        || serde_saphyr::from_multiple::<Value>(source).is_err() && has("bursar:") && !has("scenario:")
}

/// What somebody gave to `check` by mistake.
pub fn is_scenarios(source: &str) -> bool {
    every_document(source, |document| document.get("scenario").is_some() && document.get("bursar").is_none())
}

fn every_document(source: &str, is: fn(&Value) -> bool) -> bool {
    let documents: Vec<Value> = serde_saphyr::from_multiple(source).unwrap_or_default();
    !documents.is_empty() && documents.iter().all(is)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("`{}` cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn playbooks_are_not_scenarios() {
        assert!(is_playbook("bursar: 1\nplaybook: p\n"));
        assert!(is_playbook("{bursar: 1, playbook: p}"));
        // Not YAML, by a tab and by an open bracket.
        assert!(is_playbook("bursar: 1\nplans:\n\ta: 1\n") && is_playbook("bursar: 1\nactions: ["));
        assert!(!is_playbook("scenario: one\nplaybook: |\n  bursar: 1\nsteps: ["));
        assert!(is_scenarios("scenario: one\nsteps: []\n---\nscenario: two\n"));
        assert!(
            !is_scenarios("")
                && !is_scenarios("bursar: 1")
                && !is_scenarios("bursar: 1\n---\nscenario: one\n")
        );
        for source in ["", "scenario: one\nsteps: []\n", "[", "bursar: 1\n---\nscenario: one\n", "- bursar"] {
            assert!(!is_playbook(source), "{source}");
        }
    }

    #[test]
    fn directories_are_walked_in_order_and_named_files_are_taken_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        write("b.yaml", "scenario: b");
        write("a/c.yaml", "scenario: c");
        write("notes.txt", "scenario: no");
        let playbook = write("playbook.yaml", "bursar: 1");
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let found = find(paths).unwrap();
            found.iter().map(|file| file.path.file_name().unwrap().to_string_lossy().into_owned()).collect()
        };
        assert_eq!(names(&[directory.path().to_owned()]), ["c.yaml", "b.yaml"]);
        assert_eq!(names(&[playbook]), ["playbook.yaml"]);
        assert!(find(&[directory.path().join("none.yaml")]).is_err());
    }
}
