//! What a reply says, and whether it is what was expected. Maps match as subsets, lists whole and in order, numbers as
//! decimals; a number that the reply does not have is 0.

use std::collections::BTreeMap;
use std::fmt;

use rust_decimal::Decimal;

use super::file;
use crate::playbook::tree::{Kind, Node};
use crate::types::{Credits, Money, Timestamp};

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(Decimal),
    Text(String),
    Bool(bool),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

/// A reply: what an operation answered, by name.
pub type Reply = BTreeMap<String, Value>;

/// The first difference between what was expected and what came.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    pub path: String,
    pub expected: String,
    pub got: String,
}

pub fn compare(expected: &Node, got: &Value) -> Result<(), Difference> {
    matches(expected, Some(got), "")
}

fn matches(expected: &Node, got: Option<&Value>, path: &str) -> Result<(), Difference> {
    let differs = || {
        Err(Difference {
            path: path.to_owned(),
            expected: shown(expected),
            got: got.map_or_else(|| "nothing".to_owned(), Value::to_string),
        })
    };
    match (&expected.kind, got) {
        (Kind::Scalar { text, .. }, Some(value)) => {
            if scalar(text, value) {
                Ok(())
            } else {
                differs()
            }
        }
        (Kind::Scalar { text, .. }, None) => match text.parse::<Decimal>() {
            Ok(number) if number.is_zero() => Ok(()),
            _ => differs(),
        },
        (Kind::List(items), Some(Value::List(values))) => {
            if items.len() != values.len() {
                return differs();
            }
            items.iter().zip(values).enumerate().try_for_each(|(index, (item, value))| {
                matches(item, Some(value), &format!("{path}[{index}]"))
            })
        }
        (Kind::Map(entries), Some(Value::Map(values))) => entries.iter().try_for_each(|entry| {
            let inner = if path.is_empty() { entry.key.clone() } else { format!("{path}.{}", entry.key) };
            matches(&entry.value, values.get(&entry.key), &inner)
        }),
        (Kind::Map(entries), None) => {
            entries.iter().try_for_each(|entry| matches(&entry.value, None, &format!("{path}.{}", entry.key)))
        }
        (Kind::List(items), None) if items.is_empty() => Ok(()),
        _ => differs(),
    }
}

fn scalar(text: &str, value: &Value) -> bool {
    match value {
        Value::Number(number) => text.parse::<Decimal>().is_ok_and(|expected| expected == *number),
        Value::Text(got) => {
            let instants = (text.parse::<Timestamp>(), got.parse::<Timestamp>());
            got == text || matches!(instants, (Ok(a), Ok(b)) if a == b)
        }
        Value::Bool(got) => text == if *got { "true" } else { "false" },
        Value::List(_) | Value::Map(_) => false,
    }
}

fn shown(node: &Node) -> String {
    match &node.kind {
        Kind::Scalar { text, .. } => text.clone(),
        Kind::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Kind::Map(entries) => {
            let parts: Vec<_> = entries.iter().map(|e| format!("{}: {}", e.key, shown(&e.value))).collect();
            format!("{{{}}}", parts.join(", "))
        }
    }
}

/// What `expect` names as the error, if it names one.
pub fn expected_error(expect: Option<&Node>) -> Option<&str> {
    expect.and_then(file::map).and_then(|entries| file::get(entries, "error")).and_then(file::text)
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{}", number.normalize()),
            Self::Text(text) => f.write_str(text),
            Self::Bool(value) => write!(f, "{value}"),
            Self::List(values) => {
                let parts: Vec<_> = values.iter().map(Self::to_string).collect();
                write!(f, "[{}]", parts.join(", "))
            }
            Self::Map(values) => {
                let parts: Vec<_> = values.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                write!(f, "{{{}}}", parts.join(", "))
            }
        }
    }
}

impl From<Credits> for Value {
    fn from(amount: Credits) -> Self {
        Self::Number(amount.decimal())
    }
}

impl From<Money> for Value {
    fn from(amount: Money) -> Self {
        Self::Number(amount.decimal())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
