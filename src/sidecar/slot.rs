//! One account in a sidecar's memory: its wallet, and what the sidecar keeps beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::tape::Tape;
use crate::credit::PoolId;
use crate::engine::account::balance::Standing;
use crate::engine::wallet::{Here, Wallet};
use crate::lease::Ask;
use crate::types::{AccountId, Credits, ReservationId, Timestamp};

/// Runs of one account of which is remembered that the ledger settles them.
const ELSEWHERE_MAX: usize = 10_000;

/// An instant that never comes.
pub const NEVER: Timestamp = Timestamp::from_micros(i64::MAX);

#[derive(Debug)]
pub struct Slot {
    pub wallet: Wallet,
    /// A bug was found in this account's state: its calls are refused until the process starts again.
    pub broken: Option<Arc<str>>,
    /// One question to the ledger at a time: who holds this may ask.
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
    /// The record of the newest lease, or of the seal after an unclean stop: what is answered before it is on disk would
    /// not be covered by the mark.
    pub barrier: u64,
    /// The oldest record that the next start needs of this account.
    pub needed_from: Option<u64>,
    /// The newest record of this account.
    pub last: u64,
    /// The newest record of this account that the ledger is told.
    pub told: u64,
    /// When time next does something here.
    pub due: Timestamp,
    /// The earliest timer that is set for it.
    pub scheduled: Timestamp,
    /// A request for more time, or for more credits ahead of need, is under way.
    pub renewing: bool,
    /// Use that an ask was to tell and that no answer came to.
    pub burn: Credits,
    /// The newest ask of this start about the account; 0 = none.
    pub asked: u64,
    /// The process is stopping and has said what it leaves: a grant that comes now is not taken in.
    pub left: bool,
    /// Rung when something is journaled of the account, for those who watch its balance; `None` while nobody does.
    pub watched: Option<tokio::sync::watch::Sender<()>>,
    /// The ledger has not heard the running totals since they changed.
    pub dirty: bool,
    /// When the ledger last said what it has left.
    pub heard_at: Timestamp,
    /// The balance of the account or of a pool as the ledger last told it, and the newest record of this account then.
    pub standings: BTreeMap<Option<PoolId>, (u64, Standing)>,
    /// Runs that the ledger settles though they were asked for here, and until when that is remembered.
    elsewhere: BTreeMap<ReservationId, Timestamp>,
}

/// A visit to an account, with its shard locked: nothing here may wait.
pub struct Desk<'d, 't> {
    pub slot: &'d mut Slot,
    pub here: Here<'d>,
    pub tape: &'d mut Tape<'t>,
}

impl Slot {
    pub fn new(account: AccountId) -> Self {
        Self::of(Wallet::new(account))
    }

    pub fn of(wallet: Wallet) -> Self {
        Self {
            wallet,
            broken: None,
            turn: None,
            barrier: 0,
            needed_from: None,
            last: 0,
            told: 0,
            due: NEVER,
            scheduled: NEVER,
            renewing: false,
            burn: Credits::ZERO,
            asked: 0,
            left: false,
            watched: None,
            dirty: false,
            heard_at: Timestamp::default(),
            standings: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        }
    }

    /// Hears of each change from here on.
    pub fn watch(&mut self) -> tokio::sync::watch::Receiver<()> {
        self.watched.get_or_insert_with(|| tokio::sync::watch::channel(()).0).subscribe()
    }

    /// Something was journaled.
    pub fn changed(&mut self) {
        // With the last watcher gone, changes cost nothing again.
        if self.watched.as_ref().is_some_and(|watched| watched.send(()).is_err()) {
            self.watched = None;
        }
    }

    pub fn turn(&mut self) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(self.turn.get_or_insert_with(Arc::default))
    }

    /// Does what is due; true where the lease is to be renewed.
    pub fn pass_time(&mut self, here: Here<'_>, tape: &mut Tape<'_>) -> bool {
        match self.wallet.tick(here, tape) {
            Some(Ask { burn, .. }) => {
                // The renewal asks anew when its turn comes.
                self.burn += burn;
                self.renewing = true;
                true
            }
            None => false,
        }
    }

    /// When time next does something, by the wallet as it is now.
    pub fn next_due(&self) -> Timestamp {
        let next = self.wallet.next_timer().unwrap_or(NEVER);
        if !self.renewing {
            return next;
        }
        // While the renewal is under way, its own time is no reason to look again.
        let deadline = self.wallet.book.deadlines.first().map(|(at, _)| *at);
        let lease = self.wallet.lease.as_ref().map(|lease| lease.until);
        [deadline, lease].into_iter().flatten().min().unwrap_or(NEVER)
    }

    /// Whether the ledger settles this run.
    pub fn is_elsewhere(&self, id: ReservationId) -> bool {
        self.elsewhere.contains_key(&id)
    }

    pub fn elsewhere(&self) -> impl Iterator<Item = (ReservationId, Timestamp)> {
        self.elsewhere.iter().map(|(id, until)| (*id, *until))
    }

    /// Remembers that the ledger settles a run; beyond the most that are remembered, those that end first are forgotten.
    pub fn settles_elsewhere(&mut self, id: ReservationId, until: Timestamp, at: Timestamp) {
        if self.elsewhere.len() >= ELSEWHERE_MAX {
            self.elsewhere.retain(|_, until| *until > at);
        }
        if self.elsewhere.len() >= ELSEWHERE_MAX
            && let Some(first) = self.elsewhere.iter().min_by_key(|(_, until)| **until).map(|(id, _)| *id)
        {
            self.elsewhere.remove(&first);
        }
        self.elsewhere.insert(id, until);
    }

    /// Whether nothing would be lost if it left memory.
    pub fn is_idle(&self) -> bool {
        let wallet = &self.wallet;
        self.broken.is_none()
            && !self.renewing
            && wallet.lease.is_none()
            && wallet.book.runs.is_empty()
            && wallet.book.finals.is_empty()
            && self.elsewhere.is_empty()
            && wallet.book.pools.iter().all(|pool| pool.blocks.iter().all(|b| b.available.is_zero()))
    }
}
