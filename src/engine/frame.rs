//! What a decision looks at: a book, the account's contract, an instant; and what is known of the world outside the book.

use std::collections::BTreeMap;

use super::contract::{Contract, Playbooks};
use crate::credit::cap::{Need, WindowBase};
use crate::credit::draw::{Emergency, Limits};
use crate::credit::{Book, CapKey};
use crate::playbook::draw_order::Species;
use crate::types::Credits;
use crate::types::Timestamp;

#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    pub book: &'a Book,
    pub contract: &'a Contract,
    pub playbooks: &'a Playbooks,
    pub at: Timestamp,
    pub beyond: Beyond<'a>,
}

/// What is known beyond the book.
#[derive(Clone, Copy, Debug)]
pub enum Beyond<'a> {
    /// The book is the whole account: what it lacks, nobody has.
    Nothing,
    /// The book is a leased slice; the ledger may have more, and this is what it had left when last heard.
    Ledger(&'a Rest),
    /// The ledger has just been asked: what the book lacks now, nobody can give.
    Asked(&'a Rest),
    /// The ledger does not answer.
    Unreachable(&'a Rest, Cut),
}

/// A sidecar that is cut off from the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// When that was noticed first.
    pub since: Timestamp,
    /// When the lease in hand ends; `None` where there is none.
    pub lease_ends: Option<Timestamp>,
}

/// What the ledger had left, unleased, when it last answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Credits that count as balance.
    pub balance: Credits,
    /// Overage and other last resorts but `basic`.
    pub last_resort: Credits,
    pub caps: BTreeMap<CapKey, Credits>,
}

impl<'a> Frame<'a> {
    pub fn limits(&self, basic: bool) -> Limits {
        let overage = self.contract.overage_limit.filter(|_| matches!(self.beyond, Beyond::Nothing));
        Limits {
            at: self.at,
            basic,
            overage: overage.map(|limit| limit.saturating_sub(self.overage_used())),
            emergency: Emergency::Never,
        }
    }

    pub fn windows(&self, at: Timestamp) -> WindowBase<'a> {
        WindowBase { at, origin: self.contract.origin, zone: &self.contract.zone }
    }

    /// Whether more might be had by asking.
    pub fn may_ask(&self) -> bool {
        matches!(self.beyond, Beyond::Ledger(_))
    }

    /// Whether the ledger has just said what it has.
    pub fn asked(&self) -> bool {
        matches!(self.beyond, Beyond::Asked(_))
    }

    pub fn unreachable(&self) -> bool {
        self.cut().is_some()
    }

    /// Where the ledger does not answer: since when, and what is left.
    pub fn cut(&self) -> Option<Cut> {
        match self.beyond {
            Beyond::Unreachable(_, cut) => Some(cut),
            _ => None,
        }
    }

    pub fn rest(&self) -> Option<&'a Rest> {
        match self.beyond {
            Beyond::Nothing => None,
            Beyond::Ledger(rest) | Beyond::Asked(rest) | Beyond::Unreachable(rest, _) => Some(rest),
        }
    }

    /// Room for one need, in the book; `None` = this counter is not known here.
    pub fn room(&self, need: &Need) -> Option<Credits> {
        match (self.book.counters.get(&need.key), self.beyond) {
            (Some(counter), Beyond::Nothing) => Some(need.limit.saturating_sub(counter.used())),
            (Some(counter), _) => Some(counter.room()),
            (None, Beyond::Nothing) => Some(need.limit),
            // A root's own counter is born with the run.
            (None, _) if matches!(need.key.scope, crate::credit::ScopeKey::Root(_)) => Some(need.limit),
            (None, _) => None,
        }
    }

    /// What the ledger had left of this counter.
    pub fn rest_of(&self, key: &CapKey) -> Credits {
        self.rest().and_then(|rest| rest.caps.get(key)).copied().unwrap_or_default()
    }

    fn overage_used(&self) -> Credits {
        self.book
            .blocks()
            .filter(|block| block.species == Species::Overage && block.pays(self.at))
            .map(|block| block.held + block.spent)
            .sum()
    }
}
