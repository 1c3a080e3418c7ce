//! One account in memory: its machine, the commands that wait for it, and what the process around it remembers.

use std::any::Any;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::figures::Figured;
use super::job::Job;
use super::store::{Batch, Position, Ticket};
use crate::engine::Playbooks;
use crate::engine::account::{Account, Entry, Work};
use crate::lease::LeaseTotals;
use crate::telemetry::Trace;
use crate::types::{AccountId, SidecarId, Timestamp};

/// Sidecars that remember terms of one account at most: beyond that, those that were heard longest ago are forgotten.
const TOLD_MAX: usize = 10_000;

/// Commands of one turn at most, and entries after which it takes no further ones: a turn is one transaction.
const TURN_JOBS_MAX: usize = 4096;
const TURN_ENTRIES_MAX: usize = 4096;

/// An account and what the process around it remembers of it.
#[derive(Debug)]
pub struct Slot {
    pub id: AccountId,
    state: Mutex<State>,
    lane: Mutex<Lane>,
    /// Asks that may have to wait for a recall, in order of arrival.
    pub turn: tokio::sync::Mutex<()>,
    /// Rung when a sidecar has answered a recall.
    pub bell: Notify,
}

/// Commands in order of arrival.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<Box<dyn Job>>,
    /// Whether somebody takes turns for it.
    busy: bool,
}

#[derive(Debug)]
pub struct State {
    pub account: Account,
    /// How often the account was read anew: what ran in an earlier life is not in memory.
    pub life: u64,
    /// Why the account can't be trusted any more. Its calls are refused; the others' go on.
    pub broken: Option<Arc<str>>,
    /// Entries of which it is not known whether the store has them.
    pub unsettled: Option<Unsettled>,
    /// What the store has besides the entries.
    pub figured: Figured,
    /// How often running totals were written, as far as they are known here.
    pub heard: u64,
    /// The last write: what an answer may rest on is durable once this is.
    pub ticket: Ticket,
    /// Sidecars must hear of the account's terms as soon as they are in the store.
    pub untold: bool,
    /// When time next does something here, as the timers know it.
    pub timer: Option<Timestamp>,
    /// Sidecars that were told the account's terms, and when they last asked.
    pub told: BTreeMap<SidecarId, Timestamp>,
    /// The newest recall that each sidecar has answered.
    pub answered: BTreeMap<SidecarId, u64>,
    /// Sidecars that did not answer a recall, and when that was.
    pub silent: BTreeMap<SidecarId, Timestamp>,
    /// Asks that may need a recall, counted as they come.
    pub arrivals: u64,
    /// How many asks had come when the newest finished recall began, and how much was lent by then.
    pub gathered: (u64, u64),
    /// The newest recall of another process that has not been answered through this one.
    pub recalled: Option<u64>,
}

/// Entries in memory that follow from `before`.
#[derive(Clone, Debug)]
pub struct Unsettled {
    pub before: Position,
    pub writes: Arc<Vec<Vec<Entry>>>,
}

/// Whether more of the same batch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Alerts look at the account as it is now.
    Whole,
    /// They wait for the rest: half-told, an account may look as if a condition had come and gone.
    More,
}

/// A command in a turn.
pub struct InTurn {
    pub job: Box<dyn Job>,
    /// In which life of the account's memory it ran.
    pub ran: Option<u64>,
    /// Why it can't be answered.
    pub fault: Option<Arc<str>>,
}

/// What came of running the commands of a turn.
#[derive(Debug)]
pub struct Ran {
    /// `None`: there is nothing to write.
    pub batch: Option<Batch>,
    /// When time next does something here, before and after.
    pub timer: (Option<Timestamp>, Option<Timestamp>),
}

impl Slot {
    pub fn new(account: Account) -> Self {
        Self {
            id: account.id.clone(),
            state: Mutex::new(State {
                account,
                life: 0,
                broken: None,
                unsettled: None,
                figured: Figured::default(),
                heard: 0,
                ticket: Ticket::default(),
                untold: false,
                timer: None,
                told: BTreeMap::new(),
                answered: BTreeMap::new(),
                silent: BTreeMap::new(),
                arrivals: 0,
                gathered: (0, 0),
                recalled: None,
            }),
            lane: Mutex::default(),
            turn: tokio::sync::Mutex::new(()),
            bell: Notify::new(),
        }
    }

