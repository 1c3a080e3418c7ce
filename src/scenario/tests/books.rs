//! What must hold after every step, read from the journals entry by entry.

use std::collections::{BTreeMap, BTreeSet};

use super::periods;
use crate::credit::event::Change;
use crate::credit::invoice::{Line, LineKind};
use crate::credit::{Block, Column, Final, Move, hold};
use crate::engine::account::entry::What;
use crate::engine::account::{Account, Entry};
use crate::scenario::world::World;
use crate::types::{AccountId, Credits, ReservationId};

/// A reader of every account's journal.
#[derive(Clone, Default)]
pub struct Books(BTreeMap<AccountId, Reading>);

/// One journal, as far as it was read.
#[derive(Clone)]
struct Reading {
    replayed: Account,
    read: usize,
    /// What each run that ended was charged, whether the account still remembers it or not.
    charged: BTreeMap<ReservationId, Credits>,
    /// The charges of runs that the account has forgotten, and of those that came again under their id.
    forgotten: Credits,
    granted: Credits,
}

impl Books {
    /// Reads on, and checks every invariant; and that the journals tell the very state that the accounts have.
    pub fn check(&mut self, world: &World) -> Result<(), String> {
        world.verify()?;
        for (id, entries) in &world.journals {
            let account = &world.accounts[id];
            let told = self.0.entry(id.clone()).or_insert_with(|| Reading::new(id));
            if told.read == entries.len() {
                continue;
            }
            let checked = told.read_on(entries, world).and_then(|()| told.is_replayed(account));
            let checked = checked.and_then(|()| told.balances(account)).and_then(|()| told.has_all(account));
            checked.map_err(|problem| format!("account {id}: {problem}"))?;
        }
        Ok(())
    }

    /// What the ledger charged a run, whether it still remembers it or not.
    pub fn charged(&self, account: &AccountId, run: ReservationId) -> Option<Credits> {
        self.0.get(account)?.charged.get(&run).copied()
    }
}

impl Reading {
    fn new(id: &AccountId) -> Self {
        Self {
            replayed: Account::new(id.clone()),
            read: 0,
            charged: BTreeMap::new(),
            forgotten: Credits::ZERO,
            granted: Credits::ZERO,
        }
    }

    fn read_on(&mut self, entries: &[Entry], world: &World) -> Result<(), String> {
        for entry in &entries[self.read..] {
            let mut gone: BTreeSet<ReservationId> = self.replayed.book.finals.keys().copied().collect();
            self.replayed.apply(entry, &world.playbooks);
            periods::check(&self.replayed, entry)?;
            self.granted += granted(&self.replayed, entry);
            // What was reported very late is forgotten as soon as it is booked.
            let finals = self.replayed.book.finals.iter().map(|(run, ended)| (run, &**ended));
            for (run, ended) in ended(entry).into_iter().chain(finals) {
                self.charged.insert(*run, ended.charged());
                gone.insert(*run);
            }
            gone.retain(|run| !self.replayed.book.finals.contains_key(run));
            self.forgotten += gone.iter().map(|run| self.charged[run]).sum::<Credits>();
        }
        self.read = entries.len();
        Ok(())
    }

    fn is_replayed(&self, account: &Account) -> Result<(), String> {
        match account.is_same_as(&self.replayed) {
            true => Ok(()),
            false => Err("replaying its journal gives another state".to_owned()),
        }
    }

