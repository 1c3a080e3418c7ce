//! Boolean and static entitlements: served as they are written.

use std::collections::BTreeMap;

use crate::playbook::finding::{Findings, shown};
use crate::playbook::meaning::Feature;
use crate::playbook::read::Cursor;
use crate::playbook::scalar::truth;

/// The most features of a plan, and the most items of one: they are served in one answer.
pub const FEATURES_MAX: usize = 1_000;

pub fn read(cursor: &Cursor<'_>, f: &mut Findings) -> BTreeMap<String, Feature> {
    if !cursor.is_map() {
        cursor.wrong_kind(f, "a map of features such as `{sso: true}`");
        return BTreeMap::new();
    }
    match feature(cursor, f) {
        Some(Feature::Map(features)) => features,
        _ => BTreeMap::new(),
    }
}

fn feature(cursor: &Cursor<'_>, f: &mut Findings) -> Option<Feature> {
    if cursor.is_list() {
        let items = cursor.items(f, FEATURES_MAX);
        return Some(Feature::List(items.iter().filter_map(|item| feature(item, f)).collect()));
    }
    if cursor.is_map() {
        let entries = cursor.named(f, FEATURES_MAX);
        let entries = entries
            .into_iter()
            .filter_map(|(name, value)| feature(&value, f).map(|value| (name.value.to_string(), value)));
        return Some(Feature::Map(entries.collect()));
    }
    let Some((text, plain)) = cursor.raw() else {
        f.error(cursor.place(), "this feature has no value", "write a value, or leave it out");
        return None;
    };
    if let Some(flag) = truth(cursor.raw()) {
        return Some(Feature::Bool(flag));
    }
    if !plain || !looks_numeric(text) {
        return Some(Feature::Text(text.to_owned()));
    }
    if is_number(text) {
        return Some(Feature::Number(text.to_owned()));
    }
    // YAML knows more ways to write numbers, which not every client of the API could read.
    let problem = format!("`{}` is neither plainly a number nor plainly text", shown(text));
    f.error(cursor.place(), problem, "write a decimal number such as `25`, or quote it");
    None
}

/// Whether YAML 1.2 would take it for a number.
fn looks_numeric(text: &str) -> bool {
    let digits = text.trim_start_matches(['+', '-']);
    let special = matches!(digits.to_ascii_lowercase().as_str(), ".inf" | ".nan");
    let hexadecimal = digits
        .strip_prefix("0x")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_hexdigit()));
    let octal = digits
        .strip_prefix("0o")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| (b'0'..=b'7').contains(&b)));
    special || hexadecimal || octal || is_float(digits)
}

/// Digits with at most one point and perhaps an exponent.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.trim_start_matches(['+', '-']))),
        None => (text, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    (digits(whole) || digits(fraction))
        && (whole.is_empty() || digits(whole))
        && (fraction.is_empty() || digits(fraction))
        && exponent.is_none_or(digits)
}

/// A decimal number as JSON writes it, without an exponent.
fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    all_digits(whole) && (whole == "0" || !whole.starts_with('0')) && fraction.is_none_or(all_digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::tree::documents;

    #[test]
    fn features_are_what_yaml_says_they_are() {
        let number = |text: &str| Some(Feature::Number(text.to_owned()));
        let text = |text: &str| Some(Feature::Text(text.to_owned()));
        for (source, want) in [
            ("true", Some(Feature::Bool(true))),
            ("\"true\"", text("true")),
            ("yes", text("yes")),
            ("25", number("25")),
            ("-0.50", number("-0.50")),
            ("\"25\"", text("25")),
            ("25GB", text("25GB")),
            ("1.2.3", text("1.2.3")),
            ("[a, 1]", Some(Feature::List(vec![text("a").unwrap(), number("1").unwrap()]))),
            ("0x1F", None),
            ("1e3", None),
            ("007", None),
            (".inf", None),
            ("~", None),
        ] {
            let (documents, _) = documents(source);
            let mut findings = Findings::default();
            assert_eq!(feature(&Cursor::top(&documents[0]), &mut findings), want, "{source}");
            assert_eq!(findings.refused() > 0, want.is_none(), "{source}");
        }
    }
}