    /// Replays an account's entries. What does not follow, or panics, breaks this account alone.
    pub fn replayed(id: AccountId, entries: &[Entry], playbooks: &Playbooks) -> Self {
        let slot = Self::new(Account::new(id));
        slot.with(|state| state.take(entries, playbooks));
        slot
    }

    /// Looks at the account, or at what is remembered of it; never to change the account.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Puts a command into the lane. True where nobody takes turns for it yet: the caller must see to that.
    pub fn wait(&self, job: Box<dyn Job>) -> bool {
        let mut lane = self.lane.lock();
        lane.waiting.push_back(job);
        !std::mem::replace(&mut lane.busy, true)
    }

    /// Whether commands wait; where none does, nobody takes turns any more.
    pub fn goes_on(&self) -> bool {
        let mut lane = self.lane.lock();
        lane.busy = !lane.waiting.is_empty();
        lane.busy
    }

    /// Whether a command waits that an account may begin with.
    pub fn opens(&self) -> bool {
        self.lane.lock().waiting.iter().any(|job| job.opens())
    }

    /// The span that the next turn is told under.
    pub fn trace(&self) -> Option<Trace> {
        self.lane.lock().waiting.iter().find_map(|job| job.trace()).cloned()
    }

    /// All commands that wait.
    pub fn take_waiting(&self) -> Vec<InTurn> {
        let waiting = std::mem::take(&mut self.lane.lock().waiting);
        waiting.into_iter().map(InTurn::new).collect()
    }

    fn next(&self) -> Option<InTurn> {
        self.lane.lock().waiting.pop_front().map(InTurn::new)
    }

    /// Runs commands: those of the turn that have not run, then those that wait, until the turn is full. Their entries are
    /// in memory afterwards, and not yet in the store.
    pub fn run(&self, jobs: &mut Vec<InTurn>, playbooks: &Playbooks, now: Timestamp, shared: bool) -> Ran {
        let mut state = self.state.lock();
        // An account's entries never go back in time.
        let at = now.max(state.account.clock);
        let before = state.position();
        let (mut writes, mut count, mut again) = (Vec::new(), 0, 0);
        loop {
            if again == jobs.len() {
                let full = again >= TURN_JOBS_MAX || count >= TURN_ENTRIES_MAX;
                let next = if full { None } else { self.next() };
                let Some(next) = next else { break };
                jobs.push(next);
            }
            let Some(job) = jobs.get_mut(again) else { break };
            again += 1;
            if job.ran == Some(state.life) || job.fault.is_some() {
                continue;
            }
            let (entries, refreshed) = state.run(job, playbooks, at);
            count += entries.len();
            state.untold |= refreshed;
            if !entries.is_empty() {
                writes.push(entries);
            }
        }
        let timer = if state.broken.is_none() { next_timer(&mut state.account, playbooks) } else { None };
        let timer = (std::mem::replace(&mut state.timer, timer), timer);
        Ran { batch: state.batch(before, writes, shared), timer }
    }
}

impl InTurn {
    fn new(job: Box<dyn Job>) -> Self {
        Self { job, ran: None, fault: None }
    }
}

impl State {
    pub fn position(&self) -> Position {
        (self.account.number, self.account.link)
    }

    /// Takes entries that the store has, with what follows from them.
    pub fn take(&mut self, entries: &[Entry], playbooks: &Playbooks) {
        let account = &mut self.account;
        let replay = catch_unwind(AssertUnwindSafe(|| replay(account, entries, playbooks)));
        let broken = match replay {
            Ok(Ok(())) => self.account.verify().err(),
            Ok(Err(why)) => Some(why),
            Err(panic) => Some(said(&*panic)),
        };
        if let Some(why) = broken {
            self.breaks(why);
            return;
        }
        for (sidecar, lease) in &self.account.leases {
            self.told.entry(*sidecar).or_insert(lease.ends_at);
        }
        self.timer = next_timer(&mut self.account, playbooks);
    }

    /// Forgets the account's machine: it is read anew, by this try or a later one, and what ran must run again.
    pub fn forget(&mut self) {
        self.account = Account::new(self.account.id.clone());
        self.life += 1;
        self.unsettled = None;
        self.figured = Figured::default();
        self.heard = 0;
    }

