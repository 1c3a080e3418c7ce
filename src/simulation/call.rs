//! One call's way at a sidecar, as `sidecar/calls.rs` has it: decided on the lease in hand; else the ledger is asked, one
//! question per account at a time; else the sidecar answers alone.

use std::rc::Rc;

use super::agenda::Event;
use super::node::Standing;
use super::turn::{self, Reply, Turn, Wish};
use super::world::World;
use crate::credit::State;
use crate::engine::account::RunAsk;
use crate::engine::wallet::{Link, Log};
use crate::lease::Ask;
use crate::lease::exchange::Needs;
use crate::types::{AccountId, Planted, Timestamp};

/// How often one call asks because others took what came.
const ASKS_MAX: usize = 8;

/// How long a call waits for the ledger's word.
pub const WAIT: i64 = 1_000_000;
pub const RENEW_WITHIN: i64 = 5_000_000;

#[derive(Debug)]
pub struct Call {
    pub place: usize,
    pub account: AccountId,
    pub wish: Rc<Wish>,
    pub stage: Stage,
    asks: usize,
}

#[derive(Debug)]
pub enum Stage {
    /// Until it is known whether the ledger is in reach.
    Settling(First),
    /// Until it may ask.
    Turn,
    /// Until the ledger has what was journaled before the question.
    Flushing(u64, First),
    /// The ledger is asked for a lease; when that was, and what for.
    Asking {
        asked_at: Timestamp,
        asked: i64,
        needs: Needs,
    },
    Deciding,
    /// Until the record is on disk.
    Durable(u64, Box<Reply>),
}

#[derive(Debug)]
pub enum First {
    Lease(Box<Ask>),
    Decide(Box<RunAsk>),
}

impl World {
    /// A caller asks at a sidecar.
    pub fn begin_call(&mut self, id: u64, place: usize, account: &AccountId, wish: Wish) {
        let call = Call { place, account: account.clone(), wish: Rc::new(wish), stage: Stage::Turn, asks: 0 };
        self.calls.insert(id, call);
        if let Some(Ok(turn)) = self.try_turn(id, Link::Untried) {
            match turn {
                Turn::Done { reply, wait } => self.conclude(id, *reply, wait),
                Turn::Lease(ask) => {
                    self.keep_burn(id, &ask);
                    self.settle(id, First::Lease(ask));
                }
                Turn::Decide(ask) => self.settle(id, First::Decide(ask)),
            }
        }
    }

    /// Asks for more time for a lease.
    pub fn renew(&mut self, place: usize, account: &AccountId) {
        let id = self.numbers.next();
        let wish = Rc::new(Wish::Renew);
        self.calls.insert(id, Call { place, account: account.clone(), wish, stage: Stage::Turn, asks: 0 });
        self.agenda.plan(self.now + RENEW_WITHIN, Event::Deadline(id));
        let node = self.nodes.get(place).and_then(|node| node.process.as_ref());
        if node.is_some_and(|process| process.sender().is_some()) {
            self.wait_for_turn(id);
        } else {
            self.conclude(id, Reply::NotReady, 0);
        }
    }

    /// Looks at the wallet once. `None`: it was answered, or is gone.
    pub fn try_turn(&mut self, id: u64, link: Link) -> Option<Result<Turn, ()>> {
        let call = self.calls.get(&id)?;
        let (place, account, wish) = (call.place, call.account.clone(), Rc::clone(&call.wish));
        let own = self.nodes.get(place)?.id;
        let turn =
            self.visit(place, &account, |slot, here, disk| turn::look(&wish, slot, here, disk, link, own))?;
        match turn {
            Ok(turn) => Some(Ok(turn)),
            Err(reply) => {
                self.conclude(id, reply, 0);
                None
            }
        }
    }

    /// An ask that is not sent: the use that it was to tell is told by the next.
    pub fn keep_burn(&mut self, id: u64, ask: &Ask) {
        let burn = ask.burn;
        if burn.is_positive()
            && let Some((place, account)) = self.calls.get(&id).map(|call| (call.place, call.account.clone()))
        {
            self.visit(place, &account, |slot, _, _| slot.burn += burn);
        }
    }

