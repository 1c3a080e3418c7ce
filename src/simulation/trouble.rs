//! What goes wrong in a world, and how it is mended: every trouble ends well before a silent lease goes back, so that what
//! is promised to a caller in touch is owed to everyone.

use super::agenda::Event;
use super::world::{BEGIN, World};
use crate::engine::wallet::Log;

/// Between two troubles, in microseconds: mostly soon, sometimes a time without.
const SOON: (i64, i64) = (500_000, 12_000_000);
const LATER: (i64, i64) = (20_000_000, 60_000_000);

/// How long a trouble lasts.
const SHORT: (i64, i64) = (10_000, 5_000_000);
const LONG: (i64, i64) = (5_000_000, 45_000_000);

/// The ledger's wall clock jumps at most so far.
const JUMP: i64 = 20_000_000;

impl World {
    pub fn trouble(&mut self) {
        if self.steps >= self.most {
            return;
        }
        self.steps += 1;
        let place = self.dice.below(self.nodes.len());
        let (least, most) = if self.dice.one_in(3) { LONG } else { SHORT };
        let until = self.now + self.dice.between(least, most);
        match self.dice.below(14) {
            0 | 1 => self.doomed = Some((place, until)),
            2 => self.crash(place, until),
            3 => self.reboot(place, until),
            4 => self.lose_disk(place, until),
            5 => self.stop(place, until),
            6 | 7 => {
                if let Some(node) = self.nodes.get_mut(place) {
                    node.paused_until = until;
                }
            }
            8..=10 => {
                let (sends, hears) = [(true, true), (true, false), (false, true)]
                    .get(self.dice.below(3))
                    .copied()
                    .unwrap_or((true, true));
                self.cut(place, sends, hears);
                self.agenda.plan(until, Event::Heal(place));
            }
            11 => {
                self.network.is_bad = true;
                self.agenda.plan(until, Event::Quiet);
            }
            12 => self.ledger_down(until),
            _ => {
                let by = self.dice.between(-JUMP, JUMP);
                self.ledger.time.wall += by;
                self.set_ledger_timer();
            }
        }
        let (least, most) = if self.dice.one_in(6) { LATER } else { SOON };
        let at = self.now + self.dice.between(least, most);
        self.agenda.plan(at, Event::Trouble);
    }

    pub fn cut(&mut self, place: usize, sends: bool, hears: bool) {
        if let Some(cut) = self.network.sends_nothing.get_mut(place) {
            *cut = sends;
        }
        if let Some(cut) = self.network.hears_nothing.get_mut(place) {
            *cut = hears;
        }
    }

    pub fn heal(&mut self, place: usize) {
        self.cut(place, false, false);
    }

    /// The process dies; a part of what was not flushed is on disk all the same.
    pub fn crash(&mut self, place: usize, until: i64) {
        let Some(node) = self.nodes.get_mut(place).filter(|node| node.process.is_some()) else { return };
        let unflushed = usize::try_from(node.disk.last() - node.disk.durable).unwrap_or(0);
        let kept = self.dice.below(unflushed + 1);
        node.crash(u64::try_from(kept).unwrap_or(0));
        let gone: Vec<u64> =
            self.calls.iter().filter(|(_, call)| call.place == place).map(|(id, _)| *id).collect();
        for id in gone {
            self.calls.remove(&id);
            self.auditor.unanswered(id);
        }
        self.agenda.plan(until, Event::Restart(place));
    }

    /// The machine starts anew: its clock begins at zero, and what was learned of the ledger's is worth nothing.
    fn reboot(&mut self, place: usize, until: i64) {
        self.crash(place, until);
        let wrong = self.dice.between(-JUMP, JUMP);
        if let Some(node) = self.nodes.get_mut(place).filter(|node| node.process.is_none()) {
            node.boot += 1;
            node.boottime.booted = self.now;
            node.wrong += wrong;
        }
    }

    /// A lost disk is a new sidecar.
    pub fn lose_disk(&mut self, place: usize, until: i64) {
        let id = self.draw_sidecar();
        self.crash(place, until);
        if let Some(node) = self.nodes.get_mut(place).filter(|node| node.process.is_none()) {
            self.auditor.disk_lost(node.id);
            node.disk = super::disk::Disk::default();
            node.id = id;
        }
    }

    /// A clean stop: open runs are reported, everything is written.
    fn stop(&mut self, place: usize, until: i64) {
        let Some(process) = self.nodes.get(place).and_then(|node| node.process.as_ref()) else { return };
        let accounts: Vec<_> = process.wallets.keys().cloned().collect();
        for account in accounts {
            self.visit(place, &account, |slot, here, disk| {
                slot.wallet.leave(slot.asked, here, disk);
            });
        }
        if let Some(node) = self.nodes.get_mut(place) {
            node.disk.durable = node.disk.last();
        }
        self.crash(place, until);
        if let Some(node) = self.nodes.get_mut(place) {
            node.disk.clean = true;
        }
    }

    pub fn restart(&mut self, place: usize) {
        let wall = BEGIN + self.now;
        let Some(node) = self.nodes.get_mut(place).filter(|node| node.process.is_none()) else { return };
        node.start(self.now, wall, &self.playbooks);
        let address = node.address();
        self.agenda.plan(self.now, Event::Relink(address));
        self.flush(place);
    }

    /// The ledger's process dies, or its store fails over to a standby that has everything that was answered.
    fn ledger_down(&mut self, until: i64) {
        if !self.ledger.is_up {
            return;
        }
        let kept = self.dice.below(self.ledger.unwritten() + 1);
        let watches: Vec<_> = self.ledger.watches.values().copied().collect();
        self.ledger.crash(kept);
        for watch in watches {
            let at = self.now + self.dice.between(SHORT.0, SHORT.1);
            self.agenda.plan(at, Event::WatchLost(watch.to, watch.number));
        }
        self.agenda.plan(until, Event::LedgerUp);
    }

    pub fn ledger_up(&mut self) {
        if self.ledger.is_up {
            return;
        }
        let playbooks = std::sync::Arc::clone(&self.playbooks);
        if let Err(problem) = self.ledger.start(&playbooks) {
            self.fail(problem);
        }
        self.set_ledger_timer();
    }

    /// Mends everything at once.
    pub fn mend(&mut self) {
        self.network.is_bad = false;
        self.doomed = None;
        self.ledger_up();
        for place in 0..self.nodes.len() {
            self.heal(place);
            if let Some(node) = self.nodes.get_mut(place) {
                node.paused_until = 0;
            }
            self.restart(place);
        }
    }
}
