//! A fleet: many sidecars that share one account with a hard cap, under even weather. What is asked, and what it costs in
//! calls of the ledger, in credits that lie idle, and in time.

use std::collections::BTreeMap;

use super::agenda::Event;
use super::fleet_figures::{Figures, Latest, Tally};
use super::turn::{Reply, Wish};
use super::world::{World, hash};
use crate::credit::{Decision, Reason, Subject};
use crate::engine::account::Command;
use crate::engine::call::{Authorize, Commit};
use crate::engine::contract::Playbooks;
use crate::engine::handle::Handle;
use crate::lease::terms::HandleKey;
use crate::playbook;
use crate::playbook::charge::{Quantities, RunResult};
use crate::types::{AccountId, Credits, Name, Quantity, ReservationId, SidecarId};

/// What one run reserves at most, in credits; the least is 1, and it uses between 1 and what it reserved.
pub const LARGEST: i64 = 8;

/// Mean use of a run, in hundredths of a credit: of what is reserved evenly from 1 to 8, evenly from 1 on.
pub const MEAN_USE: i64 = 275;

/// How long runs take, in microseconds: mostly this, one in forty long enough to be promoted.
const USUAL: (i64, i64) = (200_000, 6_000_000);
const LONG: (i64, i64) = (20_000_000, 100_000_000);
const LONG_ONE_IN: usize = 40;

/// The load rises and falls between 60% and 140% of its mean, once in so many seconds.
const TIDE: i64 = 40;

/// The sidecars that are asked most change every so many seconds.
const SHIFT: i64 = 30;

/// After the last question runs end, and what nobody uses goes back: two lease times and the longest run.
const REST: i64 = 220;

const SECOND: i64 = 1_000_000;

/// Callers begin once everybody is in touch.
const BEGIN: i64 = 1_000_000;

/// What a fleet is asked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    pub seed: u64,
    pub sidecars: usize,
    /// Runs that begin in a second over the whole fleet, on average.
    pub runs_per_second: i64,
    /// For how long runs begin.
    pub seconds: i64,
    /// Credits of the account, which are also the limit of its hard cap.
    pub allowance: i64,
    /// At this second the sidecar that is asked most loses its disk, and the world ends once its lease is reclaimed.
    pub dies: Option<i64>,
}

#[derive(Debug)]
pub struct Fleet {
    load: Load,
    account: AccountId,
    action: Name,
    /// Running sums of how often each rank is asked.
    ranks: Vec<u64>,
    clock: Clock,
    /// Authorisations without an answer.
    pub(super) asked: BTreeMap<u64, Waiting>,
    /// Runs that are under way.
    open: BTreeMap<u64, Open>,
    /// Questions for which idle slices were recalled, and when.
    pub(super) recalling: BTreeMap<u64, i64>,
    /// Who died, and when.
    dead: Option<(SidecarId, i64)>,
    pub(super) latest: Latest,
    pub(super) figures: Figures,
}

/// Nanoseconds of a clock that the caller owns: pure code has none.
#[derive(Clone, Copy)]
struct Clock(fn() -> u64);

impl std::fmt::Debug for Clock {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Clock")
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    at: i64,
    credits: i64,
    /// Whether the ledger was asked for it.
    pub(super) waited: bool,
}

#[derive(Debug)]
struct Open {
    at: super::message::Address,
    handle: Box<Handle>,
    credits: i64,
}

/// Plays a fleet to its end. `clock` tells nanoseconds, for what the machines cost; everything else follows from the load.
///
/// Errors: what was wrong in that world.
pub fn play_fleet(load: Load, clock: fn() -> u64) -> Result<Figures, String> {
    let mut playbooks = Playbooks::default();
    playbooks.publish(playbook::load(&text(load.allowance)).map_err(|error| format!("{error:?}"))?);
    let mut world = World::new(load.seed, load.sidecars, 0, playbooks);
    world.fleet = Some(Box::new(Fleet::new(load, clock)?));
    world.open_fleet()?;
    let end = (load.seconds + REST) * SECOND;
    while world.problem.is_none() && world.now < end && !world.fleet_is_over() && world.go_on() {}
    world.end_fleet()
}

fn text(allowance: i64) -> String {
    format!(
        "
bursar: 1
playbook: fleet
version: 1
credit: {{unit: output, scale: 1, price: 0.10, currency: USD}}
actions:
  task: {{weight: 1, reserve: {{ttl: 5m}}}}
plans:
  fleet:
    allowance: [{{credits: {allowance}, every: month}}]
    caps: [{{name: budget, per: account, limit: {allowance}, every: month}}]
    offline: {{mode: deny, lease: 60s, reclaim_after: 1m}}
"
    )
}

