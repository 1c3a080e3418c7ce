//! Sources → a checked configuration.

use std::collections::BTreeMap;
use std::fmt;

use super::fault::{Fault, Faults};
use super::setting::Process;
use super::source::{Given, Origin, Sources};
use super::value::without_password;
use super::{environment, file};

/// A configuration that holds, and where each of its values came from.
#[derive(Clone, Debug)]
pub struct Checked<P> {
    pub config: P,
    /// In the order of the table.
    pub shown: Vec<Shown>,
    /// Variables that begin with `BURSAR_` and that nothing reads.
    pub unused: Vec<String>,
}

/// One option, as `config show` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    pub key: &'static str,
    /// In the words in which it was given.
    pub value: String,
    pub origin: Origin,
    pub env: String,
    pub flag: String,
    pub default: &'static str,
    pub doc: &'static str,
}

/// The values of one process, strongest source first, while they are read.
#[derive(Debug)]
pub struct Values {
    given: BTreeMap<&'static str, Given>,
    faults: Vec<Fault>,
}

/// Errors: everything that is wrong, in all sources together.
pub fn load<P: Process>(sources: &Sources) -> Result<Checked<P>, Faults> {
    let mut faults = Vec::new();
    let mut given: BTreeMap<_, _> = P::SETTINGS
        .iter()
        .map(|s| (s.key, Given { text: s.default.to_owned(), origin: Origin::Default }))
        .collect();
    if let Some(found) = &sources.file {
        given.extend(file::read::<P>(found, &mut faults));
    }
    let (from_env, unused) = environment::read::<P>(&sources.env, &mut faults);
    given.extend(from_env);
    for setting in P::SETTINGS {
        if let Some(text) = sources.flags.get(setting.key) {
            given.insert(setting.key, Given { text: text.clone(), origin: Origin::Flag(setting.flag()) });
        }
    }

    let mut values = Values { given, faults };
    let config = P::read(&mut values);
    if let Some(config) = &config {
        for (key, what) in config.contradictions() {
            values.blame(key, what);
        }
    }
    let shown = values.shown::<P>();
    match (config, Faults::of(values.faults)) {
        (Some(config), None) => Ok(Checked { config, shown, unused }),
        (_, Some(faults)) => Err(faults),
        (None, None) => Err(Fault::of_file(P::NAME, None, "could not be read".to_owned()).into()),
    }
}

impl Values {
    /// Reads one option; a fault is kept, and every further option is read all the same.
    pub fn read<T, E: fmt::Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let given = self.given.get(key)?;
        match parse(&given.text) {
            Ok(value) => Some(value),
            Err(what) => {
                self.faults.push(Fault::of_value(key, given, what.to_string()));
                None
            }
        }
    }

    fn blame(&mut self, key: &'static str, what: String) {
        if let Some(given) = self.given.get(key) {
            self.faults.push(Fault::of_value(key, given, what));
        }
    }

    fn shown<P: Process>(&self) -> Vec<Shown> {
        let shown = |setting: &'static super::Setting| {
            let given = self.given.get(setting.key)?;
            Some(Shown {
                key: setting.key,
                value: without_password(&given.text),
                origin: given.origin.clone(),
                env: setting.env(),
                flag: format!("--{}", setting.flag()),
                default: setting.default,
                doc: setting.doc,
            })
        };
        P::SETTINGS.iter().filter_map(shown).collect()
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
