//! Leases along the pools of a run's path: each whole pool is used up before the next, whoever holds a slice of it.

use super::work::Work;
use crate::credit::draw::{self, Drawn, Limits};
use crate::credit::hold::{self, Draw};
use crate::credit::path::Path;
use crate::credit::{Change, PoolId, RunEvent, Subject};
use crate::lease::{Ask, sizing};
use crate::playbook::draw_order::Species;
use crate::types::amount::AMOUNT_MAX;
use crate::types::{Credits, SidecarId};

impl Work<'_> {
    /// What the pools before the last of a path have, as far as a run would draw on those after them. Answers what the
    /// need still lacks of them.
    pub(super) fn prior_for(&self, sidecar: SidecarId, ask: &Ask, path: &[PoolId]) -> Drawn {
        let Some((_, before)) = path.split_last().filter(|_| ask.prior.is_positive()) else {
            return Drawn::default();
        };
        let left = self.balance_left(before);
        let limits = Limits { basic: false, overage: Some(Credits::ZERO), ..Limits::late(before, self.at) };
        let size = sizing::size(ask.prior, Credits::ZERO, left, self.holders(sidecar)).min(left);
        let mut drawn = self.drawn(size, limits);
        drawn.draws.retain(|draw| !draw.species.is_last_resort());
        drawn.missing = ask.prior.saturating_sub(hold::total(&drawn.draws));
        drawn
    }

    pub(super) fn drawn(&self, amount: Credits, limits: Limits<'_>) -> Drawn {
        draw::draw(&self.account.book.pools, amount, limits)
    }

    /// The same, where `taken` is given already.
    pub(super) fn drawn_beside(&self, amount: Credits, limits: Limits<'_>, taken: &[Draw]) -> Drawn {
        if taken.is_empty() {
            return self.drawn(amount, limits);
        }
        let mut drawn = self.drawn(amount + hold::total(taken), limits);
        taken.iter().for_each(|draw| {
            hold::remove(&mut drawn.draws, draw);
        });
        drawn.missing = amount.saturating_sub(hold::total(&drawn.draws));
        drawn
    }

    pub(super) fn path(&self, subject: &Subject) -> Path {
        self.account.path(subject)
    }

    /// What pools have unleased that counts as balance.
    pub(super) fn balance_left(&self, pools: &[PoolId]) -> Credits {
        let blocks = self.account.book.pools.iter().filter(|pool| pools.contains(&pool.id));
        let pays = blocks.flat_map(|pool| &pool.blocks).filter(|block| block.pays(self.at));
        pays.filter(|block| !block.species.is_last_resort()).map(|block| block.available).sum()
    }

    pub(super) fn rest_pools(&self, path: &[PoolId]) -> Vec<(PoolId, Credits)> {
        let others = path.iter().filter(|pool| **pool != PoolId::Account);
        others.map(|pool| (pool.clone(), self.balance_left(std::slice::from_ref(pool)))).collect()
    }

    /// Pools before the last of a path of which neither the account nor any sidecar but this one has anything: they are
    /// told to be dry, and once they have something again, that is told, too.
    pub(super) fn dry(&mut self, sidecar: SidecarId, path: &[PoolId]) -> Vec<PoolId> {
        let Some((_, before)) = path.split_last() else { return Vec::new() };
        let elsewhere = |pool: &PoolId| {
            let leases = self.account.leases.iter().filter(|(id, _)| **id != sidecar);
            let seals = self.account.seals.iter().map(|seal| &seal.slices);
            let mut blocks = leases.map(|(_, lease)| &lease.out).chain(seals).flat_map(|out| out.keys());
            blocks.any(|id| {
                self.account.book.block(*id).is_some_and(|b| b.pool == *pool && !b.has_ended(self.at))
            })
        };
        let dry: Vec<PoolId> = before
            .iter()
            .filter(|pool| self.balance_left(std::slice::from_ref(pool)).is_zero() && !elsewhere(pool))
            .cloned()
            .collect();
        self.account.told_dry.extend(dry.iter().cloned());
        dry
    }

    /// The same, of the pools before the last of a path.
    pub(super) fn holds_idle_of(&self, sidecar: SidecarId, path: &[PoolId]) -> bool {
        let Some(lease) = self.account.leases.get(&sidecar) else { return false };
        let before = path.split_last().map(|(_, before)| before).unwrap_or_default();
        lease.out.keys().any(|id| {
            let block = self.account.book.block(*id);
            block.is_some_and(|block| before.contains(&block.pool) && block.pays(self.at))
                && self.account.idle_in(lease, *id).is_positive()
        })
    }

    /// What is left unleased: credits that count as balance, and last resorts but `basic`.
    pub(super) fn rest(&self, path: &[PoolId]) -> (Credits, Credits) {
        let Some(frame) = self.frame() else { return (Credits::ZERO, Credits::ZERO) };
        let all = Credits::whole(AMOUNT_MAX);
        let drawn = self.drawn(all, frame.limits(false, path, &Subject::default()));
        let sum = |last_resort: bool| -> Credits {
            let draws = drawn.draws.iter().filter(|draw| draw.species.is_last_resort() == last_resort);
            draws.map(|draw| draw.amount).sum()
        };
        (sum(false), sum(true))
    }

    /// Whether overage that is limited per user would pay.
    pub(super) fn is_counted_here(&self, drawn: &Drawn) -> bool {
        let contract = self.account.contract.as_ref();
        contract.is_some_and(|contract| contract.plan.overage_per_user().is_some())
            && drawn.draws.iter().any(|draw| draw.species == Species::Overage)
    }

    /// The pools that the run of a record draws on. Of a run that only its sidecar knows the record says who owes.
    pub(super) fn path_of(&self, run: &RunEvent) -> Path {
        let open = || self.account.book.runs.get(&run.id).map(|open| self.path(&open.run.subject));
        let ended = || self.account.book.finals.get(&run.id).map(|ended| self.path(&ended.run.subject));
        match &run.change {
            Change::Ended(ended) => self.path(&ended.run.subject),
            Change::Reserved(run) => self.path(&run.run.subject),
            _ => open().or_else(ended).unwrap_or_else(|| vec![run.debt_pool.clone()].into()),
        }
    }
}
