//! What callers and administrators of a world ask: runs with users, teams, children, retries and repeated request ids, on
//! accounts with plenty, with little, with overage, and with credits that lapse.

use std::collections::BTreeMap;

use super::agenda::Event;
use super::auditor::Money;
use super::turn::{Reply, Wish};
use super::world::{World, hash};
use crate::credit::{Decision, PoolId, Subject};
use crate::engine::account::{Command, GrantAsk};
use crate::engine::call::{Authorize, Commit, Progress, Record, Release};
use crate::engine::handle::{self, Handle};
use crate::lease::terms::HandleKey;
use crate::playbook::charge::{Quantities, RunResult};
use crate::playbook::draw_order::Species;
use crate::types::{AccountId, Credits, Length, Name, Quantity, RequestId, ReservationId, SidecarId};

/// Time between two questions, in microseconds.
const GAP: (i64, i64) = (5_000, 300_000);

/// Now and then somebody else asks at the same moment, before the first has its answer.
const RUSH: (i64, i64) = (0, 4_000);

/// Runs that callers still remember.
const RUNS_MAX: usize = 40;

/// What plans of these accounts give at once: the auditor knows it, too.
pub const PLANS: [(&str, i64, i64); 4] =
    [("hard", 60, 0), ("scarce", 12, 0), ("soft", 40, 30), ("lapsing", 60, 0)];

pub const PLAYBOOK: &str = "
bursar: 1
playbook: simulated
version: 1
credit: {unit: output, scale: 1, price: 0.10, currency: USD}
actions:
  draft: {weight: 1, retries: {within: 10m, free: 2}, failure: 20%, reserve: {ttl: 90s, longest: 3m}}
  quick: {weight: 1, reserve: {ttl: 20s, longest: 3m}}
  ping: {weight: 0.5, trigger: event}
  lead: {weight: 3, trigger: outcome, lapse: 50%, reserve: {ttl: 1m, outcome_ttl: 3m, longest: 3m}}
  plain: {weight: 1, basic: true, reserve: {ttl: 30s, longest: 3m}}
plans:
  hard:
    allowance: [{credits: 60, every: month}]
    caps:
      - {name: user, per: user, limit: 30, every: day}
      - {name: parallel, per: account, concurrent: 6}
    offline: {mode: deny, lease: 20s, reclaim_after: 4m}
  scarce:
    allowance: [{credits: 12, every: month}]
    offline: {mode: deny, lease: 20s, reclaim_after: 4m}
  soft:
    allowance: [{credits: 40, every: month}]
    overage: [{soft: {up_to: 30}}, {degraded: {credits: 5, every: hour}}]
    caps: [{name: run, per: run, limit: 25}, {name: watch, per: team, limit: 10, every: day, soft: true}]
    offline: {mode: deny, lease: 30s, reclaim_after: 4m}
  lapsing:
    allowance: [{credits: 60, every: day}, {credits: 7, every: 1h}]
    overage: [{degraded: {credits: 5, every: hour}}]
    caps: [{name: count, per: action, match: ping, runs: 9, every: hour}]
    alerts: [{name: low, balance_below: 20%}]
    offline: {mode: deny, lease: 60s, reclaim_after: 5m}
";

/// A run that somebody may still ask about.
#[derive(Clone, Debug)]
pub struct Open {
    pub account: AccountId,
    pub handle: Box<Handle>,
}

#[derive(Debug, Default)]
pub struct Callers {
    pub runs: Vec<Open>,
    pub ended: bool,
    /// What a run was answered last.
    pub last: Option<Reply>,
    /// What became of each run that somebody asked for.
    pub decided: BTreeMap<u64, Decision>,
}

/// Every account's key is its own.
fn key(account: &AccountId) -> HandleKey {
    HandleKey { id: 1, secret: *blake3::hash(account.as_str().as_bytes()).as_bytes() }
}

fn name(text: &str) -> Option<Name> {
    Name::parse(text).ok()
}

impl World {
    /// Opens the accounts, starts everybody.
    pub fn open(&mut self) {
        for (plan, credits, overage) in PLANS {
            let (Ok(account), Some(plan_name)) = (AccountId::parse(plan), name(plan)) else { continue };
            let subscribe = Command::Subscribe {
                plan: plan_name,
                zone: "UTC".to_owned(),
                key: key(&account),
                overlay: Box::default(),
            };
            if let Err(refusal) = self.at_ledger(&account, |work| work.administer(&subscribe, None)) {
                self.fail(format!("account {account}: {refusal}"));
            }
            let lapses = plan == "lapsing";
            let money = Money { credits: Credits::whole(credits), overage: Credits::whole(overage), lapses };
            self.auditor.opened(account, money);
        }
        for place in 0..self.nodes.len() {
            self.restart(place);
        }
        self.agenda.plan(500_000, Event::Caller);
        self.agenda.plan(3_000_000, Event::Trouble);
    }

