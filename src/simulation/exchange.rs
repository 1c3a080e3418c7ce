//! A call's question to the ledger: when it may be put, and what the answer means, as `sidecar/calls.rs` has it.

use std::rc::Rc;

use super::agenda::Event;
use super::call::{First, RENEW_WITHIN, Stage, WAIT};
use super::disk::{Disk, Stored};
use super::message::{Answers, Asks, Question};
use super::node::Slot;
use super::turn::{self, Reply, Turn, Wish};
use super::world::{Rpc, World};
use crate::engine::account::RunReply;
use crate::engine::wallet::{Here, Link};
use crate::lease::Grant;
use crate::lease::exchange::Needs;
use crate::types::{AccountId, ReservationId, Timestamp};

/// How long a record that the ledger booked is remembered.
const RECORD_MICROS: i64 = 3_600_000_000;

impl World {
    pub fn await_outbox(&mut self, id: u64, first: First) {
        let Some(node) = self.calls.get(&id).and_then(|call| self.nodes.get(call.place)) else { return };
        let through = node.disk.waits_to();
        let ready = node.disk.pending.is_empty();
        self.stage(id, Stage::Flushing(through, first));
        if ready {
            self.put_question(id);
        }
    }

    /// Records were acknowledged: whoever waited for that asks now.
    pub fn outbox_flushed(&mut self, place: usize) {
        let Some(node) = self.nodes.get(place) else { return };
        let first = node.disk.pending.front().copied().unwrap_or(u64::MAX);
        let ready = self.calls.iter().filter(|(_, call)| call.place == place);
        let ready =
            ready.filter(|(_, call)| matches!(call.stage, Stage::Flushing(through, _) if through < first));
        let ready: Vec<u64> = ready.map(|(id, _)| *id).collect();
        for id in ready {
            self.put_question(id);
        }
    }

    fn put_question(&mut self, id: u64) {
        let rpc = self.numbers.next();
        let Some(call) = self.calls.get_mut(&id) else { return };
        let wait = if matches!(*call.wish, Wish::Renew) { RENEW_WITHIN } else { WAIT };
        let Stage::Flushing(_, first) = std::mem::replace(&mut call.stage, Stage::Deciding) else { return };
        let (place, account) = (call.place, call.account.clone());
        let Some(node) = self.nodes.get_mut(place) else { return };
        let (from, asked) = (node.address(), node.boottime.at(self.now));
        let Some(process) = node.process.as_mut() else { return };
        let Some(who) = process.sender() else { return self.away(id) };
        let what = match first {
            First::Lease(mut ask) => {
                process.asks += 1;
                ask.number = process.asks;
                process.slot(&account).asked = ask.number;
                let asked_at = process.time.now(asked);
                call.stage = Stage::Asking { asked_at, asked, needs: ask.needs() };
                Asks::Lease(account, ask, wait)
            }
            First::Decide(ask) => Asks::Decide(account, ask, wait),
        };
        if let Some(fleet) = &mut self.fleet {
            fleet.asks(id, &what);
        }
        self.rpcs.insert(rpc, Rpc::Call { call: id });
        self.agenda.plan(self.now + wait, Event::Expired(rpc));
        self.ask_ledger(Question { from, rpc, who, what });
    }

    /// The ledger's answer to a call's question.
    pub fn hear_call(&mut self, place: usize, id: u64, what: Answers) {
        let Some(call) = self.calls.get(&id) else { return };
        let account = call.account.clone();
        match (&call.stage, what) {
            (Stage::Asking { asked_at, asked, needs }, Answers::Leased(Some(grant))) => {
                let (asked_at, asked, needs) = (*asked_at, *asked, needs.clone());
                self.granted(id, &grant, (asked_at, asked), &needs);
            }
            (Stage::Asking { .. }, Answers::Leased(None)) => {
                self.visit(place, &account, |slot, _, _| slot.wallet.closed());
                self.look_last(id);
            }
            (Stage::Deciding, Answers::Decided(decided)) => match *decided {
                Ok(reply) => self.decided(id, reply),
                Err(fault) => self.conclude(id, Reply::Fault(fault), 0),
            },
            (Stage::Asking { .. } | Stage::Deciding, _) => self.away(id),
            _ => {}
        }
    }

