//! Reading a step's keys into calls.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::file;
use super::world::World;
use crate::credit::{PoolId, Subject};
use crate::engine::call::{Authorize, Commit, Progress};
use crate::engine::handle;
use crate::playbook::charge::{Quantities, RunResult};
use crate::playbook::overlay::Overlay;
use crate::playbook::tree::{Entry, Node};
use crate::types::{AccountId, Credits, Length, Name, Quantity, RequestId, ReservationId};

/// Keys of one operation.
pub struct Keys<'a>(pub &'a [Entry]);

/// A step that cannot be carried out: it is written wrong.
pub type Wrong = String;

impl<'a> Keys<'a> {
    pub fn of(node: &'a Node) -> Self {
        Self(file::map(node).unwrap_or_default())
    }

    pub fn node(&self, key: &str) -> Option<&'a Node> {
        file::get(self.0, key)
    }

    pub fn text(&self, key: &str) -> Option<&'a str> {
        self.node(key).and_then(file::text)
    }

    pub fn wanted(&self, key: &str) -> Result<&'a str, Wrong> {
        self.text(key).ok_or_else(|| format!("`{key}` is missing"))
    }

    pub fn read<T: FromStr>(&self, key: &str) -> Result<Option<T>, Wrong>
    where
        T::Err: std::fmt::Display,
    {
        self.text(key).map(|text| text.parse().map_err(|error| format!("`{key}`: {error}"))).transpose()
    }

    /// A text that is no amount is the caller's bad input, not a badly written step.
    pub fn credits(&self) -> Result<Option<Credits>, &'static str> {
        self.text("credits").map(|text| text.parse().map_err(|_| "INVALID_CREDITS")).transpose()
    }

    pub fn name(&self, key: &str) -> Result<Option<Name>, Wrong> {
        self.text(key).map(|text| Name::parse(text).map_err(|error| format!("`{key}` {error}"))).transpose()
    }

    pub fn pool(&self, key: &str) -> Result<PoolId, Wrong> {
        let text = self.wanted(key)?;
        PoolId::parse(text).ok_or_else(|| format!("`{key}`: `{text}` is not a pool"))
    }

    pub fn account(&self) -> Result<AccountId, Wrong> {
        AccountId::parse(self.wanted("account")?).map_err(|error| format!("`account` {error}"))
    }

    pub fn flag(&self, key: &str) -> Result<bool, Wrong> {
        match self.text(key) {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(format!("`{key}`: `{other}` is neither true nor false")),
        }
    }

    pub fn request_id(&self) -> Result<Option<RequestId>, Wrong> {
        self.text("request_id")
            .map(|text| RequestId::parse(text).map_err(|error| format!("`request_id` {error}")))
            .transpose()
    }

    /// Microseconds.
    fn ttl(&self) -> Result<Option<i64>, Wrong> {
        Ok(self.read::<Length>("ttl")?.map(Length::approximate_micros))
    }

    /// `quantity` or `quantities`. A text that is no quantity is the caller's bad input, not a badly written step.
    pub fn quantities(&self) -> Result<Option<Quantities>, &'static str> {
        if let Some(node) = self.node("quantities") {
            return meters(node).map(Some);
        }
        self.text("quantity").map(|text| quantity(text).map(Quantities::Single)).transpose()
    }

    /// What an account has beside its plan: seats, add-ons, overrides.
    pub fn overlay(&self) -> Result<Overlay, Wrong> {
        let addons = self.node("addons").map(file::list).unwrap_or_default();
        let addons = addons.iter().map(|item| {
            let text = file::text(item).unwrap_or_default();
            Name::parse(text).map_err(|error| format!("`addons` {error}"))
        });
        Ok(Overlay {
            addons: addons.collect::<Result<_, _>>()?,
            overrides: self.node("overrides").map(Node::in_one_line),
            seats: self.read("seats")?,
            ..Overlay::default()
        })
    }

    fn ahead(&self) -> Result<Option<Quantities>, &'static str> {
        match self.node("ahead") {
            None => Ok(None),
            Some(node) if file::map(node).is_some() => meters(node).map(Some),
            Some(node) => quantity(file::text(node).unwrap_or_default()).map(|q| Some(Quantities::Single(q))),
        }
    }
}