    /// What blocks spent, and what is owed, is what runs were charged.
    fn balances(&self, account: &Account) -> Result<(), String> {
        let balance = account.balance(account.clock, &BTreeMap::new());
        let ended: Credits = account.book.finals.values().map(|ended| ended.charged()).sum();
        let open: Credits = account.book.runs.values().map(|run| run.charged()).sum();
        // Runs that only their sidecar knows, and that reported their progress. Where one was settled in its sidecar's
        // silence, that is part of its charge.
        let settled = |run, sidecar| {
            account.book.finals.get(run).is_some_and(|ended| ended.provisional == Some(sidecar))
        };
        let alone = account.booked.iter().filter(|((sidecar, run), _)| !settled(run, *sidecar));
        let elsewhere: Credits = alone.map(|(_, b)| hold::total(&b.spent) + b.debt).sum();
        // Debt of a subscription that is over was billed.
        let overage = |line: &&Line| line.kind == LineKind::Overage;
        let billed: Credits = account.lines.iter().filter(overage).map(|line| line.credits).sum();
        if balance.spent + balance.debt + billed == self.forgotten + ended + open + elsewhere {
            return Ok(());
        }
        Err(format!(
            "spent {}, owed {} and billed {billed}, but charged {} + {ended} + {open} + {elsewhere}",
            balance.spent, balance.debt, self.forgotten
        ))
    }

    /// Credits come from grants alone, whatever rolls, moves or is borrowed.
    fn has_all(&self, account: &Account) -> Result<(), String> {
        let blocks = account.book.blocks().filter(|block| !block.elastic);
        let has: Credits = blocks.map(|block| block.granted - block.withdrawn).sum();
        match has == self.granted {
            true => Ok(()),
            false => Err(format!("was granted {}, and has {has}", self.granted)),
        }
    }
}

/// Time has done what was due: what has ended has lapsed, and another period has begun.
pub fn in_time(world: &World) -> Result<(), String> {
    let mut accounts = world.accounts.iter();
    accounts.try_for_each(|(id, account)| {
        account_in_time(account).map_err(|problem| format!("account {id}: {problem}"))
    })
}

fn account_in_time(account: &Account) -> Result<(), String> {
    let mut ended = account.book.blocks().filter(|block| block.has_ended(account.clock) && !block.elastic);
    if let Some(block) = ended.find(|block| block.available.is_positive()) {
        return Err(format!("{block:?} has ended"));
    }
    let goes_on = account.contract.as_ref().is_some_and(|contract| contract.overlay.ended.is_none());
    match goes_on && account.period.end <= account.clock {
        true => Err(format!("the period ended at {}", account.period.end)),
        false => Ok(()),
    }
}

/// How a run ended by an entry.
fn ended(entry: &Entry) -> Option<(&ReservationId, &Final)> {
    match &entry.what {
        What::Absorbed(absorbed) => absorbed.effects.ended.as_ref().map(|(run, ended)| (run, &**ended)),
        What::Run(event) => match &event.change {
            Change::Ended(ended) => Some((&event.id, ended)),
            _ => None,
        },
        _ => None,
    }
}

/// What an entry brings an account in, or (negative) takes from it.
fn granted(account: &Account, entry: &Entry) -> Credits {
    match &entry.what {
        What::Granted { block, .. } | What::Purchased { block, .. } | What::Awarded { block, .. } => {
            block.granted
        }
        What::Covered { amount, .. } => (-*amount).or_zero(),
        What::Voided(moves) => -moves.iter().map(|step| step.amount).sum::<Credits>(),
        What::Reduced(moves) | What::TransferAnswered { back: moves, .. } => moved(account, moves),
        What::Refunded(refunded) => moved(account, &refunded.moves),
        What::PurchaseRefunded(refunded) => moved(account, &refunded.moves),
        What::TransferSent(sent) => moved(account, &sent.moves) + all_of(&sent.blocks),
        What::TransferReceived(received) => all_of(&received.blocks),
        What::PoolsMerged(merged) => moved(account, &merged.moves) + all_of(&merged.blocks),
        _ => Credits::ZERO,
    }
}

fn all_of(blocks: &[Block]) -> Credits {
    blocks.iter().map(|block| block.granted).sum()
}

/// What moves bring in from what was withdrawn, or (negative) withdraw.
fn moved(account: &Account, moves: &[Move]) -> Credits {
    let limited = moves.iter().filter(|step| account.book.block(step.block).is_some_and(|b| !b.elastic));
    limited
        .map(|step| match (step.from, step.to) {
            (Column::Withdrawn, _) => step.amount,
            (_, Column::Withdrawn) => -step.amount,
            _ => Credits::ZERO,
        })
        .sum()
}
