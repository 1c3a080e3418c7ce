//! Reading the tree: each list and map is what it must be, or an error at its place; reading goes on after errors.

use std::collections::BTreeSet;

use super::finding::{At, Choice, Findings, Place, shown, why};
use super::nearest::nearest;
use super::scalar::NAME_HELP;
use super::shape::Map;
use super::tree::{Entry, Kind, Node};
use crate::types::Name;

/// A node of the tree and how it is reached.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    node: &'a Node,
    place: Place,
}

/// A map whose keys are all known.
#[derive(Debug)]
pub struct Fields<'a> {
    entries: &'a [Entry],
    place: Place,
    /// The known keys that unknown ones here most likely mean.
    meant: Vec<&'static str>,
}

impl<'a> Cursor<'a> {
    pub fn top(node: &'a Node) -> Self {
        let place = Place { mark: node.mark, key: node.mark, ..Place::default() };
        Self { node, place }
    }

    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The same, as part of a design choice.
    pub fn of(mut self, choice: u8) -> Self {
        self.place.choice = Some(Choice(choice));
        self
    }

    pub fn is_map(&self) -> bool {
        matches!(self.node.kind, Kind::Map(_))
    }

    pub fn is_list(&self) -> bool {
        matches!(self.node.kind, Kind::List(_))
    }

    /// The scalar's text and whether it is unquoted; `None` for lists, maps and nothing.
    pub fn raw(&self) -> Option<(&'a str, bool)> {
        match &self.node.kind {
            Kind::Scalar { text, plain } if !self.node.is_null() => Some((text, *plain)),
            _ => None,
        }
    }

    pub fn at<T>(&self, value: T) -> At<T> {
        At { place: self.place.clone(), value }
    }

    pub fn wrong_kind(&self, f: &mut Findings, wanted: &str) {
        let problem = format!("this is {}, not {wanted}", self.node.describe());
        f.error(&self.place, problem, format!("write {wanted}"));
    }

    pub(super) fn refuse<T>(&self, f: &mut Findings, problem: String, help: impl Into<String>) -> Option<T> {
        f.error(&self.place, problem, help);
        None
    }

