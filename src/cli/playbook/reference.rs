//! The reference of the language for people, from the same shape that the reader reads: `docs/playbook.md` holds it
//! between two marks.

use std::fmt::Write;

use super::schema::{Maps, slug};
use crate::playbook::caution::Caution;
use crate::playbook::shape::whole::DOCUMENT;
use crate::playbook::shape::{Key, Kind, Map};

/// Every key, map by map, and every warning.
pub fn reference() -> String {
    let mut maps = Maps::default();
    maps.of(&DOCUMENT);
    let mut text = String::new();
    for map in maps.found {
        section(map, &mut text);
    }
    warnings(&mut text);
    text
}

fn section(map: &Map, text: &mut String) {
    let _ = write!(text, "### {}\n\n{}", title(map.name), map.says);
    if !map.one_of.is_empty() {
        let keys: Vec<_> = map.one_of.iter().map(|key| format!("`{key}`")).collect();
        let _ = write!(text, " Exactly one of {} stands.", keys.join(", "));
    }
    text.push_str(
        "\n\n| key | what may stand there | default | what it does | choice |\n|---|---|---|---|---|\n",
    );
    for key in map.keys {
        row(map, key, text);
    }
    if map.others.is_some() {
        text.push_str("| any other | a text, number or flag | | A dimension: a run must have it with this value. | C4 |\n");
    }
    text.push('\n');
}

fn row(map: &Map, key: &Key, text: &mut String) {
    let default = if map.requires(key) { "**must stand**" } else { key.default };
    let choice = key.choice.map_or_else(String::new, |choice| choice.to_string());
    let _ = writeln!(text, "| `{}` | {} | {default} | {} | {choice} |", key.name, what(&key.kind), key.says);
}

fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn what(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Name => "a name".to_owned(),
        Kind::Flag => "`true`, `false`".to_owned(),
        Kind::Instant => "an instant, `2026-12-01T00:00:00Z`".to_owned(),
        Kind::Currency => "three capital letters".to_owned(),
        Kind::Whole { least, most } if least == most => format!("`{least}`"),
        Kind::Whole { least, most: u32::MAX } => format!("a whole number from {least}"),
        Kind::Whole { least, most } => format!("a whole number from {least} to {most}"),
        Kind::Amount => "an amount".to_owned(),
        Kind::Positive => "an amount above 0".to_owned(),
        Kind::Percent { bounded: true } => "a percentage up to `100%`".to_owned(),
        Kind::Percent { bounded: false } => "a percentage".to_owned(),
        Kind::Multiple => "a multiple, `3x`".to_owned(),
        Kind::Length { exact: true, .. } => "a length of time in `s`, `m`, `h`, `d`".to_owned(),
        Kind::Length { exact: false, .. } => "a length of time".to_owned(),
        Kind::Words(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::Map(map) => link(map),
        Kind::Named(inner) => format!("a map from names to {}", what(inner)),
        Kind::List(inner, _) => format!("a list of {}", what(inner)),
        Kind::OneOf(kinds) => kinds.iter().map(what).collect::<Vec<_>>().join("; or "),
        Kind::Feature | Kind::Dimension => "any value".to_owned(),
    }
}

fn link(map: &Map) -> String {
    format!("[{}](#{})", map.name, slug(map.name).to_lowercase())
}

fn warnings(text: &mut String) {
    text.push_str("### Warnings\n\n| choice | what | why | what to write instead |\n|---|---|---|---|\n");
    for caution in Caution::ALL {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            caution.choice(),
            caution.what(),
            caution.why(),
            caution.help()
        );
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_reference_is_the_code_s() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/playbook.md");
        let committed = std::fs::read_to_string(path).unwrap();
        let (_, rest) = committed.split_once("<!-- reference: begin -->\n\n").unwrap();
        let (between, _) = rest.split_once("<!-- reference: end -->").unwrap();
        assert!(
            between == super::reference(),
            "put what `bursar playbook reference` prints between the two marks of docs/playbook.md"
        );
    }
}