    fn granted(&mut self, id: u64, grant: &Grant, (asked_at, asked): (Timestamp, i64), needs: &Needs) {
        let Some(call) = self.calls.get(&id) else { return };
        let (place, account, renews) = (call.place, call.account.clone(), matches!(*call.wish, Wish::Renew));
        if let Some(node) = self.nodes.get_mut(place) {
            let answered = node.boottime.at(self.now);
            if let Some(process) = node.process.as_mut() {
                process.time.learn(asked, answered, grant.at);
            }
        }
        self.visit(place, &account, |slot, here, disk| take_in(slot, grant, asked_at, here, disk));
        if renews {
            return self.conclude(id, Reply::NotReady, 1);
        }
        match self.try_turn(id, Link::Untried) {
            Some(Ok(Turn::Done { reply, wait })) => self.conclude(id, *reply, wait),
            Some(Ok(Turn::Lease(ask))) if needs.are_settled(grant, &ask) => {
                self.keep_burn(id, &ask);
                self.look_last(id);
            }
            Some(Ok(Turn::Lease(ask))) => {
                self.keep_burn(id, &ask);
                self.has_turn(id);
            }
            Some(Ok(Turn::Decide(_))) => self.has_turn(id),
            Some(Err(())) | None => {}
        }
    }

    /// The ledger has nothing more to give: the answer is what it is.
    fn look_last(&mut self, id: u64) {
        match self.try_turn(id, Link::Asked) {
            Some(Ok(Turn::Done { reply, wait })) => self.conclude(id, *reply, wait),
            Some(Ok(_)) => self.away(id),
            Some(Err(())) | None => {}
        }
    }

    /// The ledger has decided: that it settles this run is on disk before the answer goes out.
    fn decided(&mut self, id: u64, reply: RunReply) {
        let Some(call) = self.calls.get(&id) else { return };
        let (place, account, wish) = (call.place, call.account.clone(), Rc::clone(&call.wish));
        let Some(own) = self.nodes.get(place).map(|node| node.id) else { return };
        let run = wish.id().unwrap_or_default();
        let (reply, until) = match (reply, &*wish) {
            (RunReply::Authorize(answer), Wish::Authorize(asked)) => {
                let times = (answer.as_of, answer.expires_at.unwrap_or(answer.as_of));
                let version = answer.version;
                let handle = answer.reservation.and_then(|_| {
                    self.visit(place, &account, |slot, _, _| {
                        turn::handle_asked(slot, asked, version, times, own)
                    })?
                });
                let until = answer.reservation.map(|_| times.1);
                (Reply::Authorize(answer, handle.map(Box::new)), until)
            }
            (RunReply::Progress(answer), _) => {
                let until = answer.stop_by;
                (Reply::Progress(answer), Some(until))
            }
            (RunReply::Run(answer), wish) => {
                let until = match wish {
                    Wish::Commit(_, handle) | Wish::Release(_, handle) => Some(handle.expires_at),
                    _ => None,
                };
                (Reply::Run(answer), until)
            }
            (RunReply::Authorize(_) | RunReply::Balance(_), _) => (Reply::NotReady, None),
        };
        let until =
            until.or_else(|| matches!(*wish, Wish::Record(_)).then(|| self.in_an_hour(place)).flatten());
        let wait = until.map_or(0, |until| self.note_elsewhere(place, &account, run, until));
        self.conclude(id, reply, wait);
    }

    pub fn in_an_hour(&mut self, place: usize) -> Option<Timestamp> {
        let node = self.nodes.get_mut(place)?;
        let boottime = node.boottime.at(self.now);
        Some(node.process.as_mut()?.time.now(boottime).plus_micros(RECORD_MICROS))
    }

    /// Journals that the ledger settles a run; answers the record, or 0 where that is known or over.
    pub fn note_elsewhere(
        &mut self,
        place: usize,
        account: &AccountId,
        id: ReservationId,
        until: Timestamp,
    ) -> u64 {
        let noted = self.visit(place, account, |slot, here, disk| {
            if slot.elsewhere.contains_key(&id) || until <= here.at {
                return 0;
            }
            slot.elsewhere.insert(id, until);
            disk.urgent = true;
            disk.put(Stored::Elsewhere { account: account.clone(), id, until })
        });
        noted.unwrap_or(0)
    }
}

/// Takes a grant into the wallet.
fn take_in(slot: &mut Slot, grant: &Grant, asked_at: Timestamp, here: Here<'_>, disk: &mut Disk) {
    let wallet = &mut slot.wallet;
    if wallet.lease.is_none() && grant.slices.is_empty() && grant.rooms.is_empty() {
        // Nothing was leased: terms and figures came alone.
        wallet.changed(&grant.terms, here, disk);
        wallet.hear(grant, here, disk);
        return;
    }
    slot.barrier = wallet.leased(grant, asked_at, here, disk);
}
