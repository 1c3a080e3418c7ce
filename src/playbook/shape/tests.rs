//! The shape is what the reader reads: each key, each word, each bound.

use std::collections::BTreeSet;

use super::whole::DOCUMENT;
use super::{Key, Kind, Map};
use crate::playbook::check;
use crate::playbook::finding::Severity;

/// Steps down from the top: keys, `""` through a list or a map from names.
type Path = Vec<&'static str>;

/// Every key of every map, with the way to it. Choices between maps and other kinds lead into the maps.
fn keys(map: &'static Map, to: &Path, found: &mut Vec<(Path, &'static Key)>) {
    for key in map.keys {
        let path: Path = to.iter().copied().chain([key.name]).collect();
        found.push((path.clone(), key));
        below(&key.kind, &path, found);
    }
}

fn below(kind: &Kind, path: &Path, found: &mut Vec<(Path, &'static Key)>) {
    match kind {
        Kind::Map(map) => keys(map, path, found),
        Kind::Named(inner) | Kind::List(inner, _) => {
            let inside: Path = path.iter().copied().chain([""]).collect();
            below(inner, &inside, found);
        }
        // A list beside a single map leads to the same keys.
        Kind::OneOf(kinds) => kinds.iter().take(2).for_each(|kind| match kind {
            Kind::List(Kind::Map(map), _) if map.name == "allowance" => {}
            kind => below(kind, path, found),
        }),
        _ => {}
    }
}

/// A value that may stand there.
fn sample(kind: &Kind) -> String {
    match kind {
        Kind::Text | Kind::Name | Kind::Feature | Kind::Dimension => "x".to_owned(),
        Kind::Flag => "true".to_owned(),
        Kind::Instant => "2026-12-01T00:00:00Z".to_owned(),
        Kind::Currency => "USD".to_owned(),
        Kind::Whole { least, .. } => least.to_string(),
        Kind::Amount | Kind::Positive => "1".to_owned(),
        Kind::Percent { .. } => "50%".to_owned(),
        Kind::Multiple => "3x".to_owned(),
        Kind::Length { .. } => "30m".to_owned(),
        Kind::Words(words) => words[0].to_owned(),
        Kind::Map(map) => written(map, &[], ""),
        Kind::Named(inner) => format!("{{x: {}}}", sample(inner)),
        Kind::List(inner, _) => format!("[{}]", sample(inner)),
        Kind::OneOf(kinds) => sample(&kinds[0]),
    }
}

/// A map with what it must have, and at the end of the way this value.
fn written(map: &'static Map, path: &[&'static str], value: &str) -> String {
    let mut keys: Vec<&str> = map.keys.iter().filter(|key| map.requires(key)).map(|key| key.name).collect();
    let first = path.first().copied();
    let aimed = first.filter(|key| map.one_of.contains(key));
    keys.extend(aimed.or(map.one_of.last().copied()).filter(|_| !map.one_of.is_empty()));
    keys.extend(first.filter(|key| !keys.contains(key)));
    // Keys that stand only together with others.
    let with = |key: &str| match (map.name, key) {
        ("a cap", "limit" | "runs" | "soft" | "match" | "every") => Some("every"),
        ("an alert", "at_least") => Some("expires_within"),
        ("an alert", "reaches" | "cap") => Some("cap"),
        ("pooling", "personal" | "spend") => Some("scope"),
        ("transfers", "every") => Some("up_to"),
        ("degraded", "every") => Some("credits"),
        ("degraded", "credits") | ("transfers", "up_to") => Some("every"),
        _ => None,
    };
    if map.name == "an alert" && first.is_some_and(|key| ["at_least", "cap"].contains(&key)) {
        keys.retain(|key| *key != "burn_above");
        keys.push(if first == Some("cap") { "reaches" } else { "expires_within" });
    }
    if map.name == "a cap" && first != Some("concurrent") {
        keys.retain(|key| *key != "concurrent");
        if first != Some("runs") {
            keys.push("limit");
        }
    }
    keys.extend(keys.clone().into_iter().filter_map(with));
    let mut seen = BTreeSet::new();
    keys.retain(|key| seen.insert(*key));
    let entries = keys.iter().map(|name| {
        let kind = &map.key(name).unwrap().kind;
        let value = match name {
            name if Some(*name) == first => descended(kind, &path[1..], value),
            &"scope" if map.name == "pooling" => "hybrid".to_owned(),
            _ => sample(kind),
        };
        format!("{name}: {value}")
    });
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn descended(kind: &Kind, path: &[&'static str], value: &str) -> String {
    if path.is_empty() {
        return value.to_owned();
    }
    match kind {
        Kind::Map(map) => written(map, path, value),
        Kind::Named(inner) => format!("{{x: {}}}", descended(inner, &path[1..], value)),
        Kind::List(inner, _) => format!("[{}]", descended(inner, &path[1..], value)),
        Kind::OneOf(kinds) => {
            let through = |kind: &&Kind| match kind {
                Kind::Map(map) => map.key(path[0]).is_some(),
                Kind::Named(_) | Kind::List(..) => path[0].is_empty(),
                _ => false,
            };
            descended(kinds.iter().find(through).unwrap(), path, value)
        }
        _ => panic!("{path:?} leads nowhere"),
    }
}

/// The errors of writing at a path, with what would help.
fn said(source: &str) -> Vec<(String, String)> {
    let report = check(source);
    let errors = report.findings.iter().filter(|finding| finding.severity == Severity::Error);
    errors.map(|finding| (finding.problem.clone(), finding.help.clone())).collect()
}

fn all_keys() -> Vec<(Path, &'static Key)> {
    let mut found = Vec::new();
    keys(&DOCUMENT, &Vec::new(), &mut found);
    assert!(found.len() > 120, "{}", found.len());
    found
}

/// Whether what is wrong is wrong about the writing of one value, and not about names that lead nowhere.
fn of_writing(problem: &str) -> bool {
    [
        "is not ",
        "not a",
        "is negative",
        "more than",
        "no time",
        "shorter",
        "depends",
        "is longer",
        "is missing",
        "unknown key",
        "exactly one",
        "this is",
    ]
    .iter()
    .any(|part| problem.contains(part))
        && !problem.starts_with("there is no")
}

#[test]
fn what_the_shape_allows_is_read() {
    for (path, key) in all_keys() {
        for value in allowed(&key.kind) {
            let source = written(&DOCUMENT, &path, &value);
            let wrong = said(&source).into_iter().filter(|(problem, _)| of_writing(problem));
            // What must stand beside it is not the question.
            let wrong: Vec<_> =
                wrong.filter(|(problem, _)| *problem != "the key `emergency` is missing").collect();
            assert!(wrong.is_empty(), "{path:?}: {value}: {wrong:?}\n{source}");
        }
    }
}

/// Every kind of value that the shape allows.
fn allowed(kind: &Kind) -> Vec<String> {
    match kind {
        Kind::Words(words) => words.iter().map(|&word| word.to_owned()).collect(),
        Kind::OneOf(kinds) => kinds.iter().flat_map(allowed).collect(),
        Kind::Percent { bounded: false } => vec!["50%".to_owned(), "150%".to_owned()],
        Kind::Amount => vec!["1".to_owned(), "'1'".to_owned(), "0".to_owned()],
        Kind::Length { exact: false, .. } => vec!["30m".to_owned(), "1mo".to_owned()],
        Kind::Length { zero: true, .. } => vec!["30m".to_owned(), "0s".to_owned()],
        Kind::Whole { least, most } => vec![least.to_string(), most.to_string()],
        other => vec![sample(other)],
    }
}

#[test]
fn what_the_shape_does_not_allow_is_refused() {
    for (path, key) in all_keys() {
        for value in refused(&key.kind) {
            // What is said of trading is said of its word.
            let source = written(&DOCUMENT, &path, &value);
            assert!(!said(&source).is_empty(), "{path:?}: {value} is accepted\n{source}");
        }
    }
}

/// Values that the kind does not allow.
fn refused(kind: &Kind) -> Vec<String> {
    let one = |text: &str| vec![text.to_owned()];
    match kind {
        Kind::Text | Kind::Name | Kind::Currency | Kind::Instant | Kind::Words(_) => one("[[]]"),
        Kind::Flag | Kind::Multiple => vec!["'yes'".to_owned(), "3".to_owned()],
        Kind::Amount | Kind::Positive => vec!["-1".to_owned(), "soon".to_owned(), "1e3".to_owned()],
        Kind::Percent { bounded: true } => vec!["101%".to_owned(), "50".to_owned(), "-1%".to_owned()],
        Kind::Percent { bounded: false } => vec!["50".to_owned(), "-1%".to_owned()],
        Kind::Length { exact, zero } => {
            let mut refused = vec!["30".to_owned(), "-1m".to_owned()];
            refused.extend(exact.then(|| "1mo".to_owned()));
            refused.extend((!zero).then(|| "0s".to_owned()));
            refused
        }
        Kind::Whole { least, most } => {
            let mut refused = vec!["1.5".to_owned(), (u64::from(*most) + 1).to_string()];
            refused.extend(least.checked_sub(1).map(|less| less.to_string()));
            refused
        }
        Kind::Map(map) if map.others.is_none() => vec!["{zzz: 1}".to_owned(), "x".to_owned()],
        Kind::List(..) => one("x"),
        Kind::Named(_) | Kind::Map(_) => one("[x]"),
        Kind::OneOf(_) => one("[[]]"),
        Kind::Feature | Kind::Dimension => Vec::new(),
    }
}

/// The reader lists the words that it knows in what would help.
#[test]
fn the_words_of_the_shape_are_those_of_the_reader() {
    let mut compared = 0;
    for (path, key) in all_keys() {
        let words: BTreeSet<&str> = words(&key.kind).collect();
        if words.is_empty() || key.name == "trading" {
            continue;
        }
        let source = written(&DOCUMENT, &path, "zzzzzzzz");
        let help = said(&source).into_iter().find(|(problem, _)| problem.contains("zzzzzzzz"));
        let (problem, help) = help.unwrap_or_else(|| panic!("{path:?} takes any word\n{source}"));
        if !help.contains("one of") {
            // A number, too: the word alone is not the whole of it.
            assert!(matches!(key.kind, Kind::OneOf(_)), "{path:?}: {problem}: {help}");
            continue;
        }
        let known = help.split(", or ").next().unwrap_or_default();
        let known: BTreeSet<&str> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, words, "{path:?}");
        compared += 1;
    }
    assert!(compared > 25, "{compared}");
}

fn words(kind: &Kind) -> Box<dyn Iterator<Item = &'static str>> {
    match kind {
        Kind::Words(words) => Box::new(words.iter().copied()),
        Kind::OneOf(kinds) => {
            Box::new(kinds.iter().filter(|kind| matches!(kind, Kind::Words(_))).flat_map(words))
        }
        _ => Box::new(std::iter::empty()),
    }
}

