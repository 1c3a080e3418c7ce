//! What a decision looks at: a book, the account's contract, an instant; and what is known of the world outside the book.

use std::collections::{BTreeMap, BTreeSet};

use super::contract::{Contract, Playbooks};
use crate::credit::cap::{Need, WindowBase};
use crate::credit::draw::{Emergency, Limits};
use crate::credit::hold::Draw;
use crate::credit::path::{self, Path};
use crate::credit::{Book, CapKey, PoolId, Subject};
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
    /// What the plan's top-up may still bring, where the book is the whole account.
    pub packs: Credits,
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
    /// Credits of the account's pool that count as balance.
    pub balance: Credits,
    /// Overage and other last resorts but `basic`.
    pub last_resort: Credits,
    /// The same as `balance` for the other pools that were asked about.
    pub pools: BTreeMap<PoolId, Credits>,
    /// Pools of which nobody but this slice has anything in this period: what comes after them may be drawn.
    pub dry: BTreeSet<PoolId>,
    pub caps: BTreeMap<CapKey, Credits>,
}

impl<'a> Frame<'a> {
    /// The pools that runs of this subject draw on.
    pub fn path(&self, subject: &Subject) -> Path {
        path::path(&self.contract.plan.pooling, subject)
    }

    pub fn limits<'p>(&self, basic: bool, path: &'p [PoolId], subject: &Subject) -> Limits<'p> {
        // A slice has what it was leased: limits are the ledger's to keep.
        let whole = matches!(self.beyond, Beyond::Nothing);
        let limit = self.contract.overage_limit.filter(|_| whole);
        let left = limit.map(|limit| limit.saturating_sub(self.overage_used()));
        let per_user = if whole { self.overage_left(subject) } else { None };
        Limits {
            path,
            at: self.at,
            basic,
            overage: match (left, per_user) {
                (Some(left), Some(own)) => Some(left.min(own)),
                (left, own) => left.or(own),
            },
            emergency: Emergency::Never,
        }
    }

    /// What a draw takes from pools that come after one of which others may still have something: each whole pool is used
    /// up before the next. Nothing where one pool pays, or where the ledger has just been asked.
    pub fn out_of_turn(&self, path: &[PoolId], draws: &[Draw], missing: Credits) -> Credits {
        let Beyond::Ledger(rest) = self.beyond else { return Credits::ZERO };
        let Some((last, before)) = path.split_last().filter(|(_, before)| !before.is_empty()) else {
            return Credits::ZERO;
        };
        let fresh = self.at < self.contract.period_ends;
        let mut turn = missing;
        let open = before.iter().position(|pool| !(fresh && rest.dry.contains(pool)));
        let Some(open) = open else { return Credits::ZERO };
        debug_assert!(!before.contains(last));
        for draw in draws {
            let pool = self.book.block(draw.block).map(|block| &block.pool);
            let index = path.iter().position(|id| Some(id) == pool);
            if draw.species.is_last_resort() || index.is_none_or(|index| index > open) {
                turn += draw.amount;
            }
        }
        turn
    }

    /// What a user may still draw of overage in this period, where the plan limits it.
    fn overage_left(&self, subject: &Subject) -> Option<Credits> {
        let limit = self.contract.plan.overage_per_user()?;
        let user = subject.user.as_ref()?;
        let spent = self.book.overage_by.get(user).copied().unwrap_or_default();
        let runs = self.book.runs.values().filter(|run| run.run.subject.user.as_ref() == Some(user));
        let held = runs.flat_map(|run| &run.held).filter(|draw| draw.species == Species::Overage);
        let pays = |draw: &&Draw| self.book.block(draw.block).is_some_and(|block| block.pays(self.at));
        let held: Credits = held.filter(pays).map(|draw| draw.amount).sum();
        Some(limit.saturating_sub(spent + held))
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

    /// What the ledger had left of a path that counts as balance.
    pub fn rest_balance(&self, path: &[PoolId]) -> Credits {
        let Some(rest) = self.rest() else { return Credits::ZERO };
        let of = |pool: &PoolId| match pool {
            PoolId::Account => rest.balance,
            other => rest.pools.get(other).copied().unwrap_or_default(),
        };
        path.iter().map(of).sum()
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