impl Fleet {
    fn new(load: Load, clock: fn() -> u64) -> Result<Self, String> {
        let wrong = |error| format!("{error:?}");
        let mut sum = 0;
        // The second is asked half as often as the first, the third a third as often, and so on.
        let ranks = (1..=load.sidecars as u64).map(|rank| {
            sum += 1_000_000 / rank;
            sum
        });
        let allowance = Credits::whole(load.allowance);
        Ok(Self {
            load,
            account: AccountId::parse("fleet").map_err(|error| format!("{error:?}"))?,
            action: Name::parse("task").map_err(wrong)?,
            ranks: ranks.collect(),
            clock: Clock(clock),
            asked: BTreeMap::new(),
            open: BTreeMap::new(),
            recalling: BTreeMap::new(),
            dead: None,
            latest: Latest::new(allowance),
            figures: Figures::new(load),
        })
    }

    pub fn clock(&self) -> u64 {
        (self.clock.0)()
    }

    /// The figures of now: while there is plenty, or not.
    pub fn tally(&mut self) -> &mut Tally {
        let plenty = Credits::whole(4 * LARGEST).decimal() * rust_decimal::Decimal::from(self.load.sidecars);
        let scarce = self.latest.free().decimal() < plenty;
        if scarce { &mut self.figures.scarce } else { &mut self.figures.plenty }
    }
}

impl World {
    /// Opens the account, starts everybody.
    fn open_fleet(&mut self) -> Result<(), String> {
        let Some(fleet) = &self.fleet else { return Ok(()) };
        let (account, dies) = (fleet.account.clone(), fleet.load.dies);
        let plan = Name::parse("fleet").map_err(|error| format!("{error:?}"))?;
        let key = HandleKey { id: 1, secret: [7; 32] };
        let subscribe = Command::Subscribe { plan, zone: "UTC".to_owned(), key, overlay: Box::default() };
        self.at_ledger(&account, |work| work.administer(&subscribe, None))
            .map_err(|error| error.to_string())?;
        for place in 0..self.nodes.len() {
            self.restart(place);
        }
        self.agenda.plan(BEGIN, Event::Caller);
        if let Some(at) = dies {
            self.agenda.plan(at * SECOND, Event::Trouble);
        }
        Ok(())
    }

    /// A run begins, and the next one is planned.
    pub fn fleet_call(&mut self) {
        let Some(fleet) = &self.fleet else { return };
        let load = fleet.load;
        let second = self.now / SECOND;
        if second >= load.seconds {
            return self.fleet_rests();
        }
        let tide = second % TIDE;
        let share = if tide < TIDE / 2 { 60 + 4 * tide } else { 220 - 4 * tide };
        let gap = SECOND * 100 / (load.runs_per_second * share).max(1);
        let at = self.now + self.dice.between(0, 2 * gap);
        self.agenda.plan(at, Event::Caller);
        let place = self.fleet_place(second);
        let credits = self.dice.between(1, LARGEST);
        let id = self.numbers.next();
        let Some(fleet) = &mut self.fleet else { return };
        let (account, action) = (fleet.account.clone(), fleet.action.clone());
        fleet.asked.insert(id, Waiting { at: self.now, credits, waited: false });
        fleet.tally().asked += 1;
        let call = Authorize {
            id: ReservationId(hash(b"reservation", id)),
            action,
            subject: Subject::default(),
            quantities: quantity(credits),
            dimensions: BTreeMap::new(),
            run_id: None,
            parent: None,
            retry_of: None,
            ttl: None,
            validate_only: false,
        };
        self.begin_call(id, place, &account, Wish::Authorize(call));
    }

    /// Which sidecar is asked: some far more often than others, and not always the same.
    fn fleet_place(&mut self, second: i64) -> usize {
        let Some(fleet) = &self.fleet else { return 0 };
        let all = fleet.ranks.last().copied().unwrap_or(1);
        let rolled = self.dice.roll() % all;
        let rank = fleet.ranks.partition_point(|sum| *sum <= rolled);
        let shifted = usize::try_from(second / SHIFT).unwrap_or(0) * (fleet.load.sidecars / 7 + 1);
        (rank + shifted) % fleet.load.sidecars.max(1)
    }

    /// A run comes to its end.
    pub fn fleet_ends(&mut self, id: u64) {
        let Some(fleet) = &mut self.fleet else { return };
        let Some(Open { at, handle, credits }) = fleet.open.remove(&id) else { return };
        // Whoever asked a sidecar that died gives up.
        if !self.nodes.get(at.node).is_some_and(|node| node.is_at(at)) {
            return;
        }
        let account = fleet.account.clone();
        let used = self.dice.between(1, credits);
        let commit = Commit { quantities: quantity(used), ..Commit::new(handle.id, RunResult::Succeeded) };
        let call = self.numbers.next();
        self.begin_call(call, at.node, &account, Wish::Commit(commit, handle));
    }