    fn account(&mut self) -> Option<AccountId> {
        let at = self.dice.below(PLANS.len());
        AccountId::parse(PLANS.get(at)?.0).ok()
    }

    /// The next question.
    pub fn call(&mut self) {
        if self.steps >= self.most {
            self.callers.ended = true;
            return;
        }
        self.steps += 1;
        let (least, most) = if self.dice.one_in(4) { RUSH } else { GAP };
        let at = self.now + self.dice.between(least, most);
        self.agenda.plan(at, Event::Caller);
        let Some(account) = self.account() else { return };
        let kind = self.dice.below(100);
        if kind >= 95 {
            return self.administer(&account);
        }
        let running: Vec<usize> = (0..self.nodes.len())
            .filter(|place| {
                let node = self.nodes.get(*place);
                node.is_some_and(|node| node.process.is_some() && node.paused_until <= self.now)
            })
            .collect();
        let Some(place) = self.dice.pick(&running).copied() else { return };
        let open = self.recent();
        let (account, wish) = match (kind, open) {
            (0..46, open) => {
                let call = self.authorization(&account, open.as_ref(), place);
                (account, call.map(Wish::Authorize))
            }
            (46..80, Some(open)) => (open.account, Some(self.commitment(open.handle))),
            (80..87, Some(open)) => (open.account, Some(self.progression(open.handle))),
            (87..91, Some(open)) => (
                open.account,
                Some(Wish::Release(Release { id: open.handle.id, accepted_at: None }, open.handle)),
            ),
            _ => {
                let record = self.work_done(&account);
                (account, record)
            }
        };
        if let Some(wish) = wish {
            self.ask(place, &account, wish);
        }
    }

    /// Asks at a sidecar, before the auditor's eyes.
    pub fn ask(&mut self, place: usize, account: &AccountId, wish: Wish) -> u64 {
        let Some(sidecar) = self.nodes.get(place).map(|node| node.id) else { return 0 };
        let at = self.ledger.time.now(self.now);
        let id = self.numbers.next();
        self.trace.answer(self.now, || format!("call {id} at {place}: {account} {wish:?}"));
        self.auditor.asked(id, (self.now, at), sidecar, account, &wish);
        self.begin_call(id, place, account, wish);
        id
    }

    fn recent(&mut self) -> Option<Open> {
        let back = self.dice.below(self.callers.runs.len().min(10));
        let at = self.callers.runs.len().checked_sub(back + 1)?;
        self.callers.runs.get(at).cloned()
    }

    fn quantity(&mut self, most: i64) -> Option<Quantities> {
        let units = self.dice.between(1, most).to_string();
        units.parse::<Quantity>().ok().map(Quantities::Single)
    }

    fn authorization(&mut self, account: &AccountId, open: Option<&Open>, place: usize) -> Option<Authorize> {
        let action = *self.dice.pick(&["draft", "draft", "quick", "quick", "ping", "lead", "plain"])?;
        let open = open.filter(|open| open.account == *account).map(|open| open.handle.id);
        let (mut parent, mut retry_of, mut run_id) = (None, None, None);
        match self.dice.below(8) {
            0 => parent = open,
            1 => retry_of = open,
            2 => run_id = name(self.dice.pick(&["j1", "j2"])?),
            _ => {}
        }
        let user = if self.dice.one_in(3) { name(self.dice.pick(&["ann", "bob"])?) } else { None };
        let team = if self.dice.one_in(4) { name("t") } else { None };
        // Mostly at the sidecar that it came to before; seldom at another, which then may hold it a second time.
        let request = self.dice.one_in(5).then(|| self.dice.below(40));
        let at = if self.dice.one_in(4) { 9 } else { place };
        let id = match request.and_then(|number| RequestId::parse(&format!("{at}-{number}")).ok()) {
            Some(request) => handle::reservation_id(&key(account), account, "authorize", &request),
            None => ReservationId(hash(b"reservation", self.numbers.next())),
        };
        Some(Authorize {
            id,
            action: name(action)?,
            subject: Subject { team, user, agent: None },
            quantities: self.quantity(if action == "lead" { 3 } else { 9 }),
            dimensions: Default::default(),
            run_id,
            parent,
            retry_of,
            ttl: self.dice.one_in(6).then(|| self.dice.between(5, 80) * 1_000_000),
            validate_only: false,
        })
    }

    fn commitment(&mut self, handle: Box<Handle>) -> Wish {
        let results = [
            RunResult::Succeeded,
            RunResult::Succeeded,
            RunResult::Succeeded,
            RunResult::Partial,
            RunResult::Failed,
            RunResult::Cancelled,
        ];
        let result = self.dice.pick(&results).copied().unwrap_or(RunResult::Succeeded);
        let quantities = if self.dice.one_in(3) { self.quantity(12) } else { None };
        let lead = handle.action.as_str() == "lead";
        let request_id = self.dice.one_in(2).then(|| RequestId::parse(&format!("c-{}", handle.id)).ok());
        let commit = Commit {
            quantities,
            verified: lead && self.dice.one_in(2),
            request_id: request_id.flatten(),
            ..Commit::new(handle.id, result)
        };
        Wish::Commit(commit, handle)
    }

