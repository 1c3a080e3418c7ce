//! The simulated ledger: one service over one journal. What its process knows dies with it; what the journal has does not,
//! and what was answered is in the journal.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::agenda::Event;
use super::clock::WallTime;
use super::lease_job::Job;
use super::message::{Address, Answers, Sender, Told};
use super::world::World;
use crate::credit::hold::total;
use crate::engine::account::{Account, Entry, Work};
use crate::types::{AccountId, Credits, Epoch, ReservationId, SidecarId, Timestamp};

/// A transaction takes so long, in microseconds.
const WRITE: (i64, i64) = (500, 6_000);

/// How exactly time is kept where nobody asks.
const LOOK_EVERY: i64 = 20_000;

#[derive(Debug)]
pub struct Ledger {
    pub is_up: bool,
    /// Counts processes.
    pub life: u64,
    pub time: WallTime,
    pub slots: BTreeMap<AccountId, LedgerSlot>,
    pub sidecars: BTreeMap<SidecarId, Known>,
    pub watches: BTreeMap<SidecarId, Watch>,
    pub jobs: BTreeMap<u64, Job>,
    journal: Vec<Stored>,
    /// So much of it is certainly written.
    durable: usize,
    look_at: Option<i64>,
}

#[derive(Debug)]
enum Stored {
    Entry(AccountId, Box<Entry>),
    Known(SidecarId, Known),
}

/// The current start of a sidecar, and through which record everything was taken.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    pub epoch: Epoch,
    pub taken: u64,
}

#[derive(Clone, Copy, Debug)]
pub struct Watch {
    pub to: Address,
    pub number: u64,
    pub epoch: Epoch,
}

/// An account in memory.
#[derive(Debug)]
pub struct LedgerSlot {
    pub account: Account,
    /// Sidecars that know the account's terms.
    pub told: BTreeSet<SidecarId>,
    /// The newest recall that each sidecar has answered.
    pub answered: BTreeMap<SidecarId, u64>,
    /// Sidecars that did not answer a recall, and when that was.
    pub silent: BTreeMap<SidecarId, Timestamp>,
    /// The number of the newest finished recall, and how much was lent when it began.
    pub gathered: (u64, u64),
    /// The job that may recall, and those that wait for that.
    pub turn: Option<u64>,
    pub waiting: VecDeque<u64>,
}

/// What may go out once it rests on nothing that could still be lost.
#[derive(Debug)]
pub enum Outgoing {
    Answer(Address, u64, Answers),
    /// Sidecars hear of an account's terms.
    Terms(AccountId),
}

impl LedgerSlot {
    fn new(account: AccountId) -> Self {
        Self {
            account: Account::new(account),
            told: BTreeSet::new(),
            answered: BTreeMap::new(),
            silent: BTreeMap::new(),
            gathered: (0, 0),
            turn: None,
            waiting: VecDeque::new(),
        }
    }

    /// What blocks spent, and what is owed, is at every step what runs were charged, whose charge is final, so far, or
    /// reported by a sidecar that alone knows the run.
    fn charges_are_paid(&self) -> Result<(), String> {
        let account = &self.account;
        let ended: Credits = account.book.finals.values().map(|ended| ended.charged()).sum();
        // What a settler reported of a run that was settled in its silence is part of that charge until its word comes.
        let settled = |run: &ReservationId, sidecar: SidecarId| {
            account.book.finals.get(run).is_some_and(|ended| ended.provisional == Some(sidecar))
        };
        let alone = account.booked.iter().filter(|((sidecar, run), _)| !settled(run, *sidecar));
        let booked: Credits = alone.map(|(_, booked)| total(&booked.spent) + booked.debt).sum();
        let open: Credits = account.book.runs.values().map(|run| total(&run.spent) + run.debt).sum();
        let balance = account.balance(account.clock, &Default::default());
        if balance.spent + balance.debt == ended + booked + open {
            return Ok(());
        }
        Err(format!(
            "spent {}, owed {}, and runs were charged {ended} at their end, {booked} by reports and {open} so far",
            balance.spent, balance.debt
        ))
    }

    /// Whether a sidecar holds anything of the account.
    pub fn holds(&self, sidecar: SidecarId) -> bool {
        let lease = self.account.leases.get(&sidecar);
        lease.is_some_and(|lease| !lease.out.is_empty() || !lease.rooms.is_empty())
    }

    /// Sidecars with a live lease of something.
    pub fn holders(&self, at: Timestamp) -> Vec<SidecarId> {
        let leases = self.account.leases.iter().filter(|(_, lease)| lease.ends_at > at);
        leases.map(|(sidecar, _)| *sidecar).filter(|sidecar| self.holds(*sidecar)).collect()
    }
}

impl Ledger {
    pub fn new(time: WallTime) -> Self {
        Self {
            is_up: true,
            life: 1,
            time,
            slots: BTreeMap::new(),
            sidecars: BTreeMap::new(),
            watches: BTreeMap::new(),
            jobs: BTreeMap::new(),
            journal: Vec::new(),
            durable: 0,
            look_at: None,
        }
    }

    pub fn written(&self) -> usize {
        self.journal.len()
    }

    pub fn unwritten(&self) -> usize {
        self.journal.len() - self.durable
    }

    /// Waits for the disk.
    pub fn write_through(&mut self) {
        self.durable = self.journal.len();
    }

    pub fn is_current(&self, who: Sender) -> Option<bool> {
        let known = self.sidecars.get(&who.sidecar)?;
        (who.epoch <= known.epoch).then_some(who.epoch == known.epoch)
    }

    pub fn stand(&mut self, sidecar: SidecarId, known: Known) {
        self.sidecars.insert(sidecar, known);
        self.journal.push(Stored::Known(sidecar, known));
    }

