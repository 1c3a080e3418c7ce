//! The TOML file: one value per key, no tables.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, nearest};
use super::setting::Process;
use super::source::{Given, Origin, SourceFile};

/// The file's values by key. What is not TOML, not a key of the process or not one value is a fault with its line.
pub(super) fn read<P: Process>(file: &SourceFile, faults: &mut Vec<Fault>) -> BTreeMap<&'static str, Given> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    for error in &errors {
        let line = error.span().map(|span| line_at(&file.text, span.start));
        faults.push(Fault::of_file(&file.name, line, format!("is not TOML: {}", error.message())));
    }
    let mut values = BTreeMap::new();
    for (key, value) in table.get_ref() {
        let origin = Origin::File { name: file.name.clone(), line: line_at(&file.text, key.span().start) };
        let Some(setting) = P::SETTINGS.iter().find(|s| s.key == key.get_ref()) else {
            faults.push(Fault::of_key(key.get_ref(), &origin, unknown::<P>(key.get_ref())));
            continue;
        };
        match text(value.get_ref()) {
            Ok(text) => {
                values.insert(setting.key, Given { text, origin });
            }
            // What could not be read at all was reported above.
            Err(found) if errors.is_empty() => {
                faults.push(Fault::of_key(
                    setting.key,
                    &origin,
                    format!("is {found}; it would be one value"),
                ));
            }
            Err(_) => {}
        }
    }
    values
}

fn unknown<P: Process>(key: &str) -> String {
    let is = format!("is no option of `bursar {}`", P::NAME);
    match nearest(key, P::SETTINGS.iter().map(|s| s.key)) {
        Some(meant) => format!("{is}; the nearest is `{meant}`"),
        None => format!("{is}; `bursar config show {}` lists them", P::NAME),
    }
}

/// The value's text, or what it is instead of one value.
fn text(value: &DeValue<'_>) -> Result<String, &'static str> {
    match value {
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Ok(yes.to_string()),
        DeValue::Datetime(_) => Err("a date"),
        DeValue::Array(_) => Err("a list"),
        DeValue::Table(_) => Err("a table"),
    }
}

/// Lines count from 1.
fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}
