//! One account under its lock: a write's entries go to the store while it is held, so that their order is the account's.

use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::record::{Entries, LedgerRecord};
use super::store::{LedgerStore, StoreError, Ticket};
use crate::engine::account::{Account, Entry, Work};
use crate::engine::{Fault, Playbooks};
use crate::grpc::ledger_api::LedgerError;
use crate::types::{AccountId, SidecarId, Timestamp};

/// Sidecars that remember terms of one account at most: beyond that, those that were heard longest ago are forgotten.
const TOLD_MAX: usize = 10_000;

/// An account and what the process around it remembers of it.
#[derive(Debug)]
pub struct Slot {
    pub id: AccountId,
    state: Mutex<State>,
    /// Asks that may have to wait for a recall, in order of arrival.
    pub turn: tokio::sync::Mutex<()>,
    /// Rung when a sidecar has answered a recall.
    pub bell: Notify,
}

#[derive(Debug)]
pub struct State {
    pub account: Account,
    /// Why the account can't be trusted any more. Its calls are refused; the others' go on.
    pub broken: Option<Arc<str>>,
    /// The last append: what an answer may rest on is durable once this is.
    pub ticket: Ticket,
    /// When time next does something here, as the timers know it.
    pub timer: Option<Timestamp>,
    /// Sidecars that were told the account's terms, and when they last asked.
    pub told: BTreeMap<SidecarId, Timestamp>,
    /// The newest recall that each sidecar has answered.
    pub answered: BTreeMap<SidecarId, u64>,
    /// Sidecars that did not answer a recall, and when that was.
    pub silent: BTreeMap<SidecarId, Timestamp>,
}

/// Whether more of the same batch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Alerts look at the account as it is now.
    Whole,
    /// They wait for the rest: half-told, an account may look as if a condition had come and gone.
    More,
}

/// What came of one write.
#[derive(Debug)]
pub struct Worked<T> {
    pub answer: T,
    pub ticket: Ticket,
    /// Sidecars must hear of the account's terms.
    pub refresh: bool,
    /// When time next does something here, before and after.
    pub timer: (Option<Timestamp>, Option<Timestamp>),
}

impl Slot {
    pub fn new(account: Account) -> Self {
        Self {
            id: account.id.clone(),
            state: Mutex::new(State {
                account,
                broken: None,
                ticket: Ticket::default(),
                timer: None,
                told: BTreeMap::new(),
                answered: BTreeMap::new(),
                silent: BTreeMap::new(),
            }),
            turn: tokio::sync::Mutex::new(()),
            bell: Notify::new(),
        }
    }

    /// Replays an account's entries. What does not follow, or panics, breaks this account alone.
    pub fn replayed(id: AccountId, entries: &[Entry], playbooks: &Playbooks) -> Self {
        let slot = Self::new(Account::new(id));
        slot.with(|state| {
            let replay = catch_unwind(AssertUnwindSafe(|| replay(&mut state.account, entries, playbooks)));
            let broken = match replay {
                Ok(Ok(())) => state.account.verify().err(),
                Ok(Err(why)) => Some(why),
                Err(panic) => Some(said(&*panic)),
            };
            if let Some(why) = broken {
                tracing::error!(account = %slot.id, why, "an account is broken: its calls are refused");
                state.broken = Some(why.into());
                return;
            }
            for (sidecar, lease) in &state.account.leases {
                state.told.insert(*sidecar, lease.ends_at);
            }
            state.timer = next_timer(&mut state.account, playbooks);
        });
        slot
    }

    /// Looks at the account, or at what is remembered of it; never to change the account.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    /// Does one write: what time has done comes first, then `act`. Its entries are taken by the store before the lock is
    /// given back.
    pub fn work<T, S: LedgerStore>(
        &self,
        store: &S,
        playbooks: &Playbooks,
        now: impl FnOnce() -> Timestamp,
        part: Part,
        act: impl FnOnce(&mut Work<'_>) -> T,
    ) -> Result<Worked<T>, LedgerError> {
        let mut state = self.state.lock();
        if let Some(why) = &state.broken {
            return Err(Fault::Broken(why.to_string()).into());
        }
        if store.is_filling() {
            return Err(LedgerError::Overloaded);
        }
        // Read under the lock: an account's entries never go back in time.
        let at = now();
        let State { account, .. } = &mut *state;
        // Only this account can be left half-changed, and it is marked as broken then.
        let worked = catch_unwind(AssertUnwindSafe(|| {
            let mut work = Work::begin(account, playbooks, at);
            let answer = act(&mut work);
            let (entries, refresh) = match part {
                Part::Whole => work.finish(),
                Part::More => {
                    let refresh = work.refresh || work.owed != work.account.owes();
                    (work.entries, refresh)
                }
            };
            let timer = next_timer(account, playbooks);
            let sound = if cfg!(debug_assertions) { account.verify() } else { Ok(()) };
            (answer, entries, refresh, timer, sound)
        }));
        let (answer, entries, refresh, timer, sound) = match worked {
            Ok(worked) => worked,
            Err(panic) => return Err(self.breaks(&mut state, said(&*panic))),
        };
        if let Err(why) = sound {
            return Err(self.breaks(&mut state, why));
        }
        if !entries.is_empty() {
            let record = LedgerRecord::Entries(Entries { account: self.id.clone(), entries });
            match store.append(&record) {
                Ok(ticket) => state.ticket = ticket,
                Err(error) => {
                    // The account in memory is ahead of its journal now: only a replay brings them together.
                    let fault = self.breaks(&mut state, format!("its entries were not stored: {error}"));
                    return Err(match error {
                        StoreError::Failed(why) => LedgerError::StoreFailed(why.to_string()),
                        StoreError::Full | StoreError::TooLong { .. } => fault,
                    });
                }
            }
        }
        let before = std::mem::replace(&mut state.timer, timer);
        Ok(Worked { answer, ticket: state.ticket, refresh, timer: (before, timer) })
    }

    fn breaks(&self, state: &mut State, why: String) -> LedgerError {
        tracing::error!(account = %self.id, why, "an account is broken: its calls are refused until the ledger restarts");
        state.broken = Some(why.clone().into());
        Fault::Broken(why).into()
    }
}

impl State {
    /// Remembers that a sidecar knows the account's terms.
    pub fn tells(&mut self, sidecar: SidecarId, at: Timestamp) {
        self.told.insert(sidecar, at);
        if self.told.len() > TOLD_MAX {
            let oldest = self.told.iter().min_by_key(|(_, at)| **at).map(|(sidecar, _)| *sidecar);
            oldest.and_then(|sidecar| self.told.remove(&sidecar));
        }
    }

