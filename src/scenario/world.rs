//! Ledger, sidecars, network and clock of a scenario.

use std::collections::BTreeMap;

use super::node::Node;
use crate::credit::price::PeriodOverage;
use crate::engine::account::{Account, Entry, Work};
use crate::engine::contract::Playbooks;
use crate::engine::handle::Handle;
use crate::engine::wallet::Here;
use crate::lease::LeaseTotals;
use crate::lease::terms::HandleKey;
use crate::playbook::Playbook;
use crate::types::{AccountId, BlockId, ReservationId, SidecarId, Timestamp};

#[derive(Clone, Debug)]
pub struct World {
    pub at: Timestamp,
    pub playbooks: Playbooks,
    pub accounts: BTreeMap<AccountId, Account>,
    /// Every entry of every account: replaying them must give the same state.
    pub journals: BTreeMap<AccountId, Vec<Entry>>,
    pub nodes: BTreeMap<String, Node>,
    /// Accounts whose terms sidecars have not heard yet.
    pub refresh: Vec<AccountId>,
    /// What steps named with `as`.
    pub runs: BTreeMap<String, RunRef>,
    pub grants: BTreeMap<String, BlockId>,
    /// Where `alerts` and `invoice` last looked.
    pub looked: BTreeMap<AccountId, (usize, Vec<PeriodOverage>, usize)>,
    pub drawn: u64,
    /// Who is reporting just now: two that pass on each other's runs must not wait for one another.
    pub reporting: Vec<String>,
}

/// A run that a step named.
#[derive(Clone, Debug)]
pub struct RunRef {
    pub account: AccountId,
    pub id: ReservationId,
    /// `None` where nothing was reserved.
    pub handle: Option<Handle>,
}

impl World {
    pub fn new(start: Timestamp, playbook: Playbook, sidecars: &[String]) -> Self {
        let mut playbooks = Playbooks::default();
        playbooks.publish_at(playbook, start);
        let nodes = sidecars
            .iter()
            .enumerate()
            .map(|(index, name)| (name.clone(), Node::new(sidecar_id(index as u64))))
            .collect();
        Self {
            at: start,
            playbooks,
            accounts: BTreeMap::new(),
            journals: BTreeMap::new(),
            nodes,
            refresh: Vec::new(),
            runs: BTreeMap::new(),
            grants: BTreeMap::new(),
            looked: BTreeMap::new(),
            drawn: sidecars.len() as u64,
            reporting: Vec::new(),
        }
    }

    /// Moves the clock: every timer due on the way fires first, in order of time, each at its own instant.
    pub fn move_to(&mut self, at: Timestamp) {
        while let Some(due) = self.next_timer().filter(|due| *due <= at) {
            self.at = self.at.max(due);
            self.fire();
        }
        self.at = at;
    }

    fn next_timer(&mut self) -> Option<Timestamp> {
        let playbooks = &self.playbooks;
        let ledger = self.accounts.values_mut().filter_map(|account| {
            let at = account.clock;
            Work::at(account, playbooks, at).next_timer()
        });
        let ledger = ledger.min();
        let nodes = self.nodes.values().filter(|node| node.alive);
        let sidecars = nodes
            .flat_map(|node| node.wallets.values().filter_map(crate::engine::wallet::Wallet::next_timer))
            .min();
        [ledger, sidecars].into_iter().flatten().min()
    }

    fn fire(&mut self) {
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            self.at_ledger(&account, |_| ());
        }
        let names: Vec<String> = self.nodes.keys().cloned().collect();
        for name in names {
            self.tick_node(&name);
        }
        self.deliver();
    }

    /// Runs a command at the ledger, and keeps what happened.
    pub fn at_ledger<T>(&mut self, account: &AccountId, command: impl FnOnce(&mut Work<'_>) -> T) -> T {
        let state = self.accounts.entry(account.clone()).or_insert_with(|| Account::new(account.clone()));
        let mut work = Work::begin(state, &self.playbooks, self.at);
        let answer = command(&mut work);
        let (entries, refresh) = work.finish();
        self.journals.entry(account.clone()).or_default().extend(entries);
        if refresh && !self.refresh.contains(account) {
            self.refresh.push(account.clone());
        }
        answer
    }

    /// Splits the borrow: one node, and what it needs from the world.
    pub fn node(&mut self, name: &str) -> Option<(&mut Node, Here<'_>)> {
        let here = Here { playbooks: &self.playbooks, at: self.at };
        self.nodes.get_mut(name).map(|node| (node, here))
    }

    /// Running totals as the sidecars know them now, whatever has reached the ledger.
    pub fn fresh_totals(&self, account: &AccountId) -> BTreeMap<SidecarId, LeaseTotals> {
        self.nodes
            .values()
            .filter(|node| node.alive)
            .filter_map(|node| node.wallets.get(account).map(|wallet| (node.id, wallet.totals())))
            .collect()
    }

    pub fn draw_id(&mut self) -> ReservationId {
        self.drawn += 1;
        ReservationId(hash(b"reservation", self.drawn))
    }

    pub fn draw_sidecar(&mut self) -> SidecarId {
        self.drawn += 1;
        sidecar_id(self.drawn)
    }

    /// Checks every invariant, and that replaying each journal gives the same account.
    pub fn verify(&self) -> Result<(), String> {
        for (id, account) in &self.accounts {
            account.verify().map_err(|problem| format!("account {id}: {problem}"))?;
        }
        for (name, node) in &self.nodes {
            for (account, wallet) in &node.wallets {
                crate::credit::conservation::check(&wallet.book, &BTreeMap::new())
                    .map_err(|problem| format!("sidecar {name}, account {account}: {problem}"))?;
            }
        }
        Ok(())
    }

    /// Replays each account's journal and compares.
    pub fn verify_replay(&self) -> Result<(), String> {
        for (id, entries) in &self.journals {
            let mut replayed = Account::new(id.clone());
            for entry in entries {
                if !entry.follows(&replayed.link) || entry.number != replayed.number + 1 {
                    return Err(format!("account {id}: entry {} does not follow", entry.number));
                }
                replayed.apply(entry, &self.playbooks);
            }
            let Some(now) = self.accounts.get(id) else { return Err(format!("account {id} is gone")) };
            if !now.is_same_as(&replayed) {
                return Err(format!("account {id}: replaying its journal gives another state"));
            }
        }
        Ok(())
    }
}

/// Every account's key is its own; in scenarios it follows from the name.
pub fn key(account: &AccountId) -> HandleKey {
    HandleKey { id: 1, secret: *blake3::hash(account.as_str().as_bytes()).as_bytes() }
}

fn sidecar_id(number: u64) -> SidecarId {
    SidecarId(hash(b"sidecar", number))
}

fn hash(what: &[u8], number: u64) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(what).update(&number.to_le_bytes());
    let mut out = [0; 16];
    out.iter_mut().zip(hasher.finalize().as_bytes()).for_each(|(to, from)| *to = *from);
    out
}
