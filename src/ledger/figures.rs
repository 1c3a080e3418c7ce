//! An account in figures: what a shared store checks by itself, and totals that are no part of the journal.

use std::collections::BTreeMap;

use super::store::Figures;
use crate::credit::Block;
use crate::engine::account::Account;
use crate::lease::LeaseTotals;
use crate::types::{BlockId, Credits, SidecarId};

/// What the store has.
#[derive(Clone, Debug, Default)]
pub struct Figured {
    debt: Credits,
    blocks: BTreeMap<BlockId, Block>,
    leases: BTreeMap<SidecarId, LeaseTotals>,
}

impl Figured {
    /// What the store has once it is where the account is.
    pub fn of(account: &Account) -> Self {
        Self {
            debt: debt(account),
            blocks: account.book.blocks().map(|block| (block.id, block.clone())).collect(),
            leases: account.leases.iter().map(|(id, lease)| (*id, lease.totals.clone())).collect(),
        }
    }

    /// What of the account the store does not have yet; `None` where it has all.
    pub fn changes(&self, account: &Account) -> Option<Figures> {
        let changed = |block: &&Block| self.blocks.get(&block.id).is_none_or(|known| !same(known, block));
        let blocks: Vec<Block> = account.book.blocks().filter(changed).cloned().collect();
        let heard = account.leases.iter();
        let heard = heard.filter(|(id, lease)| self.leases.get(id) != Some(&lease.totals));
        let heard = heard.map(|(id, lease)| (*id, Some(lease.totals.clone())));
        let over = self.leases.keys().filter(|id| !account.leases.contains_key(id)).map(|id| (*id, None));
        let leases: Vec<_> = heard.chain(over).collect();
        let debt = debt(account);
        let none = blocks.is_empty() && leases.is_empty() && debt == self.debt;
        (!none).then_some(Figures { debt, blocks, leases })
    }

    /// The store has these too.
    pub fn wrote(&mut self, figures: &Figures) {
        self.debt = figures.debt;
        self.blocks.extend(figures.blocks.iter().map(|block| (block.id, block.clone())));
        for (id, totals) in &figures.leases {
            match totals {
                Some(totals) => self.leases.insert(*id, totals.clone()),
                None => self.leases.remove(id),
            };
        }
    }
}

fn debt(account: &Account) -> Credits {
    account.book.pools.iter().map(|pool| pool.debt).sum()
}

fn same(a: &Block, b: &Block) -> bool {
    (a.granted, a.available, a.held, a.spent, a.lapsed, a.withdrawn)
        == (b.granted, b.available, b.held, b.spent, b.lapsed, b.withdrawn)
}
