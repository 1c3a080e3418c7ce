//! Every tracked file: no marks of unfinished work, no paths of one machine; scenarios that parse; papers in order.

use super::{File, Violation};
use std::collections::BTreeMap;

/// The newcomer's map stays a map.
const ARCHITECTURE_LINES_MAX: usize = 200;

/// Texts of others, kept as they came.
const VERBATIM: &[&str] = &["LICENSE", "Cargo.lock"];

/// What no file may hold, in two halves so that this one does not either: (head, tail, reason).
const MARKS: &[(&str, &str, &str)] = &[
    ("TO", "DO", "work left to do is an issue, not a comment"),
    ("FIX", "ME", "work left to do is an issue, not a comment"),
    ("XX", "X:", "work left to do is an issue, not a comment"),
    ("to", "do!(", "work left to do is an issue, not a panic"),
    ("unimple", "mented!(", "work left to do is an issue, not a panic"),
    ("#[ig", "nore", "a test that does not run shows nothing; mend it or remove it"),
    ("pytest.mark.", "skip", "a test that does not run shows nothing; mend it or remove it"),
    ("pytest.mark.", "xfail", "a test that may fail shows nothing; mend it or remove it"),
];

/// Roots of paths that exist on one machine only.
const MACHINE_ROOTS: &[(&str, &str)] = &[("/ho", "me/"), ("/ro", "ot/"), ("/Us", "ers/"), ("/wo", "rk/")];

pub fn check_text(file: &File) -> Vec<Violation> {
    if VERBATIM.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, line) in file.text.lines().enumerate() {
        for (head, tail, reason) in MARKS {
            if has_word(line, &format!("{head}{tail}")) {
                found.push(Violation::new(&file.path, index + 1, *reason));
            }
        }
        for (head, tail) in MACHINE_ROOTS {
            let root = format!("{head}{tail}");
            if starts_a_path(line, &root) {
                let reason = format!("`{root}…` is a path of one machine; write it from the project's root");
                found.push(Violation::new(&file.path, index + 1, reason));
            }
        }
    }
    found
}

/// Whether `mark` stands in `line` and is not the middle of a longer word.
fn has_word(line: &str, mark: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    // A mark that is a word ends where it ends; one that is the start of code may go on.
    let whole = mark.chars().all(letter);
    line.match_indices(mark).any(|(at, _)| {
        let (before, after) = (line.split_at(at).0, line.split_at(at + mark.len()).1);
        let goes_on = whole && after.chars().next().is_some_and(letter);
        !(goes_on || before.chars().next_back().is_some_and(letter))
    })
}

/// Whether `root` stands in `line` as the start of a path, not inside a longer one or a URL.
fn starts_a_path(line: &str, root: &str) -> bool {
    line.match_indices(root).any(|(at, _)| {
        let before = line.split_at(at).0.chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "._-~/}*$".contains(c))
    })
}

/// Each file of `tests/scenarios` is YAML, each of its documents a scenario, and no two have one name.
pub fn check_scenarios(files: &[File]) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    for file in files.iter().filter(|file| file.path.starts_with("tests/scenarios/")) {
        if !file.path.ends_with(".yaml") {
            continue;
        }
        let documents: Vec<serde_json::Value> = match serde_saphyr::from_multiple(&file.text) {
            Ok(documents) => documents,
            Err(error) => {
                let line = error.location().map_or(1, |at| at.line() as usize);
                found.push(Violation::new(&file.path, line, format!("is not YAML: {error}")));
                continue;
            }
        };
        for document in documents {
            // A playbook beside the scenarios that name it by its path is no scenario.
            if document.get("bursar").is_some() {
                continue;
            }
            let Some(name) = document.get("scenario").and_then(|name| name.as_str()) else {
                found.push(Violation::new(&file.path, 1, "a document without `scenario`, its name"));
                continue;
            };
            let line = file.text.lines().position(|line| line.contains(name)).map_or(1, |index| index + 1);
            if document.get("steps").and_then(|steps| steps.as_array()).is_none_or(Vec::is_empty) {
                found.push(Violation::new(
                    &file.path,
                    line,
                    format!("`{name}` has no `steps`: it shows nothing"),
                ));
            }
            if let Some(other) = names.insert(name.to_owned(), file.path.clone()) {
                let reason =
                    format!("`{name}` is the name of a scenario in {other} too; a failure must name one");
                found.push(Violation::new(&file.path, line, reason));
            }
        }
    }
    found
}

