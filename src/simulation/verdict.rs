//! The end of a world: everything is mended, everybody has reported, every silence is over. Then the ledger must say what
//! callers were answered, to the last credit, and nothing may be stranded.

use super::seen::Seen;
use super::turn::{Reply, Wish};
use super::world::{World, hash};
use crate::credit::{Decision, State};
use crate::engine::call::{Authorize, Release};
use crate::playbook::charge::Quantities;
use crate::types::{AccountId, Credits, Name, Quantity, ReservationId, SidecarId};

/// So long after everything is mended, in microseconds, every lease and seal is over: a seal lasts an hour.
const OVER: i64 = 2 * 3_600_000_000;

/// After that nothing is answered any more but by timers: so long it takes to reach everybody once.
const PROBE: i64 = 5_000_000;

/// So much later somebody else asks: what is recalled is back long before.
const LATER: i64 = 300_000;

impl World {
    /// Lets time pass; false where something went wrong.
    fn pass(&mut self, micros: i64) -> bool {
        let until = self.now + micros;
        self.agenda.plan(until, super::agenda::Event::Quiet);
        while self.now < until {
            if !self.go_on() {
                return self.problem.is_none();
            }
        }
        self.problem.is_none()
    }

    /// Mends everything and compares.
    pub fn settle_up(&mut self) {
        self.mend();
        if !self.pass(OVER) {
            return;
        }
        self.compare();
        let accounts: Vec<AccountId> =
            self.auditor.money.iter().filter(|(_, money)| !money.lapses).map(|(id, _)| id.clone()).collect();
        for account in accounts {
            if self.problem.is_none() {
                self.probe(&account);
            }
        }
        if self.problem.is_none() && self.pass(OVER) {
            self.compare();
        }
        if self.problem.is_none() {
            self.forget();
        }
    }

    /// Last of all, somebody dies before a hold that it has just answered is on its disk: that is nobody else's, for its
    /// commit may still come.
    fn forget(&mut self) {
        let Ok(account) = AccountId::parse("hard") else { return };
        let place = self.dice.below(self.nodes.len());
        self.take_and_release(&account, place);
        if !self.pass(PROBE) {
            return;
        }
        let Some(units) = self.left(&account) else { return };
        let held = self.probe_for(&account, place, 1);
        // What the ledger decided is in its journal.
        if !self.is_allowed(held) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(place) {
            node.crash(0);
        }
        self.restart(place);
        if !self.pass(PROBE) {
            return;
        }
        let whole = self.probe_for(&account, (place + 1) % self.nodes.len().max(1), units);
        if self.pass(PROBE) && self.is_allowed(whole) {
            self.fail(format!("account {account}: what a sidecar held and has forgotten is somebody else's"));
        }
    }

    /// Whole credits that nobody holds or has spent, where the account owes nothing and nothing lapsed, be it headroom.
    fn left(&self, account: &AccountId) -> Option<i64> {
        let slot = self.ledger.slots.get(account)?;
        let balance = slot.account.balance(slot.account.clock, &Default::default());
        let money = self.auditor.money.get(account)?;
        let left =
            (money.credits + money.overage).saturating_sub(balance.spent + balance.debt + balance.held);
        let units = i64::try_from(left.decimal().trunc().mantissa()).ok()?;
        let lapsed = slot.account.book.blocks().any(|block| block.lapsed.is_positive());
        (units > 0 && !balance.debt.is_positive() && !lapsed).then_some(units)
    }

    fn compare(&mut self) {
        let accounts: Vec<AccountId> = self.auditor.money.keys().cloned().collect();
        for account in accounts {
            let checked = self.nothing_stranded(&account).and_then(|()| self.books_balance(&account));
            let checked =
                checked.and_then(|()| self.charges_stand(&account)).and_then(|()| self.replays(&account));
            if let Err(problem) = checked {
                self.fail(format!("at the end, account {account}: {problem}"));
            }
        }
    }

    fn nothing_stranded(&self, account: &AccountId) -> Result<(), String> {
        let Some(slot) = self.ledger.slots.get(account) else { return Err("it is gone".to_owned()) };
        let elsewhere: Credits = slot.account.elsewhere().values().copied().sum();
        if elsewhere.is_positive() {
            return Err(format!("{elsewhere} are stranded at leases and seals"));
        }
        let rooms = slot.account.leases.values().map(|lease| &lease.rooms);
        if rooms.clone().any(|rooms| !rooms.is_empty()) {
            return Err(format!("room of caps is stranded: {:?}", rooms.collect::<Vec<_>>()));
        }
        if !slot.account.book.runs.is_empty() {
            let open: Vec<ReservationId> = slot.account.book.runs.keys().copied().collect();
            return Err(format!("runs are still open: {open:?}"));
        }
        if let Some(held) = slot.account.book.counters.iter().find(|(_, counter)| counter.held.is_positive())
        {
            return Err(format!("a cap is held by nobody: {held:?}"));
        }
        Ok(())
    }