    pub fn stage(&mut self, id: u64, stage: Stage) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.stage = stage;
        }
    }

    fn standing(&self, id: u64) -> Option<(usize, Standing)> {
        let place = self.calls.get(&id)?.place;
        Some((place, self.nodes.get(place)?.process.as_ref()?.link))
    }

    /// The way by the ledger, once it is known whether it is in reach.
    fn settle(&mut self, id: u64, first: First) {
        self.agenda.plan(self.now + WAIT, Event::Deadline(id));
        self.go_around(id, first);
    }

    fn go_around(&mut self, id: u64, first: First) {
        match (self.standing(id), first) {
            (None, _) => {}
            (Some((_, Standing::Trying)), first) => self.stage(id, Stage::Settling(first)),
            (Some((_, Standing::Down)), _) => self.alone(id),
            (Some((_, Standing::Up(_))), First::Decide(ask)) => self.pass_on(id, ask),
            (Some((_, Standing::Up(_))), First::Lease(_)) => self.wait_for_turn(id),
        }
    }

    /// It is known now whether the ledger is in reach.
    pub fn link_settled(&mut self, place: usize) {
        let waiting = self.calls.iter().filter(|(_, call)| call.place == place);
        let waiting = waiting.filter(|(_, call)| matches!(call.stage, Stage::Settling(_)));
        let waiting: Vec<u64> = waiting.map(|(id, _)| *id).collect();
        for id in waiting {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if let Stage::Settling(first) = std::mem::replace(&mut call.stage, Stage::Turn) {
                self.go_around(id, first);
            }
        }
    }

    fn wait_for_turn(&mut self, id: u64) {
        self.stage(id, Stage::Turn);
        let Some((place, account)) = self.calls.get(&id).map(|call| (call.place, call.account.clone()))
        else {
            return;
        };
        let taken = self.visit(place, &account, |slot, _, _| {
            if slot.turn.is_none() {
                slot.turn = Some(id);
                return true;
            }
            slot.waiting.push_back(id);
            false
        });
        if taken == Some(true) {
            self.has_turn(id);
        }
    }

    fn leave_turn(&mut self, id: u64) {
        let Some((place, account)) = self.calls.get(&id).map(|call| (call.place, call.account.clone()))
        else {
            return;
        };
        let next = self.nodes.get_mut(place).and_then(|node| node.process.as_mut()).and_then(|process| {
            let slot = process.slot(&account);
            slot.waiting.retain(|waits| *waits != id);
            if slot.turn != Some(id) {
                return None;
            }
            slot.turn = slot.waiting.pop_front();
            slot.turn
        });
        if let Some(next) = next {
            self.agenda.plan(self.now, Event::Turn(next));
        }
    }

    /// It may ask: whoever had the turn before may have fetched enough for it, too.
    pub fn has_turn(&mut self, id: u64) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let (place, account) = (call.place, call.account.clone());
        if matches!(*call.wish, Wish::Renew) {
            let ask = self.visit(place, &account, |slot, here, _| {
                slot.wallet.lease.as_ref()?;
                let wallet = &mut slot.wallet;
                let mut ask =
                    if wallet.wants_more(here.at) { wallet.growth(here.at) } else { wallet.renewal(here.at) };
                ask.burn += std::mem::take(&mut slot.burn);
                Some(ask)
            });
            return match ask.flatten() {
                Some(ask) => self.exchange(id, Box::new(ask)),
                None => self.conclude(id, Reply::NotReady, 0),
            };
        }
        call.asks += 1;
        let last = call.asks > ASKS_MAX;
        match self.try_turn(id, if last { Link::Asked } else { Link::Untried }) {
            None | Some(Err(())) => {}
            Some(Ok(Turn::Done { reply, wait })) => self.conclude(id, *reply, wait),
            Some(Ok(_)) if last => self.alone(id),
            Some(Ok(Turn::Lease(ask))) => self.exchange(id, ask),
            Some(Ok(Turn::Decide(ask))) => {
                self.leave_turn(id);
                self.pass_on(id, ask);
            }
        }
    }

    /// The ledger decides the whole call; what lies idle here is free for its decision.
    fn pass_on(&mut self, id: u64, ask: Box<RunAsk>) {
        let Some(call) = self.calls.get(&id) else { return };
        let (place, account, draws) = (call.place, call.account.clone(), call.wish.may_draw());
        if draws {
            self.visit(place, &account, |slot, here, disk| {
                slot.wallet.give_back(here, disk);
            });
        }
        self.await_outbox(id, First::Decide(ask));
    }

    /// What was given back or charged so far is known to the ledger before it is asked.
    fn exchange(&mut self, id: u64, mut ask: Box<Ask>) {
        if let Some(call) = self.calls.get(&id) {
            let (place, account) = (call.place, call.account.clone());
            let kept = self.visit(place, &account, |slot, _, _| std::mem::take(&mut slot.burn));
            ask.burn += kept.unwrap_or_default();
        }
        self.await_outbox(id, First::Lease(ask));
    }

    /// The ledger did not answer, or could not.
    pub fn away(&mut self, id: u64) {
        if let Some((place, _)) = self.standing(id) {
            self.suspect(place);
        }
        self.alone(id);
    }

    /// The caller's patience is over.
    pub fn deadline(&mut self, id: u64) {
        let waits_for_ledger =
            self.calls.get(&id).is_some_and(|call| !matches!(call.stage, Stage::Durable(..)));
        if waits_for_ledger {
            self.away(id);
        }
    }

    /// The sidecar answers without the ledger.
    fn alone(&mut self, id: u64) {
        self.leave_turn(id);
        let renews = self.calls.get(&id).is_some_and(|call| matches!(*call.wish, Wish::Renew));
        if renews {
            return self.conclude(id, Reply::NotReady, 0);
        }
        match self.try_turn(id, Link::Unreachable) {
            Some(Ok(Turn::Done { reply, wait })) => self.conclude(id, *reply, wait),
            Some(Ok(_)) => self.conclude(id, Reply::NotReady, 0),
            Some(Err(())) | None => {}
        }
    }

    /// Answers, once record `wait` is on disk. A renewal ends here, well where `wait` is not 0.
    pub fn conclude(&mut self, id: u64, reply: Reply, mut wait: u64) {
        self.leave_turn(id);
        let Some(call) = self.calls.get(&id) else { return };
        let (place, account, wish) = (call.place, call.account.clone(), Rc::clone(&call.wish));
        if matches!(*wish, Wish::Renew) {
            self.calls.remove(&id);
            self.visit(place, &account, |slot, here, disk| {
                slot.renewing = false;
                if wait == 0 {
                    slot.wallet.renewal_failed(here, disk);
                }
            });
            return;
        }
        // Kept for a settler out of reach: the run's request id is that one's from here on.
        if let (Reply::Run(answer), Some(run)) = (&reply, wish.id())
            && answer.state == State::Accepted
        {
            let until = match &*wish {
                Wish::Commit(_, handle) | Wish::Release(_, handle) => Some(handle.expires_at),
                _ => self.in_an_hour(place),
            };
            wait = wait.max(until.map_or(0, |until| self.note_elsewhere(place, &account, run, until)));
        }
        if Planted::AcknowledgedBeforeDurable.is_here() && matches!(*wish, Wish::Commit(..)) {
            wait = 0;
        }
        let Some(node) = self.nodes.get_mut(place) else { return };
        if wait <= node.disk.durable() {
            self.answer(id, reply);
        } else {
            node.disk.urgent = true;
            self.stage(id, Stage::Durable(wait, Box::new(reply)));
            self.flush(place);
        }
    }

    /// Answers whoever waited for the disk.
    pub fn answer_durable(&mut self, place: usize) {
        let Some(durable) = self.nodes.get(place).map(|node| node.disk.durable) else { return };
        let ready = self.calls.iter().filter(|(_, call)| call.place == place);
        let ready =
            ready.filter(|(_, call)| matches!(call.stage, Stage::Durable(wait, _) if wait <= durable));
        let ready: Vec<u64> = ready.map(|(id, _)| *id).collect();
        for id in ready {
            let Some(call) = self.calls.get_mut(&id) else { continue };
            if let Stage::Durable(_, reply) = std::mem::replace(&mut call.stage, Stage::Deciding) {
                self.answer(id, *reply);
            }
        }
    }

    fn answer(&mut self, id: u64, reply: Reply) {
        if let Some(call) = self.calls.remove(&id) {
            self.answered(id, &call, reply);
        }
    }
}