/// The licence, the changelog, the architecture's length, and decisions numbered without a gap and listed in their index.
pub fn check_papers(files: &[File]) -> Vec<Violation> {
    let text = |path: &str| files.iter().find(|file| file.path == path).map(|file| file.text.as_str());
    let mut found = Vec::new();
    if !text("LICENSE").is_some_and(|text| text.contains("Apache License")) {
        found.push(Violation::new("LICENSE", 1, "the Apache-2.0 text must stand here"));
    }
    if !text("CHANGELOG.md").is_some_and(|text| text.lines().any(|line| line == "## Unreleased")) {
        found.push(Violation::new(
            "CHANGELOG.md",
            1,
            "must exist, with `## Unreleased`: a line comes with its change",
        ));
    }
    let map_lines = text("ARCHITECTURE.md").map_or(0, |text| text.lines().count());
    if map_lines > ARCHITECTURE_LINES_MAX {
        let reason =
            format!("{map_lines} lines, at most {ARCHITECTURE_LINES_MAX}: it is a map, not the country");
        found.push(Violation::new("ARCHITECTURE.md", ARCHITECTURE_LINES_MAX + 1, reason));
    }
    let index = text("docs/adr/README.md").unwrap_or_default();
    let decisions =
        files.iter().filter(|file| file.path.starts_with("docs/adr/") && file.path != "docs/adr/README.md");
    for (position, file) in decisions.enumerate() {
        let number = format!("{:04}", position + 1);
        let name = file.path.trim_start_matches("docs/adr/");
        if !(name.starts_with(&format!("{number}-")) && name.ends_with(".md")) {
            let reason =
                format!("decisions are numbered without a gap: `{number}-what-it-decides.md` comes here");
            found.push(Violation::new(&file.path, 1, reason));
        }
        if !file.text.starts_with(&format!("# {number} ")) {
            found.push(Violation::new(
                &file.path,
                1,
                format!("its title must be `# {number} …`, as its file"),
            ));
        }
        if !index.contains(&format!("({name})")) {
            found.push(Violation::new(&file.path, 1, "is not listed in docs/adr/README.md"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_machine_paths_are_refused() {
        for (head, tail, _) in MARKS {
            let text = format!("fine\n  // {head}{tail} later\n");
            let found = check_text(&File::new("src/x.rs", &text));
            assert_eq!(found.first().map(|v| v.line), Some(2), "{head}{tail}");
        }
        for (head, tail) in MACHINE_ROOTS {
            let text = format!("path = \"{head}{tail}ann/x\"");
            assert_eq!(check_text(&File::new("a.toml", &text)).len(), 1);
            let text = format!("https://example.org{head}{tail}ann target{head}{tail}x");
            assert_eq!(check_text(&File::new("a.toml", &text)), []);
        }
    }

    #[test]
    fn scenarios_are_named_once_and_have_steps() {
        let good =
            "scenario: one\nsteps: [{state: {run: r}}]\n---\nscenario: two\nsteps: [{state: {run: r}}]\n";
        let check = |texts: &[&str]| {
            let file = |(n, text): (usize, &&str)| File::new(&format!("tests/scenarios/{n}.yaml"), text);
            check_scenarios(&texts.iter().enumerate().map(file).collect::<Vec<File>>()).len()
        };
        assert_eq!(check(&[good, "bursar: 1\nplaybook: p\n"]), 0);
        assert_eq!(check(&[good, good]), 2);
        assert_eq!(check(&["scenario: [\n"]), 1);
        assert_eq!(check(&["scenario: one\nsteps: []\n"]), 1);
        assert_eq!(check(&["steps: [{}]\n"]), 1);
    }

    #[test]
    fn decisions_are_numbered_and_listed() {
        let papers = |decision: &str, title: &str, index: &str| {
            let files = [
                File::new("CHANGELOG.md", "## Unreleased\n"),
                File::new("LICENSE", "Apache License"),
                File::new(&format!("docs/adr/{decision}"), title),
                File::new("docs/adr/README.md", index),
            ];
            check_papers(&files).len()
        };
        assert_eq!(papers("0001-one.md", "# 0001 One\n", "[one](0001-one.md)"), 0);
        assert_eq!(papers("0002-two.md", "# 0001 Two\n", "[two](0002-two.md)"), 1);
        assert_eq!(papers("0001-one.md", "# One\n", "[one](0001-one.md)"), 1);
        assert_eq!(papers("0001-one.md", "# 0001 One\n", ""), 1);
        assert_eq!(check_papers(&[]).len(), 2);
    }
}