    /// What blocks spent, and what is owed, is what runs were charged; and nothing is missing of what was given.
    fn books_balance(&self, account: &AccountId) -> Result<(), String> {
        let Some(slot) = self.ledger.slots.get(account) else { return Ok(()) };
        let balance = slot.account.balance(slot.account.clock, &Default::default());
        let charged: Credits = slot.account.book.finals.values().map(|ended| ended.charged()).sum();
        // What a settler reported of a run that was settled in its silence is part of that charge until its word comes.
        let settled = |run: &ReservationId, sidecar: SidecarId| {
            slot.account.book.finals.get(run).is_some_and(|ended| ended.provisional == Some(sidecar))
        };
        let alone = slot.account.booked.iter().filter(|((sidecar, run), _)| !settled(run, *sidecar));
        let booked: Credits = alone.map(|(_, b)| crate::credit::hold::total(&b.spent) + b.debt).sum();
        if balance.spent + balance.debt != charged + booked {
            return Err(format!(
                "spent {}, owed {}, and runs were charged {charged} + {booked}",
                balance.spent, balance.debt
            ));
        }
        let money = self.auditor.money.get(account).filter(|money| !money.lapses);
        let Some(money) = money.filter(|money| money.overage.is_zero()) else { return Ok(()) };
        if balance.available + balance.spent != money.credits {
            return Err(format!(
                "available {} and spent {}, and it was given {}",
                balance.available, balance.spent, money.credits
            ));
        }
        Ok(())
    }

    /// Per reservation the ledger's final charge is what its settler answered last.
    fn charges_stand(&self, account: &AccountId) -> Result<(), String> {
        let Some(slot) = self.ledger.slots.get(account) else { return Ok(()) };
        let finals = &slot.account.book.finals;
        for (id, run) in self.auditor.runs.iter().filter(|(_, run)| run.account == *account) {
            let ended = finals.get(id);
            let lost = |sidecar| self.auditor.lost_disks.contains(sidecar);
            if run.settled.iter().any(|(_, at)| lost(at)) || run.accepted.iter().any(lost) {
                continue;
            }
            let charged = ended.map(|ended| ended.charged());
            if let Some((last, _)) = run.settled.last() {
                // Held twice, at two sidecars or after it was forgotten, it is settled twice: one of the answers stands.
                let stands = if run.at.len() > 1 || run.holding > 1 || run.direct {
                    let mut told = run.settled.iter().map(|(one, _)| one).chain(&run.provisional);
                    // A commit whose answer was lost, or that was only accepted, may have been the first.
                    told.any(|one| Some(*one) == charged)
                        || !run.accepted.is_empty()
                        || run.lost_questions > 0
                } else {
                    Some(*last) == charged
                };
                if !stands {
                    return Err(format!(
                        "run {id}: {:?} was answered, the ledger has {charged:?}; {run:?}",
                        run.settled
                    ));
                }
            } else if !run.accepted.is_empty()
                && !ended.is_some_and(|ended| ended.state == State::Settled)
                && !run.lapses()
            {
                return Err(format!("run {id}: its commit was accepted, and the ledger has {ended:?}"));
            }
        }
        for (id, ended) in finals.iter().filter(|(_, ended)| ended.charged().is_positive()) {
            let asked = self.auditor.runs.get(id);
            if !asked.is_some_and(Seen::may_be_charged) {
                return Err(format!(
                    "run {id} was charged {}, and nobody was told: {asked:?}",
                    ended.charged()
                ));
            }
        }
        Ok(())
    }

    /// Reading the journal gives the state.
    fn replays(&self, account: &AccountId) -> Result<(), String> {
        let Some(slot) = self.ledger.slots.get(account) else { return Ok(()) };
        let replayed = self.ledger.replayed(account, &self.playbooks);
        if slot.account.is_same_as(&replayed) {
            Ok(())
        } else {
            Err("replaying its journal gives another state".to_owned())
        }
    }

    /// Everybody takes a little of an account; then one run may have all the rest, and no run a credit more.
    fn probe(&mut self, account: &AccountId) {
        for place in 0..self.nodes.len() {
            self.take_and_release(account, place);
        }
        if !self.pass(PROBE) {
            return;
        }
        let Some(units) = self.left(account) else { return };
        // Whoever asks later, while what others hold idle is recalled for the first, comes too late.
        let place = self.dice.below(self.nodes.len());
        let whole = self.probe_for(account, place, units);
        if !self.pass(LATER) {
            return;
        }
        let more = self.probe_for(account, (place + 1) % self.nodes.len().max(1), 1);
        if !self.pass(PROBE) {
            return;
        }
        if !self.is_allowed(whole) {
            self.fail(format!("account {account}: {units} credits are left, and a run may not have them"));
        } else if self.is_allowed(more) {
            self.fail(format!("account {account}: there was a credit more than there was"));
        }
    }

    fn is_allowed(&self, id: u64) -> bool {
        self.callers.decided.get(&id).is_some_and(|decision| *decision != Decision::Denied)
    }

    /// Somebody takes a credit and gives it back.
    fn take_and_release(&mut self, account: &AccountId, place: usize) {
        let before = self.callers.runs.len();
        self.callers.last = None;
        self.probe_for(account, place, 1);
        self.pass(PROBE / 2);
        let Some(Reply::Authorize(_, handle)) = self.callers.last.take() else { return };
        self.callers.runs.truncate(before);
        if let Some(handle) = handle {
            self.ask(place, account, Wish::Release(Release { id: handle.id, accepted_at: None }, handle));
        }
    }

    /// Asks for so much, in peace.
    fn probe_for(&mut self, account: &AccountId, place: usize, units: i64) -> u64 {
        let Ok(action) = Name::parse("quick") else { return 0 };
        let call = Authorize {
            id: ReservationId(hash(b"probe", self.numbers.next())),
            action,
            subject: Default::default(),
            quantities: units.to_string().parse::<Quantity>().ok().map(Quantities::Single),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        };
        self.ask(place, account, Wish::Authorize(call))
    }
}