    pub(super) fn scalar(&self, f: &mut Findings, wanted: &str) -> Option<&'a str> {
        match self.raw() {
            Some((text, _)) => Some(text),
            None => {
                self.wrong_kind(f, wanted);
                None
            }
        }
    }

    /// The items of a list, at most `most`.
    pub fn items(&self, f: &mut Findings, most: usize) -> Vec<Self> {
        let Kind::List(nodes) = &self.node.kind else {
            let problem = format!("this is {}, not a list", self.node.describe());
            f.error(
                &self.place,
                problem,
                "begin each entry with `- ` on a line of its own, or put all in brackets",
            );
            return Vec::new();
        };
        self.bounded(f, nodes.len(), most);
        nodes.iter().take(most).enumerate().map(|(n, node)| self.item(node, n)).collect()
    }

    /// The items of a list, or the one value that stands in its place.
    pub fn items_or_one(&self, f: &mut Findings, most: usize) -> Vec<Self> {
        if self.is_list() { self.items(f, most) } else { vec![self.clone()] }
    }

    fn item(&self, node: &'a Node, n: usize) -> Self {
        let path = format!("{}[{n}]", self.place.path);
        Self { node, place: Place { mark: node.mark, key: node.mark, path, choice: self.place.choice } }
    }

    fn bounded(&self, f: &mut Findings, length: usize, most: usize) {
        if length > most {
            let problem = format!("there are {length} entries here, more than {most}");
            f.error_because(&self.place, problem, why::BOUNDS, format!("write at most {most}"));
        }
    }

    /// A map from names of the author's own choice, at most `most`.
    pub fn named(&self, f: &mut Findings, most: usize) -> Vec<(At<Name>, Self)> {
        let Kind::Map(entries) = &self.node.kind else {
            self.wrong_kind(f, "a map from names");
            return Vec::new();
        };
        self.bounded(f, entries.len(), most);
        let mut named = Vec::new();
        for entry in entries.iter().take(most) {
            let cursor = child(&self.place, entry);
            match Name::parse(&entry.key) {
                Ok(name) => {
                    let place = Place { mark: entry.mark, ..cursor.place.clone() };
                    named.push((At { place, value: name }, cursor));
                }
                Err(error) => {
                    let problem = format!("the name `{}` {error}", shown(&entry.key));
                    f.plain_error(&cursor.place, entry.mark, problem, why::NAME, NAME_HELP.to_owned());
                }
            }
        }
        named
    }

    /// A map with the keys of its shape only.
    pub fn fields(&self, f: &mut Findings, shape: &Map) -> Option<Fields<'a>> {
        let known = || shape.names();
        let (mut fields, others) = self.fields_and_others(f, shape)?;
        for other in others {
            let key = &other.key;
            let place = child(&self.place, other).place;
            let meant = nearest(key, known());
            fields.meant.extend(meant);
            let help = match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                // In a map between braces the comma of `5,000` begins a new key.
                None if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) => {
                    "numbers have no comma: write `5000`, not `5,000`".to_owned()
                }
                None => format!("the keys here are {}", listed(known())),
            };
            f.plain_error(&place, other.mark, format!("unknown key `{}`", shown(key)), why::UNKNOWN, help);
        }
        Some(fields)
    }

    /// A map with the keys of its shape, and what other keys it has.
    pub fn fields_and_others(&self, f: &mut Findings, shape: &Map) -> Option<(Fields<'a>, Vec<&'a Entry>)> {
        let Kind::Map(entries) = &self.node.kind else {
            self.wrong_kind(f, &format!("a map with the keys {}", listed(shape.names())));
            return None;
        };
        let others = entries.iter().filter(|entry| shape.key(&entry.key).is_none()).collect();
        Some((Fields { entries, place: self.place.clone(), meant: Vec::new() }, others))
    }

    /// All entries of a map, whatever their keys.
    pub fn entries(&self) -> Vec<(&'a str, Self)> {
        match &self.node.kind {
            Kind::Map(entries) => {
                entries.iter().map(|entry| (entry.key.as_str(), child(&self.place, entry))).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl<'a> Fields<'a> {
    pub fn place(&self) -> &Place {
        &self.place
    }

    pub fn get(&self, key: &str) -> Option<Cursor<'a>> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| child(&self.place, entry))
    }

    pub fn require(&self, f: &mut Findings, key: &str, such_as: &str) -> Option<Cursor<'a>> {
        let found = self.get(key);
        if found.is_none() && !self.is_meant(key) {
            let problem = format!("the key `{key}` is missing");
            let help = format!("add `{key}: {such_as}`");
            f.plain_error(&self.place, self.place.key, problem, why::MISSING, help);
        }
        found
    }

    /// Whether an unknown key here most likely means this one: it was refused as that, and is not missed as well.
    pub fn is_meant(&self, key: &str) -> bool {
        self.meant.contains(&key)
    }

    /// For keys of which exactly one must stand.
    pub fn present(&self, keys: &[&'static str]) -> Vec<&'static str> {
        keys.iter().copied().filter(|key| self.entries.iter().any(|entry| entry.key == *key)).collect()
    }
}

fn child<'a>(parent: &Place, entry: &'a Entry) -> Cursor<'a> {
    let key = shown(&entry.key);
    let path = if parent.path.is_empty() { key } else { format!("{}.{key}", parent.path) };
    let place = Place { mark: entry.value.mark, key: entry.mark, path, choice: parent.choice };
    // A key without a value has no place of its own that a reader could find.
    let place = if entry.value.is_null() { Place { mark: entry.mark, ..place } } else { place };
    Cursor { node: &entry.value, place }
}

pub(super) fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    words.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Names that stand in a list, and no name twice.
pub fn unique<'n>(names: impl Iterator<Item = &'n At<Name>>, what: &str, f: &mut Findings) {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name.value.as_str()) {
            let problem = format!("there are two {what} named `{}`", shown(name.value.as_str()));
            f.error_because(&name.place, problem, why::TWICE, "give each a name of its own");
        }
    }
}