    /// A caller of the fleet was answered.
    pub fn fleet_answered(&mut self, id: u64, place: usize, reply: Reply) {
        let Some(waiting) = self.fleet.as_mut().and_then(|fleet| fleet.asked.remove(&id)) else {
            if !matches!(&reply, Reply::Run(answer) if answer.debt.is_zero()) {
                self.fail(format!("a run that held its credits was answered {reply:?}"));
            }
            return;
        };
        let Reply::Authorize(answer, handle) = reply else {
            return self.fail(format!("an authorisation was answered {reply:?}"));
        };
        if waiting.waited || answer.decision == Decision::Denied {
            self.note_stranded(answer.decision == Decision::Denied);
        }
        let hold = if self.dice.one_in(LONG_ONE_IN) { LONG } else { USUAL };
        let ends = self.now + self.dice.between(hold.0, hold.1);
        let at = self.nodes.get(place).map(super::node::Node::address);
        let Some(fleet) = &mut self.fleet else { return };
        fleet.tally().waited += u64::from(waiting.waited);
        match (answer.decision, handle, at) {
            (Decision::Allowed, Some(handle), Some(at)) => {
                fleet.figures.allowed += 1;
                fleet.open.insert(id, Open { at, handle, credits: waiting.credits });
                self.agenda.plan(ends, Event::Ends(id));
            }
            (Decision::Denied, ..) => {
                fleet.figures.refused += 1;
                let unreachable = answer.reason == Some(Reason::LedgerUnreachable);
                let fitted = fleet.latest.left_since(waiting.at) >= Credits::whole(waiting.credits);
                fleet.figures.late += u64::from(unreachable);
                fleet.figures.false_refusals +=
                    u64::from(fitted && !unreachable && fleet.load.dies.is_none());
            }
            other => self.fail(format!("an authorisation was answered {other:?}")),
        }
    }

    /// Credits that lie idle at sidecars in this moment.
    pub fn idle(&self) -> Credits {
        let processes = self.nodes.iter().filter_map(|node| node.process.as_ref());
        let books = processes.flat_map(|process| process.wallets.values()).map(|slot| &slot.wallet.book);
        books.flat_map(|book| &book.pools).flat_map(|pool| &pool.blocks).map(|block| block.available).sum()
    }

    fn note_stranded(&mut self, refused: bool) {
        let now = self.now;
        let due = self.fleet.as_mut().is_some_and(|fleet| fleet.latest.is_due(now, refused));
        if due {
            let idle = self.idle();
            if let Some(fleet) = &mut self.fleet {
                fleet.figures.strands(idle, refused);
            }
        }
    }

    /// Nobody asks any more.
    fn fleet_rests(&mut self) {
        let idle = self.idle();
        if let Some(fleet) = &mut self.fleet {
            fleet.figures.stranded_at_end = idle;
        }
    }

    /// The sidecar that is asked most loses its disk.
    pub fn fleet_trouble(&mut self) {
        let shifted = usize::try_from(self.now / SECOND / SHIFT).unwrap_or(0);
        let place = shifted * (self.nodes.len() / 7 + 1) % self.nodes.len().max(1);
        let id = self.nodes.get(place).map(|node| node.id);
        if let (Some(fleet), Some(id)) = (&mut self.fleet, id) {
            fleet.dead = Some((id, self.now));
            self.lose_disk(place, self.now + SECOND);
        }
    }

    /// Whether what a dead sidecar held is usable again.
    fn fleet_is_over(&mut self) -> bool {
        let Some(fleet) = &mut self.fleet else { return false };
        let Some((id, died)) = fleet.dead else { return false };
        let slot = self.ledger.slots.get(&fleet.account);
        let out = slot.is_some_and(|slot| slot.account.leases.contains_key(&id));
        if !out {
            fleet.figures.reclaimed_after = Some(self.now - died);
        }
        !out
    }

    fn end_fleet(mut self) -> Result<Figures, String> {
        let idle = self.idle();
        let Some(fleet) = self.fleet.take() else { return Err("no fleet".to_owned()) };
        let Some(slot) = self.ledger.slots.get(&fleet.account) else { return Err("no account".to_owned()) };
        let mut figures = fleet.figures;
        figures.stranded_at_rest = idle;
        figures.messages = self.messages;
        let balance = slot.account.balance(slot.account.clock, &BTreeMap::new());
        (figures.spent, figures.debt) = (balance.spent, balance.debt);
        figures.trace = self.trace.hash();
        let sound = slot.account.verify();
        let problem = self.problem.or(sound.err());
        match problem {
            Some(problem) => Err(problem),
            None if figures.load.dies.is_none() && !fleet.open.is_empty() => {
                Err(format!("{} runs never ended", fleet.open.len()))
            }
            None => Ok(figures),
        }
    }
}

fn quantity(credits: i64) -> Option<Quantities> {
    credits.to_string().parse::<Quantity>().ok().map(Quantities::Single)
}
