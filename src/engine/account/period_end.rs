//! What a period's end does to the credits of each pool: unused ones roll over, and what was borrowed comes off the next
//! allowance.

use super::entry::{Covered, Rolled, What};
use super::state::Account;
use super::work::Work;
use crate::credit::hold::{self, Draw};
use crate::credit::{Block, Column, Move, PoolId, period};
use crate::playbook::draw_order::Species;
use crate::playbook::rollover::{Lasts, Roll};
use crate::types::{BlockId, Credits, ReservationId, SidecarId, Timestamp, calendar};

/// Parts of one block that roll, by who has them.
#[derive(Default)]
struct Parts {
    available: Credits,
    runs: Vec<(ReservationId, Credits)>,
    leases: Vec<(SidecarId, Credits)>,
    seals: Vec<(SidecarId, Credits)>,
}

impl Work<'_> {
    /// Rolls what blocks that end with this period have, by the rule of each species, pool by pool.
    pub(super) fn roll_over(&mut self) {
        let Some(contract) = self.account.contract.clone() else { return };
        let rules = &contract.plan.rollover;
        if rules.is_empty() || self.account.period.end > self.at || !self.rolls_now() {
            return;
        }
        let allowance = contract.plan.allowances.first().map(|allowance| allowance.credits);
        let scale = contract.playbook.credit.scale;
        let pools: Vec<PoolId> = self.account.book.pools.iter().map(|pool| pool.id.clone()).collect();
        for pool in pools.iter().filter(|pool| **pool != PoolId::Seats) {
            for rule in rules {
                let most = rule.up_to.of(allowance.unwrap_or_default(), scale);
                self.roll_pool(pool, rule, most);
            }
        }
    }

    fn roll_pool(&mut self, pool: &PoolId, rule: &Roll, most: Credits) {
        let end = self.account.period.end;
        // Shares that nobody took are the account's.
        let here = |id: &PoolId| id == pool || (*id == PoolId::Seats && *pool == PoolId::Account);
        let pools = self.account.book.pools.iter().filter(|pool| here(&pool.id));
        let mut ending: Vec<(u32, BlockId)> = pools
            .flat_map(|pool| &pool.blocks)
            .filter(|block| block.expires_at == Some(end) && !block.species.is_last_resort())
            .filter(|block| block.rolls_as() == rule.species && rule.times.allow(block.rolls))
            .map(|block| (block.rolls, block.id))
            .collect();
        ending.sort();
        let mut left = most;
        for (_, from) in ending {
            let Some(block) = self.account.book.block(from) else { continue };
            let parts = self.parts(block, &mut left);
            if parts.is_nothing() {
                continue;
            }
            let mut heir = block.moved(BlockId(self.account.next_block), pool.clone());
            heir.species = Species::Rollover;
            heir.original = Some(block.rolls_as());
            heir.rolls = block.rolls + 1;
            heir.effective_at = self.at;
            heir.expires_at = self.rolled_until(rule);
            let Parts { available, runs, leases, seals } = parts;
            let rolled = Rolled { from, block: Box::new(heir), available, runs, leases, seals };
            self.emit(What::Rolled(Box::new(rolled)));
            self.refresh = true;
        }
    }

    fn rolled_until(&self, rule: &Roll) -> Option<Timestamp> {
        let contract = self.account.contract.as_ref()?;
        match rule.lasts {
            Some(Lasts::Forever) => None,
            Some(Lasts::For(length)) => Some(calendar::plus(self.at, length, &contract.zone)),
            None => Some(period::period(&contract.plan, contract.origin, self.at, &contract.zone).end),
        }
    }

    /// What is available goes first, what leases hold idle and what is sealed included; then what runs hold, in the order
    /// in which they were reserved.
    fn parts(&self, block: &Block, left: &mut Credits) -> Parts {
        let account = &*self.account;
        let mut take = |amount: Credits| {
            let part = amount.min(*left);
            *left -= part;
            part
        };
        let mut parts = Parts { available: take(block.available), ..Parts::default() };
        let mut leased: Vec<(SidecarId, Credits)> = Vec::new();
        for (sidecar, lease) in &account.leases {
            leased.push((*sidecar, take(account.idle_in(lease, block.id))));
        }
        for seal in &account.seals {
            let part = take(seal.slices.get(&block.id).copied().unwrap_or_default());
            if part.is_positive() {
                parts.seals.push((seal.sidecar, part));
            }
        }
        for id in account.in_order() {
            let held = account.book.runs.get(&id).map(|run| run.held.as_slice()).unwrap_or_default();
            let share = take(held.iter().filter(|d| d.block == block.id).map(|d| d.amount).sum());
            if share.is_positive() {
                parts.runs.push((id, share));
            }
        }
        for (sidecar, part) in leased {
            let lease = account.leases.get(&sidecar);
            let out = lease.and_then(|lease| lease.out.get(&block.id)).copied().unwrap_or_default();
            let idle = lease.map_or(Credits::ZERO, |lease| account.idle_in(lease, block.id));
            let part = part + take(out - idle);
            if part.is_positive() {
                parts.leases.push((sidecar, part));
            }
        }
        parts
    }

    /// What is borrowed in blocks that end now: spent or reserved, not what is merely leased.
    pub(super) fn borrowed(&self) -> Vec<(BlockId, Credits)> {
        let blocks = self.account.book.blocks().filter(|block| block.species == Species::Borrowed);
        let ends = blocks.filter(|block| block.expires_at == Some(self.at));
        ends.map(|block| (block.id, self.account.used_of(block)))
            .filter(|(_, used)| used.is_positive())
            .collect()
    }

    /// What borrowed blocks that have ended owe beyond what an allowance covers is debt; what came back of them comes back
    /// as the allowance.
    pub(super) fn reconcile_borrowed(&mut self) {
        let account = &*self.account;
        let blocks = account.book.blocks().filter(|block| block.species == Species::Borrowed);
        let due: Vec<(BlockId, Credits, Covered, Credits)> = blocks
            .filter(|block| block.has_ended(self.at))
            .map(|block| {
                let covered = account.covered.get(&block.id).copied().unwrap_or_default();
                let owed = account.reconciled.get(&block.id).copied().unwrap_or_default();
                (block.id, account.used_of(block) - covered.amount - owed, covered, owed)
            })
            .filter(|(_, due, ..)| !due.is_zero())
            .collect();
        for (block, due, covered, owed) in due {
            let cancelled = (-due).or_zero().min(owed);
            let debt = if due.is_positive() { due } else { -cancelled };
            if !debt.is_zero() {
                self.emit_owing(What::Reconciled { block, amount: debt }, &PoolId::Account, debt);
            }
            let back = (-due).or_zero() - cancelled;
            if let (Some(by), true) = (covered.by, back.is_positive()) {
                self.emit(What::Covered { block, by, amount: -back });
            }
        }
    }
}

