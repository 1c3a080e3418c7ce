//! What may stand at a key.

use crate::playbook::finding::Choice;

/// A map whose keys are all known.
#[derive(Debug)]
pub struct Map {
    /// What it is called in the reference.
    pub name: &'static str,
    /// In a sentence.
    pub says: &'static str,
    pub keys: &'static [Key],
    /// Keys of which exactly one stands.
    pub one_of: &'static [&'static str],
    /// What may stand at keys of the author's own; `None`: there are none.
    pub others: Option<&'static Kind>,
}

#[derive(Clone, Copy, Debug)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    pub required: bool,
    /// What holds where it is left out; empty: nothing.
    pub default: &'static str,
    /// The design choice that it belongs to.
    pub choice: Option<Choice>,
    /// What it does, in a sentence or two.
    pub says: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    Text,
    /// At most 128 bytes without control characters.
    Name,
    Flag,
    /// RFC 3339, with its zone.
    Instant,
    Currency,
    Whole {
        least: u32,
        most: u32,
    },
    /// Credits, money or a factor: zero or more.
    Amount,
    /// An amount above zero.
    Positive,
    /// `15%`; at most all of it, if bounded.
    Percent {
        bounded: bool,
    },
    /// `3x`
    Multiple,
    /// `14d`; months and years only where a calendar counts, zero only where it means something.
    Length {
        exact: bool,
        zero: bool,
    },
    Words(&'static [&'static str]),
    Map(&'static Map),
    /// A map from names of the author's own.
    Named(&'static Kind),
    List(&'static Kind, usize),
    OneOf(&'static [Kind]),
    /// Served as it is written.
    Feature,
    /// The value of a dimension.
    Dimension,
}

/// Credits, or a percentage of what the key says.
pub const PORTION: Kind = Kind::OneOf(&[Kind::Amount, Kind::Percent { bounded: true }]);

/// The same, where more than all of it makes sense.
pub const PORTION_BEYOND: Kind = Kind::OneOf(&[Kind::Amount, Kind::Percent { bounded: false }]);

pub const LENGTH: Kind = Kind::Length { exact: false, zero: false };

pub const PERIOD: Kind = Kind::OneOf(&[Kind::Words(&["day", "week", "month", "quarter", "year"]), LENGTH]);

pub const WINDOW: Kind = Kind::OneOf(&[Kind::Words(&["minute", "hour", "day", "week", "month"]), LENGTH]);

/// Whatever repeats.
pub const TIMES: Kind =
    Kind::OneOf(&[Kind::Words(&["minute", "hour", "day", "week", "month", "quarter", "year"]), LENGTH]);

pub const LANDING: Kind = Kind::Words(&["account", "personal"]);

impl Map {
    pub const fn new(name: &'static str, says: &'static str, keys: &'static [Key]) -> Self {
        Self { name, says, keys, one_of: &[], others: None }
    }

    pub const fn one_of(mut self, keys: &'static [&'static str]) -> Self {
        self.one_of = keys;
        self
    }

    pub const fn others(mut self, kind: &'static Kind) -> Self {
        self.others = Some(kind);
        self
    }

    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// Whether the key must stand; where others of the author's own may, none must.
    pub fn requires(&self, key: &Key) -> bool {
        key.required && self.others.is_none()
    }

    pub fn names(&self) -> impl Iterator<Item = &'static str> + Clone {
        self.keys.iter().map(|key| key.name)
    }
}

impl Key {
    pub const fn new(name: &'static str, kind: Kind, says: &'static str) -> Self {
        Self { name, kind, required: false, default: "", choice: None, says }
    }

    pub const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    pub const fn of(mut self, choice: u8) -> Self {
        self.choice = Some(Choice(choice));
        self
    }
}