/// The name of the error for a quantity that is none.
const INVALID_QUANTITY: &str = "INVALID_QUANTITY";

fn quantity(text: &str) -> Result<Quantity, &'static str> {
    let quantity: Quantity = text.parse().map_err(|_| INVALID_QUANTITY)?;
    if quantity.is_negative() { Err(INVALID_QUANTITY) } else { Ok(quantity) }
}

fn meters(node: &Node) -> Result<Quantities, &'static str> {
    let mut meters = BTreeMap::new();
    for entry in file::map(node).unwrap_or_default() {
        let name = Name::parse(&entry.key).map_err(|_| INVALID_QUANTITY)?;
        meters.insert(name, quantity(file::text(&entry.value).unwrap_or_default())?);
    }
    Ok(Quantities::by_meter(meters))
}

/// Why a step has no reply: it is badly written, or came to an error, which it may expect.
#[derive(Clone, Debug)]
pub enum Unread {
    Wrong(Wrong),
    /// By its reason, with what it says in words where it says anything.
    Error {
        reason: String,
        words: String,
    },
}

impl Unread {
    pub fn of(reason: &str) -> Self {
        Self::said(reason, &"")
    }

    pub fn said(reason: &str, words: &dyn std::fmt::Display) -> Self {
        Self::Error { reason: reason.to_owned(), words: words.to_string() }
    }
}

impl From<Wrong> for Unread {
    fn from(wrong: Wrong) -> Self {
        Self::Wrong(wrong)
    }
}

impl From<&'static str> for Unread {
    fn from(error: &'static str) -> Self {
        Self::of(error)
    }
}

impl World {
    pub fn read_authorize(&mut self, keys: &Keys<'_>, operation: &str) -> Result<Authorize, Unread> {
        let account = keys.account()?;
        let mut dimensions = BTreeMap::new();
        for entry in keys.node("dimensions").and_then(file::map).unwrap_or_default() {
            let value = file::text(&entry.value).unwrap_or_default();
            let parse =
                |text| Name::parse(text).map_err(|error| format!("`dimensions.{}` {error}", entry.key));
            dimensions.insert(parse(&entry.key)?, parse(value)?);
        }
        let id = match keys.request_id()? {
            Some(request) => {
                handle::reservation_id(&super::world::key(&account), &account, operation, &request)
            }
            None => self.draw_id(),
        };
        Ok(Authorize {
            id,
            action: keys.name("action")?.ok_or_else(|| "`action` is missing".to_owned())?,
            subject: Subject {
                team: keys.name("team")?,
                user: keys.name("user")?,
                agent: keys.name("agent")?,
            },
            quantities: keys.quantities()?,
            dimensions,
            run_id: keys.name("run_id")?,
            parent: self.named(keys, "parent")?,
            retry_of: self.named(keys, "retry_of")?,
            ttl: keys.ttl()?,
            validate_only: keys.flag("validate_only")?,
        })
    }

    pub fn read_commit(&self, keys: &Keys<'_>, id: ReservationId) -> Result<Commit, Unread> {
        let result = match keys.text("result") {
            None => RunResult::Succeeded,
            Some(word) => {
                RunResult::from_word(word).ok_or_else(|| format!("`result`: no result is called `{word}`"))?
            }
        };
        let completion = match keys.text("completion") {
            None => None,
            Some(text) => Some(quantity(text).map_err(|_| Unread::of("INVALID_COMPLETION"))?),
        };
        Ok(Commit {
            quantities: keys.quantities()?,
            completion,
            verified: keys.flag("verified")?,
            request_id: keys.request_id()?,
            ..Commit::new(id, result)
        })
    }

    pub fn read_progress(&self, keys: &Keys<'_>, id: ReservationId) -> Result<Progress, Unread> {
        Ok(Progress { id, quantities: keys.quantities()?, ahead: keys.ahead()?, ttl: keys.ttl()? })
    }

    fn named(&self, keys: &Keys<'_>, key: &str) -> Result<Option<ReservationId>, Wrong> {
        keys.text(key)
            .map(|name| {
                self.runs
                    .get(name)
                    .map(|run| run.id)
                    .ok_or_else(|| format!("`{key}`: no step is named `{name}`"))
            })
            .transpose()
    }
}
