//! The accounts in memory: shards, each under one lock that is never held across an await. A panic inside one account
//! breaks that account alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::BuildHasher;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::metrics::Metrics;
use super::outbox::Outbox;
use super::slot::{Desk, NEVER, Slot};
use super::tape::Tape;
use crate::engine::Fault;
use crate::engine::contract::Playbooks;
use crate::engine::wallet::Here;
use crate::grpc::entitlement_api::Refused;
use crate::runtime::LedgerClock;
use crate::storage::Journal;
use crate::types::{AccountId, Timestamp};

/// Locks. More than the threads of a large machine, so that two calls seldom meet at one; a power of two.
const SHARDS: usize = 64;

/// Accounts in memory at most: each takes about a kilobyte. Names that nobody subscribed leave within seconds.
pub const ACCOUNTS_MAX: usize = 1_000_000;

#[derive(Debug, Default)]
struct Shard {
    accounts: HashMap<AccountId, Slot, RandomState>,
    /// When to look at which account.
    timers: BinaryHeap<Reverse<(Timestamp, AccountId)>>,
    /// Leases to be renewed.
    renewals: Vec<AccountId>,
    /// Accounts whose totals changed.
    dirty: Vec<AccountId>,
    /// Where records are put into bytes.
    scratch: Vec<u8>,
}

/// Every wallet, and what a visit to one needs.
#[derive(Debug)]
pub struct Shards {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    count: AtomicUsize,
    pub journal: Journal,
    pub outbox: Outbox,
    pub playbooks: ArcSwap<Playbooks>,
    pub clock: Arc<LedgerClock>,
    /// The number of this start.
    pub start: u64,
    /// Where metrics are counted, if somebody reads them.
    pub metrics: Option<Arc<Metrics>>,
    /// Rung once memory and journal have parted: only reading the journal again helps.
    pub parted: Notify,
    /// Rung when a lease is to be renewed, or more is to be asked for.
    pub renewing: Notify,
}