    fn progression(&mut self, handle: Box<Handle>) -> Wish {
        let progress = Progress {
            id: handle.id,
            quantities: self.quantity(5),
            ahead: if self.dice.one_in(2) { self.quantity(8) } else { None },
            ttl: self.dice.one_in(2).then(|| self.dice.between(10, 120) * 1_000_000),
        };
        Wish::Progress(progress, handle)
    }

    fn work_done(&mut self, account: &AccountId) -> Option<Wish> {
        let number = self.dice.below(60);
        let request = RequestId::parse(&format!("w-{number}")).ok()?;
        let id = handle::reservation_id(&key(account), account, "record", &request);
        let units = (number % 5 + 1).to_string().parse::<Quantity>().ok()?;
        let authorize = Authorize {
            id,
            action: name("quick")?,
            subject: Subject::default(),
            quantities: Some(Quantities::Single(units)),
            dimensions: Default::default(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        };
        let commit = Commit {
            quantities: authorize.quantities.clone(),
            request_id: Some(request),
            ..Commit::new(id, RunResult::Succeeded)
        };
        Some(Wish::Record(Record { authorize, commit }))
    }

    /// Administrators grant packs, and now and then suspend an account for a while.
    fn administer(&mut self, account: &AccountId) {
        if !self.ledger.is_up {
            return;
        }
        let credits = Credits::whole(self.dice.between(3, 25));
        let lapsing = account.as_str() == "lapsing";
        let lasts = (lapsing && self.dice.one_in(2)).then(|| Length::minutes(self.dice.between(1, 9)));
        let ask = GrantAsk {
            credits,
            species: Species::OnDemand,
            starts: None,
            lasts,
            priority: 0,
            price: None,
            pool: PoolId::Account,
        };
        // An administrator is answered once it is durable: what a crash of the ledger takes was never granted.
        match self.at_ledger(account, |work| work.administer(&Command::Grant(Box::new(ask)), None)) {
            Ok(_) => {
                self.auditor.granted(account, credits);
                self.ledger.write_through();
            }
            Err(refusal) => self.fail(format!("account {account}: {refusal}")),
        }
    }

    /// Credits that nobody can give back, and whether there is room of caps, too: at seals, and at sidecars that are not
    /// there any more.
    fn gone(&self, account: &AccountId) -> (Credits, bool) {
        let Some(slot) = self.ledger.slots.get(account) else { return (Credits::ZERO, false) };
        let is_here = |sidecar: &SidecarId| self.nodes.iter().any(|node| node.id == *sidecar);
        let leases = || slot.account.leases.iter().filter(|(sidecar, _)| !is_here(sidecar));
        let leased: Credits = leases().flat_map(|(_, lease)| lease.out.values()).copied().sum();
        let seals = &slot.account.seals;
        let sealed: Credits = seals.iter().flat_map(|seal| seal.slices.values()).copied().sum();
        let room = leases().any(|(_, lease)| !lease.rooms.is_empty())
            || seals.iter().any(|seal| !seal.rooms.is_empty());
        (leased + sealed, room)
    }

    /// A caller was answered.
    pub fn answered(&mut self, id: u64, call: &super::call::Call, reply: Reply) {
        if self.fleet.is_some() {
            return self.fleet_answered(id, call.place, reply);
        }
        self.trace.answer(self.now, || format!("answer {id} at {}: {reply:?}", call.place));
        let at = self.ledger.time.now(self.now);
        let at = at.max(self.furthest);
        let gone = self.gone(&call.account);
        if let Some(problem) = self.auditor.answered(id, (self.now, at), self.calm_since, gone, &reply) {
            self.fail(problem);
        }
        let ends = matches!(reply, Reply::Run(_));
        let begins = matches!(&reply, Reply::Authorize(answer, _) if answer.reservation.is_some());
        if let Some((place, until)) = self.doomed
            && place == call.place
            && (ends || begins)
        {
            self.doomed = None;
            self.agenda.plan(self.now, Event::Crash(place, until.max(self.now)));
        }
        if let Reply::Authorize(answer, _) = &reply {
            self.callers.decided.insert(id, answer.decision);
            self.callers.last = Some(reply.clone());
        }
        if let Reply::Authorize(answer, Some(handle)) = reply
            && answer.reservation.is_some()
        {
            self.callers.runs.push(Open { account: call.account.clone(), handle });
            if self.callers.runs.len() > RUNS_MAX {
                self.callers.runs.remove(0);
            }
        }
    }
}
