//! Every refusal, every reason of a denial, every warning and every species is met by a scenario under `tests/scenarios`.
//! What is listed comes from the code; what a scenario expects, and passes with, is met.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use bursar::credit::Reason;
use bursar::playbook::caution::Caution;
use bursar::playbook::check;
use bursar::playbook::draw_order::Species;

/// Refusals that no scenario can meet, and where they are met instead.
const ELSEWHERE: &[(&str, &str)] = &[
    ("INVALID_TIME_ZONE", "scenarios live in UTC; tests/it/ledger.rs"),
    ("GRANT_UNKNOWN", "a scenario names its grants; tests/it/ledger.rs"),
    ("TOO_MANY_BLOCKS", "ten thousand grants; a bound, not a rule"),
    ("TOO_MANY_CAPS", "sixty-four caps of one account; a bound, not a rule"),
    ("INVALID_PARENT", "a thousand generations; a bound, not a rule"),
    ("INVALID_TTL", "a length of time above zero is all that a scenario can write"),
    ("PLAYBOOK_UNKNOWN", "a scenario begins with a playbook; tests/it/ledger.rs"),
    ("ACCOUNT_BROKEN", "a bug in a rule; src/ledger/slot_tests.rs"),
];

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "yaml") {
            found.push(path);
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All scenarios, comments left out.
fn scenarios() -> String {
    let mut paths = Vec::new();
    files(&root().join("tests/scenarios"), &mut paths);
    let read = |path: PathBuf| fs::read_to_string(path).expect("a scenario file");
    let text: String = paths.into_iter().map(read).collect();
    text.lines().filter(|line| !line.trim_start().starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// The words in capitals after each `key: `.
fn expected(text: &str, key: &str) -> BTreeSet<String> {
    let key = format!("{key}: ");
    let after = text.split(key.as_str()).skip(1);
    let word =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>();
    after.map(word).filter(|word| word.len() > 2).collect()
}

/// Each reason that the code gives with an error, by its file.
fn refusals() -> BTreeMap<String, &'static str> {
    let mut found = BTreeMap::new();
    for file in ["src/engine/fault.rs", "src/engine/account/administer.rs", "src/grpc/ledger_status.rs"] {
        let source = fs::read_to_string(root().join(file)).expect("a source file");
        let source = source.split("#[cfg(test)]").next().expect("the code");
        for quoted in source.split('"').skip(1).step_by(2) {
            let word = quoted.len() > 4 && quoted.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
            if word && quoted.contains('_') {
                found.insert(quoted.to_owned(), file);
            }
        }
    }
    // What the way to the ledger answers, not a rule.
    for transport in [
        "EPOCH_NOT_CURRENT",
        "NOT_ATTACHED",
        "ACCOUNT_NOT_ALLOWED",
        "SIDECAR_NOT_YOURS",
        "NOT_READY",
        "JOURNAL_FAILED",
        "TOO_MANY_PLAYBOOKS",
        "TOO_MANY_ACCOUNTS",
    ] {
        found.remove(transport);
    }
    found
}

fn missing(what: &str, wanted: impl IntoIterator<Item = String>, met: &BTreeSet<String>) -> Vec<String> {
    wanted.into_iter().filter(|word| !met.contains(word)).map(|word| format!("{what} {word}")).collect()
}

#[test]
fn every_refusal_reason_warning_and_species_is_met_by_a_scenario() {
    let text = scenarios();
    let elsewhere: BTreeSet<&str> = ELSEWHERE.iter().map(|(word, _)| *word).collect();
    let refusals = refusals();
    assert!(refusals.len() >= 20, "{refusals:?}");
    let mut lacking = missing(
        "the error",
        refusals.into_keys().filter(|word| !elsewhere.contains(word.as_str())),
        &expected(&text, "error"),
    );
    let reasons = expected(&text, "reason");
    lacking.extend(missing("the reason", Reason::ALL.iter().map(ToString::to_string), &reasons));
    // A species is met where a scenario says what it paid, or what there is of it.
    let paid: BTreeSet<String> = text
        .split(['{', '}'])
        .flat_map(|inside| inside.split(','))
        .filter_map(|pair| pair.split_once(':'))
        .filter(|(_, amount)| amount.trim().trim_matches('"').parse::<f64>().is_ok())
        .map(|(key, _)| key.trim().to_owned())
        .collect();
    lacking.extend(missing("the species", Species::ALL.iter().map(ToString::to_string), &paid));
    lacking.extend(missing("the warning", Caution::ALL.iter().map(|c| format!("{c:?}")), &cautions(&text)));
    assert!(lacking.is_empty(), "no scenario meets: {}", lacking.join(", "));
}

/// Every warning of a document that a scenario checks.
fn cautions(text: &str) -> BTreeSet<String> {
    let mut met = BTreeSet::new();
    for step in text.split("- check: |\n").skip(1) {
        let lines = step.lines().take_while(|line| line.starts_with("      "));
        let document: String =
            lines.map(|line| format!("{}\n", line.strip_prefix("      ").unwrap_or(line))).collect();
        met.extend(
            check(&document).findings.iter().filter_map(|finding| Some(format!("{:?}", finding.caution?))),
        );
    }
    met
}

#[test]
fn what_is_met_elsewhere_is_given_by_the_code() {
    let refusals = refusals();
    for (word, where_) in ELSEWHERE {
        assert!(refusals.contains_key(*word), "`{word}` ({where_}) is no refusal any more");
    }
}
