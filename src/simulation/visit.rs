//! A visit to one account at a sidecar, as `sidecar/shard.rs` has it: what is due is done first, and what was journaled
//! sets the disk, the reports and the timer going.

use super::agenda::Event;
use super::disk::Disk;
use super::message::Address;
use super::node::{NEVER, Slot};
use super::world::World;
use crate::credit::conservation;
use crate::engine::wallet::{Here, Log};
use crate::types::AccountId;

/// A group commit takes so long: at once where somebody waits, else with what comes within 50 ms.
const FLUSH: (i64, i64) = (300, 8_000);
const FLUSH_LATER: (i64, i64) = (40_000, 60_000);

/// How exactly time is kept where no call looks.
const LOOK_EVERY: i64 = 50_000;

impl World {
    /// Visits an account, which is made where it is not known yet. `None`: no process runs.
    pub fn visit<T>(
        &mut self,
        place: usize,
        account: &AccountId,
        act: impl FnOnce(&mut Slot, Here<'_>, &mut Disk) -> T,
    ) -> Option<T> {
        let node = self.nodes.get_mut(place)?;
        let process = node.process.as_mut()?;
        let here = Here { playbooks: &self.playbooks, at: process.time.now(node.boottime.at(self.now)) };
        let learned = process.time.offset().is_some();
        if learned {
            self.furthest = self.furthest.max(here.at);
        }
        let before = node.disk.last();
        let began = self.fleet.as_ref().map(|fleet| fleet.clock());
        let slot = process.slot(account);
        let mut renew = learned && slot.next_due() <= here.at && slot.pass_time(here, &mut node.disk);
        let done = act(slot, here, &mut node.disk);
        if learned && !slot.renewing && slot.wallet.wants_more(here.at) {
            slot.renewing = true;
            renew = true;
        }
        let sound = match (&mut self.fleet, began) {
            (Some(fleet), Some(began)) => {
                fleet.figures.sidecar_nanos += fleet.clock().saturating_sub(began);
                fleet.wrote(self.now, &node.disk, before);
                Ok(())
            }
            _ => conservation::check(&slot.wallet.book, &std::collections::BTreeMap::new()),
        };
        let wrote = node.disk.last() > before;
        if wrote {
            process.dirty.insert(account.clone());
        }
        if let Err(problem) = sound {
            self.fail(format!("sidecar {place}, account {account}: {problem}"));
        }
        if renew {
            self.renew(place, account);
        }
        if wrote {
            self.flush(place);
        }
        self.set_timer(place);
        Some(done)
    }

    /// The disk writes what there is, if it does not yet.
    pub fn flush(&mut self, place: usize) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let (last, address) = (node.disk.last(), node.address());
        let Some(process) = node.process.as_mut() else { return };
        if process.flushing || last <= node.disk.durable {
            return;
        }
        process.flushing = true;
        let urgent = std::mem::take(&mut node.disk.urgent);
        let (least, most) = if urgent { FLUSH } else { FLUSH_LATER };
        let at = self.now + self.dice.between(least, most);
        self.agenda.plan(at, Event::Flushed(address, last));
    }

    pub fn flushed(&mut self, to: Address, through: u64) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        node.disk.durable = node.disk.durable.max(through);
        let waits = !node.disk.pending.is_empty();
        if let Some(process) = node.process.as_mut() {
            process.flushing = false;
        }
        self.flush(to.node);
        self.answer_durable(to.node);
        if waits {
            self.plan_report(to.node, 0);
        }
    }

    /// Sets a sidecar's timer for what is due next.
    pub fn set_timer(&mut self, place: usize) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(place) else { return };
        let address = node.address();
        let Some(process) = node.process.as_mut() else { return };
        if process.time.offset().is_none() {
            return;
        }
        let due = process.wallets.values().map(Slot::next_due).min().unwrap_or(NEVER);
        if due == NEVER {
            return;
        }
        let at = node.boottime.when(process.time.when(due)).max(now + LOOK_EVERY);
        if process.look_at.is_none_or(|planned| at < planned || planned <= now) {
            process.look_at = Some(at);
            self.agenda.plan(at, Event::Look(address));
        }
    }

    /// Does what is due at a sidecar.
    pub fn look(&mut self, to: Address) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        let Some(process) = node.process.as_mut() else { return };
        process.look_at = None;
        let at = process.time.now(node.boottime.at(self.now));
        let due = process.wallets.iter().filter(|(_, slot)| slot.next_due() <= at);
        let due: Vec<AccountId> = due.map(|(account, _)| account.clone()).collect();
        for account in due {
            self.visit(to.node, &account, |_, _, _| ());
        }
        self.set_timer(to.node);
    }
}