    /// The process is gone; of what was not written, the first `kept` parts are in the journal all the same. Later ones
    /// than `durable - kept` would be a backup that was set back: nothing here does that yet.
    pub fn crash(&mut self, kept: usize) {
        self.is_up = false;
        self.journal.truncate(self.durable + kept);
        self.durable = self.journal.len();
        self.slots.clear();
        self.sidecars.clear();
        self.watches.clear();
        self.jobs.clear();
        self.look_at = None;
    }

    /// Another process reads the journal: the state is what it says.
    pub fn start(&mut self, playbooks: &crate::engine::contract::Playbooks) -> Result<(), String> {
        self.is_up = true;
        self.life += 1;
        let mut latest = Timestamp::default();
        for stored in &self.journal {
            match stored {
                Stored::Known(sidecar, known) => {
                    self.sidecars.insert(*sidecar, *known);
                }
                Stored::Entry(account, entry) => {
                    let slot =
                        self.slots.entry(account.clone()).or_insert_with(|| LedgerSlot::new(account.clone()));
                    if !entry.follows(&slot.account.link) || entry.number != slot.account.number + 1 {
                        return Err(format!("account {account}: entry {} does not follow", entry.number));
                    }
                    slot.account.apply(entry, playbooks);
                    latest = latest.max(entry.at);
                }
            }
        }
        self.time.latest = latest.micros();
        Ok(())
    }

    /// An account as the journal alone shows it.
    pub fn replayed(&self, id: &AccountId, playbooks: &crate::engine::contract::Playbooks) -> Account {
        let mut account = Account::new(id.clone());
        for stored in &self.journal {
            if let Stored::Entry(of, entry) = stored
                && of == id
            {
                account.apply(entry, playbooks);
            }
        }
        account
    }
}

impl World {
    /// Runs a command at the ledger. Its entries are in memory, and not yet written.
    pub fn at_ledger<T>(&mut self, account: &AccountId, command: impl FnOnce(&mut Work<'_>) -> T) -> T {
        let now = self.ledger.time.now(self.now);
        let slot =
            self.ledger.slots.entry(account.clone()).or_insert_with(|| LedgerSlot::new(account.clone()));
        let at = now.max(slot.account.clock);
        let began = self.fleet.as_ref().map(|fleet| fleet.clock());
        let mut work = Work::begin(&mut slot.account, &self.playbooks, at);
        let answer = command(&mut work);
        let (entries, refresh) = work.finish();
        let sound = match (&mut self.fleet, began) {
            (Some(fleet), Some(began)) => {
                fleet.figures.ledger_nanos += fleet.clock().saturating_sub(began);
                fleet.booked(self.now, &entries);
                Ok(())
            }
            _ => slot.account.verify().and_then(|()| slot.charges_are_paid()),
        };
        for entry in entries {
            self.trace.link(&entry.link);
            self.ledger.journal.push(Stored::Entry(account.clone(), Box::new(entry)));
        }
        if let Err(problem) = sound {
            self.fail(format!("account {account}: {problem}"));
        }
        if refresh {
            self.write(vec![Outgoing::Terms(account.clone())]);
        } else if self.ledger.unwritten() > 0 {
            self.write(Vec::new());
        }
        self.set_ledger_timer();
        answer
    }

    /// What goes out once everything up to here is in the journal.
    pub fn write(&mut self, then: Vec<Outgoing>) {
        let (life, through) = (self.ledger.life, self.ledger.written());
        let at = self.now + self.dice.between(WRITE.0, WRITE.1);
        self.agenda.plan(at, Event::Written(life, through, then));
    }

    pub fn wrote(&mut self, life: u64, through: usize, then: Vec<Outgoing>) {
        if self.ledger.life != life || !self.ledger.is_up {
            return;
        }
        self.ledger.durable = self.ledger.durable.max(through);
        for outgoing in then {
            match outgoing {
                Outgoing::Answer(to, rpc, what) => self.answer_node(to, rpc, what),
                Outgoing::Terms(account) => self.tell_terms(&account),
            }
        }
    }

    /// Tells the account's terms to every sidecar that has a lease of it or was told them before.
    fn tell_terms(&mut self, account: &AccountId) {
        let Some(slot) = self.ledger.slots.get(account) else { return };
        let Some(terms) = slot.account.terms() else { return };
        let sidecars: BTreeSet<SidecarId> =
            slot.told.iter().chain(slot.account.leases.keys()).copied().collect();
        for sidecar in sidecars {
            if let Some(watch) = self.ledger.watches.get(&sidecar).copied() {
                let told = Told::Terms(account.clone(), Box::new(terms.clone()));
                self.tell_node(watch.to, watch.number, told);
            }
        }
    }

    /// Sets the ledger's timer for what is due next.
    pub fn set_ledger_timer(&mut self) {
        let playbooks = &self.playbooks;
        let due = self.ledger.slots.values_mut().filter_map(|slot| {
            let at = slot.account.clock;
            let account = &mut slot.account;
            Work::at(account, playbooks, at).next_timer()
        });
        let Some(due) = due.min() else { return };
        let at = self.ledger.time.when(due).max(self.now + LOOK_EVERY);
        if self.ledger.look_at.is_none_or(|planned| at < planned || planned <= self.now) {
            self.ledger.look_at = Some(at);
            self.agenda.plan(at, Event::LedgerLook(self.ledger.life));
        }
    }

    pub fn look_at_ledger(&mut self, life: u64) {
        if self.ledger.life != life || !self.ledger.is_up {
            return;
        }
        self.ledger.look_at = None;
        let accounts: Vec<AccountId> = self.ledger.slots.keys().cloned().collect();
        for account in accounts {
            self.at_ledger(&account, |_| ());
        }
        self.set_ledger_timer();
    }
}
