//! Staying in touch with the ledger, as `sidecar/link.rs` has it: attach, watch, and again after each loss.

use super::agenda::Event;
use super::disk::Stored;
use super::message::{Address, Answers, Asks, Question, Sender, Told};
use super::node::Standing;
use super::world::{Rpc, World};
use crate::types::{AccountId, Timestamp};

/// An attach that takes longer has failed.
const ATTACH_WITHIN: i64 = 5_000_000;

/// Between two tries.
const AGAIN: (i64, i64) = (100_000, 2_000_000);

impl World {
    pub fn relink(&mut self, to: Address) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        let (who, asked) = (node.who(), node.boottime.at(self.now));
        let Some(process) = node.process.as_mut() else { return };
        if process.linking.is_some() {
            return;
        }
        let rpc = self.numbers.next();
        process.linking = Some(rpc);
        // What is acknowledged meanwhile says nothing of the answer to this.
        let knew = process.acknowledged;
        self.rpcs.insert(rpc, Rpc::Attach { to, asked, knew });
        self.agenda.plan(self.now + ATTACH_WITHIN, Event::Expired(rpc));
        self.ask_ledger(Question { from: to, rpc, who, what: Asks::Attach });
    }

    /// A question had no answer: whether the ledger is still there is looked at anew.
    pub fn suspect(&mut self, place: usize) {
        let Some(address) = self.nodes.get(place).map(super::node::Node::address) else { return };
        self.agenda.plan(self.now + AGAIN.0, Event::Relink(address));
    }

    pub fn link_failed(&mut self, to: Address) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        if let Some(process) = node.process.as_mut() {
            process.linking = None;
            process.link = Standing::Down;
        }
        let at = self.now + self.dice.between(AGAIN.0, AGAIN.1);
        self.agenda.plan(at, Event::Relink(to));
        self.link_settled(to.node);
    }

    /// A watch broke off.
    pub fn watch_lost(&mut self, to: Address, watch: u64) {
        let Some(node) = self.nodes.get_mut(to.node).filter(|node| node.is_at(to)) else { return };
        let Some(process) = node.process.as_mut() else { return };
        if process.linking.is_some() {
            // The answer that begins this watch may still be on its way.
            self.agenda.plan(self.now + ATTACH_WITHIN, Event::WatchLost(to, watch));
            return;
        }
        if process.watch != watch {
            return;
        }
        process.link = Standing::Trying;
        let at = self.now + AGAIN.0;
        self.agenda.plan(at, Event::Relink(to));
    }

    /// The ledger took the attachment: now what changes is listened to.
    fn attached(
        &mut self,
        to: Address,
        (asked, knew): (i64, u64),
        who: Sender,
        acknowledged: u64,
        at: Timestamp,
    ) {
        let now = self.now;
        let rpc = self.numbers.next();
        let Some(node) = self.nodes.get_mut(to.node) else { return };
        let answered = node.boottime.at(now);
        let Some(process) = node.process.as_mut() else { return };
        process.time.learn(asked, answered, at);
        process.linking = Some(rpc);
        self.rpcs.insert(rpc, Rpc::Watch { to, who, acknowledged, knew });
        self.agenda.plan(now + ATTACH_WITHIN, Event::Expired(rpc));
        self.ask_ledger(Question { from: to, rpc, who, what: Asks::Watch });
    }

    /// In touch: what the ledger has is known, and whoever waited goes on.
    fn watching(&mut self, to: Address, who: Sender, (acknowledged, knew): (u64, u64), watch: u64) {
        let Some(node) = self.nodes.get_mut(to.node) else { return };
        let boot = node.boot;
        let Some(process) = node.process.as_mut() else { return };
        process.linking = None;
        process.watch = watch;
        if acknowledged < knew {
            // A ledger that was set back: the place where a sidecar would send what it retained again.
            self.fail(format!("sidecar {}: the ledger knows less than it did", to.node));
            return;
        }
        process.link = Standing::Up(who);
        if let Some(offset) = process.time.offset() {
            node.disk.put(Stored::Attached { boot, offset });
        }
        let accounts: Vec<AccountId> = process.wallets.keys().cloned().collect();
        self.acknowledge(to.node, acknowledged);
        for account in accounts {
            self.visit(to.node, &account, |slot, here, disk| {
                slot.wallet.acknowledged(acknowledged, here, disk)
            });
        }
        self.flush(to.node);
        self.plan_report(to.node, 0);
        self.set_timer(to.node);
        self.link_settled(to.node);
    }

    pub fn hear_told(&mut self, place: usize, told: Told) {
        match told {
            Told::Terms(account, terms) => {
                self.visit(place, &account, |slot, here, disk| slot.wallet.changed(&terms, here, disk));
                self.answer_recall(place, account);
            }
            Told::Unknown(account) => {
                self.visit(place, &account, |slot, _, _| slot.wallet.closed());
            }
            Told::Recall(account, number) => {
                self.visit(place, &account, |slot, here, disk| {
                    slot.wallet.give_back(here, disk);
                });
                if let Some(process) = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()) {
                    process.recalls_seen = process.recalls_seen.max(number);
                }
                self.answer_recall(place, account);
            }
        }
    }

    /// The next report tells what was given back or, where nothing was, the account's totals.
    fn answer_recall(&mut self, place: usize, account: AccountId) {
        let Some(node) = self.nodes.get_mut(place) else { return };
        let waits_to = node.disk.waits_to();
        if let Some(process) = node.process.as_mut() {
            process.report_from = process.report_from.max(waits_to);
            process.recalled.insert(account);
        }
        self.plan_report(place, 0);
    }

    /// The answer to one of a sidecar's own questions.
    pub fn hear_answer(&mut self, to: Address, rpc: u64, what: Answers) {
        let Some(asked) = self.rpcs.remove(&rpc) else { return };
        if let Some(fleet) = &mut self.fleet {
            fleet.hears(rpc, self.now);
        }
        match (asked, what) {
            (Rpc::Attach { to, asked, knew }, Answers::Attached { epoch, acknowledged, at }) => {
                let Some(node) = self.nodes.get(to.node) else { return };
                let who = Sender { sidecar: node.id, epoch };
                self.attached(to, (asked, knew), who, acknowledged, at);
            }
            (Rpc::Watch { to, who, acknowledged, knew }, Answers::Watching(watch)) => {
                self.watching(to, who, (acknowledged, knew), watch);
            }
            (Rpc::Attach { to, .. } | Rpc::Watch { to, .. }, _) => self.link_failed(to),
            (Rpc::Report { to }, Answers::Reported(through)) => self.reported(to, through),
            (Rpc::Report { to }, _) => self.report_failed(to),
            (Rpc::Call { call, .. }, what) => self.hear_call(to.node, call, what),
        }
    }

    /// No answer came in time.
    pub fn expired(&mut self, rpc: u64) {
        match self.rpcs.remove(&rpc) {
            Some(Rpc::Attach { to, .. } | Rpc::Watch { to, .. }) => self.link_failed(to),
            Some(Rpc::Report { to }) => self.report_failed(to),
            // A call has a deadline of its own.
            Some(Rpc::Call { .. }) | None => {}
        }
    }
}