    /// Runs one command; answers its entries, and whether sidecars must hear of the terms.
    fn run(&mut self, job: &mut InTurn, playbooks: &Playbooks, at: Timestamp) -> (Vec<Entry>, bool) {
        if let Some(why) = &self.broken {
            job.fault = Some(Arc::clone(why));
            return (Vec::new(), false);
        }
        let account = &mut self.account;
        // Only this account can be left half-changed, and it is marked as broken then.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let mut work = Work::begin(account, playbooks, at);
            job.job.run(&mut work);
            let (entries, refresh) = match job.job.part() {
                Part::Whole => work.finish(),
                Part::More => {
                    let refresh = work.refresh || work.owed != work.account.owes();
                    (work.entries, refresh)
                }
            };
            let sound = if cfg!(debug_assertions) { account.verify() } else { Ok(()) };
            (entries, refresh, sound)
        }));
        let why = match worked {
            Ok((entries, refresh, Ok(()))) => {
                job.ran = Some(self.life);
                return (entries, refresh);
            }
            Ok((_, _, Err(why))) => why,
            Err(panic) => said(&*panic),
        };
        job.fault = Some(self.breaks(why));
        (Vec::new(), false)
    }

    /// What is to be written: new entries, after those that the store may not have.
    fn batch(&mut self, before: Position, writes: Vec<Vec<Entry>>, shared: bool) -> Option<Batch> {
        // A broken account shows no figures that could be right.
        let shows = shared && self.broken.is_none();
        let figures = if shows { self.figured.changes(&self.account) } else { None };
        if writes.is_empty() && self.unsettled.is_none() && figures.is_none() {
            return None;
        }
        let unsettled = self.unsettled.get_or_insert_with(|| Unsettled { before, writes: Arc::default() });
        Arc::make_mut(&mut unsettled.writes).extend(writes);
        let (before, writes) = (unsettled.before, Arc::clone(&unsettled.writes));
        // A broken account's machine may be ahead of its last sound entry.
        let last = writes.iter().flatten().next_back();
        let after = last.map_or(before, |entry| (entry.number, entry.link));
        Some(Batch { before, after, writes, timer: self.timer, figures: figures.unwrap_or_default() })
    }

    /// The store has everything.
    pub fn settled(&mut self, batch: &Batch, ticket: Ticket) {
        self.unsettled = None;
        self.ticket = ticket;
        self.heard += u64::from(!batch.figures.leases.is_empty());
        self.figured.wrote(&batch.figures);
    }

    /// Takes running totals of all leases from the store.
    pub fn hear(&mut self, totals: Vec<(SidecarId, LeaseTotals)>, heard: u64) {
        for (sidecar, totals) in totals {
            self.account.hear_totals(sidecar, totals);
        }
        self.heard = heard;
        self.figured = Figured::of(&self.account);
    }

    pub fn breaks(&mut self, why: String) -> Arc<str> {
        tracing::error!(
            account = %self.account.id, why, "an account is broken: its calls are refused until the ledger restarts"
        );
        let why: Arc<str> = why.into();
        self.broken = Some(Arc::clone(&why));
        why
    }

    /// Remembers that a sidecar knows the account's terms.
    pub fn tells(&mut self, sidecar: SidecarId, at: Timestamp) {
        self.told.insert(sidecar, at);
        if self.told.len() > TOLD_MAX {
            let oldest = self.told.iter().min_by_key(|(_, at)| **at).map(|(sidecar, _)| *sidecar);
            oldest.and_then(|sidecar| self.told.remove(&sidecar));
        }
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lane({} waiting)", self.waiting.len())
    }
}

fn replay(account: &mut Account, entries: &[Entry], playbooks: &Playbooks) -> Result<(), String> {
    for entry in entries {
        if entry.number != account.number + 1 {
            return Err(format!("entry {} follows entry {}", entry.number, account.number));
        }
        if !entry.follows(&account.link) {
            return Err(format!(
                "entry {} does not follow from the one before it: its hash link differs",
                entry.number
            ));
        }
        account.apply(entry, playbooks);
    }
    Ok(())
}

fn next_timer(account: &mut Account, playbooks: &Playbooks) -> Option<Timestamp> {
    let at = account.clock;
    Work::at(account, playbooks, at).next_timer()
}

/// What a panic said, if it said anything.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
#[path = "slot_tests.rs"]
mod tests;
