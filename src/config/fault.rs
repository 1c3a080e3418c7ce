//! What is wrong, where, and what would be right.

use std::fmt;

use super::source::{Given, Origin};
use super::value::without_password;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Key, variable or flag; empty where the file itself is at fault.
    pub key: String,
    pub value: Option<String>,
    /// Such as `bursar.toml:3`.
    pub origin: String,
    /// What is wrong, then what would be right.
    pub what: String,
}

/// Everything that is wrong with the configuration, at once. Never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

impl Fault {
    pub(super) fn of_value(key: &str, given: &Given, what: String) -> Self {
        Self {
            key: key.to_owned(),
            value: Some(without_password(&given.text)),
            origin: given.origin.to_string(),
            what,
        }
    }

    pub(super) fn of_key(key: &str, origin: &Origin, what: String) -> Self {
        Self { key: key.to_owned(), value: None, origin: origin.to_string(), what }
    }

    pub(super) fn of_file(name: &str, line: Option<usize>, what: String) -> Self {
        let origin = line.map_or_else(|| name.to_owned(), |line| format!("{name}:{line}"));
        Self { key: String::new(), value: None, origin, what }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl Faults {
    /// `None` where nothing is wrong.
    pub(super) fn of(faults: Vec<Fault>) -> Option<Self> {
        (!faults.is_empty()).then_some(Self(faults))
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Fault> {
        self.0.iter()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.value, self.key.as_str()) {
            (_, "") => write!(f, "{}: {}", self.origin, self.what),
            (Some(value), key) => write!(f, "`{key}` = `{value}` ({}): {}", self.origin, self.what),
            (None, key) => write!(f, "`{key}` ({}): {}", self.origin, self.what),
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration is not right")?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for Faults {}

/// How far a misspelt name may be from the one that was meant.
const DISTANCE_MAX: usize = 2;

/// The known name that an unknown one is nearest to, if it is near at all.
pub(super) fn nearest<'a>(unknown: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::osa_distance(unknown, name), name))
        .filter(|(distance, _)| *distance <= DISTANCE_MAX)
        .min()
        .map(|(_, name)| name)
}