    /// Whether a sidecar holds anything of the account.
    pub fn holds(&self, sidecar: SidecarId) -> bool {
        self.account
            .leases
            .get(&sidecar)
            .is_some_and(|lease| !lease.out.is_empty() || !lease.rooms.is_empty())
    }

    /// Sidecars with a live lease of something.
    pub fn holders(&self, at: Timestamp) -> Vec<SidecarId> {
        let leases = self.account.leases.iter().filter(|(_, lease)| lease.ends_at > at);
        leases.map(|(sidecar, _)| *sidecar).filter(|sidecar| self.holds(*sidecar)).collect()
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
    let (at, owed) = (account.clock, account.owes());
    Work { account, playbooks, at, entries: Vec::new(), refresh: false, owed }.next_timer()
}

/// What a panic said, if it said anything.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::engine::account::Command;
    use crate::lease::terms::HandleKey;
    use crate::ledger::Embedded;
    use crate::playbook;
    use crate::storage::{Engine, MemoryDisk};
    use crate::types::Name;

    const PLAYBOOK: &str = "{bursar: 1, playbook: p, version: 1, credit: {unit: output, price: 0.10, currency: USD}, \
        actions: {draft: {weight: 1}}, plans: {basic: {allowance: {credits: 100, every: month}}}}";

    fn at() -> Timestamp {
        "2026-01-31T00:00:00Z".parse().unwrap()
    }

    fn subscribe(work: &mut Work<'_>) {
        let plan = Name::parse("basic").unwrap();
        let key = HandleKey { id: 1, secret: [3; 32] };
        work.administer(&Command::Subscribe { plan, zone: "UTC".to_owned(), key }, None).unwrap();
    }

    /// An account's entries as the store has them, and what they rest on.
    async fn stored(disk: &MemoryDisk) -> (AccountId, Vec<Entry>, Playbooks) {
        let mut playbooks = Playbooks::default();
        playbooks.publish(playbook::load(PLAYBOOK).unwrap());
        let store = Embedded::open(Path::new("x"), Engine::Memory(disk.clone()), None).unwrap();
        let id = AccountId::parse("acme").unwrap();
        let entries = store.read(&id).await.unwrap();
        store.close().await.unwrap();
        (id, entries, playbooks)
    }

    #[tokio::test]
    async fn a_panic_breaks_the_account_and_a_replay_mends_it() {
        let disk = MemoryDisk::default();
        let (id, _, playbooks) = stored(&disk).await;
        let store = Embedded::open(Path::new("x"), Engine::Memory(disk.clone()), None).unwrap();
        let slot = Slot::new(Account::new(id));
        let opened = slot.work(&store, &playbooks, at, Part::Whole, subscribe).unwrap();
        store.durable(opened.ticket).await.unwrap();
        let broken = slot.work(&store, &playbooks, at, Part::Whole, |work| {
            work.account.book.pools.clear();
            panic!("a rule was broken")
        });
        let is_broken = |result: Result<Worked<()>, LedgerError>| match result {
            Err(LedgerError::Fault(Fault::Broken(why))) => assert_eq!(why, "a rule was broken"),
            other => panic!("{other:?}"),
        };
        is_broken(broken);
        is_broken(slot.work(&store, &playbooks, at, Part::Whole, |_| ()));
        store.close().await.unwrap();

        let (id, entries, playbooks) = stored(&disk).await;
        let slot = Slot::replayed(id, &entries, &playbooks);
        assert!(slot.with(|state| state.broken.is_none()));
        let available = slot.with(|state| state.account.balance(at(), &BTreeMap::new()).available);
        assert_eq!(available.to_string(), "100");
    }

    #[tokio::test]
    async fn entries_that_do_not_follow_break_the_account() {
        let disk = MemoryDisk::default();
        let (id, _, playbooks) = stored(&disk).await;
        let store = Embedded::open(Path::new("x"), Engine::Memory(disk.clone()), None).unwrap();
        let slot = Slot::new(Account::new(id));
        let ticket = slot.work(&store, &playbooks, at, Part::Whole, subscribe).unwrap().ticket;
        store.durable(ticket).await.unwrap();
        store.close().await.unwrap();

        let (id, entries, playbooks) = stored(&disk).await;
        assert!(entries.len() > 1);
        let why = |entries: &[Entry]| {
            let slot = Slot::replayed(id.clone(), entries, &playbooks);
            slot.with(|state| state.broken.as_ref().map(ToString::to_string)).unwrap_or_default()
        };
        assert_eq!(why(&entries), "");
        assert!(why(&entries[1..]).contains("follows entry 0"));
        let mut altered = entries.clone();
        altered[0].at = altered[0].at.plus_micros(1);
        assert!(why(&altered).contains("hash link"));
    }
}