#[test]
fn a_required_key_is_missed_and_no_other() {
    for (path, key) in all_keys() {
        let Some(map) = map_at(&path) else { continue };
        let rest: Vec<_> =
            map.keys.iter().filter(|other| map.requires(other) && other.name != key.name).collect();
        let entries: Vec<String> =
            rest.iter().map(|key| format!("{}: {}", key.name, sample(&key.kind))).collect();
        let source = match path.len() {
            1 => format!("{{{}}}", entries.join(", ")),
            _ => written(&DOCUMENT, &path[..path.len() - 1], &format!("{{{}}}", entries.join(", "))),
        };
        let missing = format!("the key `{}` is missing", key.name);
        let missed = said(&source).iter().any(|(problem, _)| {
            *problem == missing || (key.name == "pack" && problem == "`top_up` names no pack")
        });
        // Some stand only beside others: a cap's window, a limit's period.
        let beside = ["every", "cap", "emergency"].contains(&key.name);
        assert!(missed == map.requires(key) || beside, "{path:?}: missed: {missed}\n{source}");
    }
}

fn map_at(path: &[&'static str]) -> Option<&'static Map> {
    let mut map = &DOCUMENT;
    for step in &path[..path.len() - 1] {
        if step.is_empty() {
            continue;
        }
        map = inner(&map.key(step)?.kind)?;
    }
    Some(map)
}

fn inner(kind: &Kind) -> Option<&'static Map> {
    match kind {
        Kind::Map(map) => Some(map),
        Kind::Named(kind) | Kind::List(kind, _) => inner(kind),
        Kind::OneOf(kinds) => kinds.iter().find_map(inner),
        _ => None,
    }
}

#[test]
fn the_whole_language_is_in_the_shape() {
    for map in [&DOCUMENT] {
        for key in map.keys {
            assert!(key.says.ends_with('.'), "{}", key.name);
        }
    }
    for (path, key) in all_keys() {
        assert!(key.says.ends_with('.'), "{path:?}");
    }
}