impl Shards {
    pub fn new(
        journal: Journal,
        outbox: Outbox,
        playbooks: Playbooks,
        clock: Arc<LedgerClock>,
        start: u64,
        metrics: Option<Arc<Metrics>>,
    ) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::default(),
            count: AtomicUsize::new(0),
            journal,
            outbox,
            playbooks: ArcSwap::from_pointee(playbooks),
            clock,
            start,
            metrics,
            parted: Notify::new(),
            renewing: Notify::new(),
        }
    }

    /// Whether new work can be journaled.
    pub fn door(&self) -> Result<(), Refused> {
        if self.journal.ended().is_some() {
            return Err(Refused::JournalFailed);
        }
        if self.outbox.is_full() || self.journal.is_filling() {
            return Err(Refused::JournalFull);
        }
        Ok(())
    }

    /// Visits an account, which is made where it is not known yet.
    pub fn with<R>(&self, account: &AccountId, f: impl FnOnce(&mut Desk<'_, '_>) -> R) -> Result<R, Refused> {
        let mut shard = self.shard(account).lock();
        if !shard.accounts.contains_key(account) {
            if self.count.load(Ordering::Relaxed) >= ACCOUNTS_MAX {
                return Err(Refused::Overloaded);
            }
            shard.accounts.insert(account.clone(), Slot::new(account.clone()));
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        self.visit_locked(&mut shard, account, f).unwrap_or(Err(Refused::Overloaded))
    }

    /// Visits an account that is in memory.
    pub fn visit<R>(
        &self,
        account: &AccountId,
        f: impl FnOnce(&mut Desk<'_, '_>) -> R,
    ) -> Option<Result<R, Refused>> {
        self.visit_locked(&mut self.shard(account).lock(), account, f)
    }

    fn visit_locked<R>(
        &self,
        shard: &mut Shard,
        account: &AccountId,
        f: impl FnOnce(&mut Desk<'_, '_>) -> R,
    ) -> Option<Result<R, Refused>> {
        let slot = shard.accounts.get_mut(account)?;
        if let Some(why) = &slot.broken {
            return Some(Err(Fault::Broken(why.to_string()).into()));
        }
        let playbooks = self.playbooks.load();
        let here = Here { playbooks: &playbooks, at: self.clock.now() };
        let mut tape = Tape::new(&self.journal, &self.outbox, self.start, &mut shard.scratch);
        tape.metrics = self.metrics.as_deref();
        let mut renew = false;
        let done = catch_unwind(AssertUnwindSafe(|| {
            // Before the ledger's clock is known, time does nothing.
            if slot.due <= here.at && self.clock.is_learned() {
                renew = slot.pass_time(here, &mut tape);
            }
            let done = f(&mut Desk { slot, here, tape: &mut tape });
            if !slot.renewing && slot.wallet.wants_more(here.at) {
                (slot.renewing, renew) = (true, true);
            }
            done
        }));
        let (written, told, failed) = (tape.written, tape.told, tape.failed);
        slot.told = told.unwrap_or(slot.told);
        if let Some((first, last)) = written {
            slot.needed_from = slot.needed_from.or(Some(first));
            slot.last = last;
            slot.changed();
            if !std::mem::replace(&mut slot.dirty, true) {
                shard.dirty.push(account.clone());
            }
        }
        if renew {
            shard.renewals.push(account.clone());
            self.renewing.notify_one();
        }
        let done = match done {
            Ok(done) => done,
            Err(panic) => {
                slot.broken = Some(said(&*panic).into());
                slot.due = NEVER;
                tracing::error!(%account, what = said(&*panic), "a bug broke this account; its calls are refused");
                return Some(Err(Fault::Broken(said(&*panic)).into()));
            }
        };
        slot.due = slot.next_due();
        if slot.due < slot.scheduled {
            slot.scheduled = slot.due;
            shard.timers.push(Reverse((slot.due, account.clone())));
        }
        if let Some(why) = failed {
            tracing::error!(%why, "the journal took no more; it is read again");
            self.parted.notify_one();
            return Some(Err(Refused::JournalFailed));
        }
        Some(Ok(done))
    }

    /// Puts an account into memory as the journal shows it. Time does nothing to it before it is visited.
    pub fn put(&self, slot: Slot) {
        let account = slot.wallet.account.clone();
        let mut shard = self.shard(&account).lock();
        if shard.accounts.insert(account, slot).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Accounts whose time has come.
    pub fn due(&self, at: Timestamp) -> Vec<AccountId> {
        let mut due = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            while shard.timers.peek().is_some_and(|Reverse((when, _))| *when <= at) {
                let Some(Reverse((when, account))) = shard.timers.pop() else { break };
                if let Some(slot) = shard.accounts.get_mut(&account)
                    && slot.scheduled == when
                {
                    slot.scheduled = NEVER;
                    due.push(account);
                }
            }
        }
        due
    }

    /// When time next does something to any account.
    #[cfg(debug_assertions)]
    pub fn next_due(&self) -> Option<Timestamp> {
        let next = |shard: &Mutex<Shard>| shard.lock().accounts.values().map(|slot| slot.due).min();
        self.shards.iter().filter_map(next).min().filter(|due| *due < NEVER)
    }

    /// Leases to be renewed, each once.
    pub fn renewals(&self) -> Vec<AccountId> {
        self.shards.iter().flat_map(|shard| std::mem::take(&mut shard.lock().renewals)).collect()
    }

    /// Accounts whose totals changed since they were last told, at most so many.
    pub fn take_dirty(&self, most: usize) -> Vec<AccountId> {
        let mut taken = Vec::new();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let part = shard.dirty.len().min(most - taken.len());
            let accounts: Vec<_> = shard.dirty.drain(..part).collect();
            for account in &accounts {
                if let Some(slot) = shard.accounts.get_mut(account) {
                    slot.dirty = false;
                }
            }
            taken.extend(accounts);
        }
        taken
    }

    /// Every account in memory.
    pub fn accounts(&self) -> Vec<AccountId> {
        self.shards
            .iter()
            .flat_map(|shard| shard.lock().accounts.keys().cloned().collect::<Vec<_>>())
            .collect()
    }

    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The oldest record that any account still needs.
    pub fn needed_from(&self) -> Option<u64> {
        let oldest =
            |shard: &Mutex<Shard>| shard.lock().accounts.values().filter_map(|s| s.needed_from).min();
        self.shards.iter().filter_map(oldest).min()
    }

    /// Lets accounts go of which the journal has nothing: names that the ledger does not know. Calls go on in between.
    pub async fn forget_strangers(&self) {
        for shard in &self.shards {
            self.forget_strangers_of(&mut shard.lock());
            tokio::task::yield_now().await;
        }
    }

    fn forget_strangers_of(&self, shard: &mut Shard) {
        let before = shard.accounts.len();
        shard
            .accounts
            .retain(|_, slot| slot.needed_from.is_some() || slot.wallet.terms.is_some() || !slot.is_idle());
        self.count.fetch_sub(before - shard.accounts.len(), Ordering::Relaxed);
    }

    /// Looks at every account. Calls go on in between.
    pub async fn each(&self, mut look: impl FnMut(&Slot)) {
        for shard in &self.shards {
            shard.lock().accounts.values().for_each(&mut look);
            tokio::task::yield_now().await;
        }
    }

    /// Accounts that could leave memory, at most so many.
    pub fn idle(&self, most: usize) -> Vec<AccountId> {
        let mut idle = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock();
            let found = shard.accounts.iter().filter(|(_, slot)| slot.is_idle());
            idle.extend(found.take(most - idle.len()).map(|(account, _)| account.clone()));
        }
        idle
    }

    /// Lets an account go whose last record is a snapshot, numbered `number`: nothing happened to it since.
    pub fn forget(&self, account: &AccountId, number: u64) {
        let mut shard = self.shard(account).lock();
        let gone = |slot: &Slot| slot.is_idle() && slot.needed_from == Some(number) && slot.last == number;
        if shard.accounts.get(account).is_some_and(gone) {
            shard.accounts.remove(account);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn shard(&self, account: &AccountId) -> &Mutex<Shard> {
        let hash = usize::try_from(self.hasher.hash_one(account) >> 32).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "the index is below SHARDS, and there are so many")]
        &self.shards[hash % SHARDS]
    }
}

/// What a panic said.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
