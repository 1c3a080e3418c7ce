//! What the documents show is true: their playbooks pass the check, their scenarios pass, and so do the examples'.

use std::fs;
use std::path::Path;

use bursar::playbook::check;
use bursar::scenario::run_source;

/// The fenced blocks of YAML, each with the line on which it begins.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (n, line) in text.lines().enumerate() {
        match &mut open {
            None if line.trim() == "```yaml" => open = Some((n + 2, String::new())),
            None => {}
            Some(_) if line.trim() == "```" => found.extend(open.take()),
            Some((_, block)) => *block += &format!("{line}\n"),
        }
    }
    found
}

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

/// Scenarios of a document; one that names a playbook by its path means the one that the document showed last.
fn shown(name: &str) -> (usize, usize) {
    let (mut playbook, mut playbooks, mut passed) = (String::new(), 0, 0);
    for (line, block) in blocks(&document(name)) {
        if block.starts_with("bursar: ") {
            let report = check(&block);
            assert!(report.findings.is_empty(), "docs/{name}:{line}: {}", report.in_file(name));
            playbooks += 1;
            playbook = block;
        } else if block.starts_with("scenario: ") {
            for outcome in run_source(name, &block, &|_| Ok(playbook.clone())) {
                if let Err(failure) = outcome.result {
                    panic!("docs/{name}:{line}: {}: {failure}", outcome.scenario);
                }
                passed += 1;
            }
        }
    }
    (playbooks, passed)
}

#[test]
fn the_playbooks_and_scenarios_of_the_reference_hold() {
    assert_eq!(shown("playbook.md"), (1, 2));
}

#[test]
fn every_worked_number_of_the_grammar_is_played() {
    let (_, passed) = shown("grammar.md");
    assert!(passed >= 17, "{passed}");
}

/// What the one step of a scenario is refused for.
fn refusal(step: &str) -> String {
    let source = format!("scenario: a\nplaybook: p.yaml\nsteps:\n  - {{{step}}}\n");
    let shown = blocks(&document("scenarios.md"));
    let (_, playbook) = shown.first().expect("a playbook");
    let outcomes = run_source("a", &source, &|_| Ok(playbook.clone()));
    let failure = outcomes.into_iter().find_map(|outcome| outcome.result.err());
    failure.unwrap_or_else(|| panic!("`{step}` passed")).to_string()
}

/// The words that a refusal lists at its end.
fn listed(refusal: &str, after: &str) -> Vec<String> {
    let list = refusal.rsplit_once(after).map(|(_, list)| list).unwrap_or_default();
    list.split(", ").map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn the_reference_of_scenarios_names_every_operation_and_every_key() {
    assert_eq!(shown("scenarios.md"), (1, 2));
    let text = document("scenarios.md");
    let operations = listed(&refusal("nothing: {}"), "there are ");
    assert!(operations.len() >= 30, "{operations:?}");
    for operation in operations {
        let row = text.lines().find(|line| line.starts_with(&format!("| `{operation}` |")));
        let keys = listed(&refusal(&format!("{operation}: {{none: 1}}")), "it has ");
        assert!(operation != "authorize" || keys.len() > 10, "{keys:?}");
        let expected = listed(&refusal(&format!("{operation}: {{}}, expect: {{none: 1}}")), "it has ");
        for word in [operation.clone()].iter().chain(&keys).chain(&expected) {
            let place = row.unwrap_or(&text);
            assert!(place.contains(&format!("`{word}`")), "docs/scenarios.md: {operation}: {word}");
        }
    }
}

#[test]
fn the_examples_pass_the_check_without_a_warning_and_their_scenarios_pass() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let (mut playbooks, mut passed) = (0, 0);
    for entry in fs::read_dir(&examples).expect("the examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        if !name.ends_with(".yaml") {
            continue;
        }
        let source = fs::read_to_string(&path).expect("a file");
        if name.ends_with(".scenarios.yaml") {
            let beside =
                |other: &str| fs::read_to_string(examples.join(other)).map_err(|error| error.to_string());
            for outcome in run_source(&name, &source, &beside) {
                if let Err(failure) = outcome.result {
                    panic!("examples/{name}: {}: {failure}", outcome.scenario);
                }
                passed += 1;
            }
        } else {
            let report = check(&source);
            assert!(report.findings.is_empty(), "{}", report.in_file(&name));
            playbooks += 1;
        }
    }
    assert_eq!(playbooks, 4);
    assert!(passed >= 35, "{passed}");
}