impl Parts {
    fn is_nothing(&self) -> bool {
        self.available.is_zero() && self.runs.is_empty() && self.leases.is_empty() && self.seals.is_empty()
    }
}

impl Account {
    /// Open runs in the order in which they were reserved, as far as is known here.
    fn in_order(&self) -> Vec<ReservationId> {
        let mut runs: Vec<_> = self
            .book
            .runs
            .values()
            .filter(|run| !run.held.is_empty())
            .map(|run| (run.authorized_at, self.arrivals.get(&run.id).copied().unwrap_or_default(), run.id))
            .collect();
        runs.sort();
        runs.into_iter().map(|(_, _, id)| id).collect()
    }

    /// Spent or held by runs, as far as leases' holders have said.
    fn used_of(&self, block: &Block) -> Credits {
        let idle: Credits = self.leases.values().map(|lease| self.idle_in(lease, block.id)).sum();
        let sealed = self.seals.iter().filter_map(|seal| seal.slices.get(&block.id)).copied().sum();
        block.spent + block.held - idle - sealed
    }

    pub(super) fn rolled(&mut self, rolled: &Rolled) {
        let Rolled { from, block, available, runs, leases, seals } = rolled;
        let heir = block.id;
        self.next_block = self.next_block.max(heir.0 + 1);
        self.heirs.insert(*from, heir);
        self.book.insert((**block).clone());
        self.carry(*from, heir, Column::Available, *available);
        let held = Column::Held;
        for (id, share) in runs {
            self.carry(*from, heir, held, *share);
            if let Some(run) = self.book.runs.get_mut(id) {
                let heir = Draw { block: heir, species: Species::Rollover, amount: *share };
                hold::split_off(run.held_mut(), *from, heir);
            }
        }
        for (sidecar, part) in leases {
            self.carry(*from, heir, held, *part);
            self.change_out(*sidecar, &[(*from, -*part), (heir, *part)], &[]);
        }
        for (sidecar, part) in seals {
            self.carry(*from, heir, held, *part);
            let has = |seal: &&mut super::state::Seal| {
                seal.sidecar == *sidecar && seal.slices.get(from).is_some_and(|has| has >= part)
            };
            if let Some(seal) = self.seals.iter_mut().find(has) {
                super::apply_lease::add(&mut seal.slices, &[(*from, -*part), (heir, *part)]);
            }
        }
    }

    /// Credits leave one block for the same column of another.
    fn carry(&mut self, from: BlockId, to: BlockId, column: Column, amount: Credits) {
        self.shift(Move { block: from, from: column, to: Column::Withdrawn, amount });
        self.shift(Move { block: to, from: Column::Outside, to: column, amount });
    }

    pub(super) fn covered(&mut self, block: BlockId, by: BlockId, amount: Credits) {
        let covered = self.covered.entry(block).or_default();
        covered.amount += amount;
        covered.by = Some(by);
        if amount.is_negative() {
            self.shift(Move { block: by, from: Column::Outside, to: Column::Available, amount: -amount });
        }
    }
}
