//! The lane of an account: commands wait in it, and each turn does all that wait as one write of the store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::figures::Figured;
use super::job::{Waits, Worked, job};
use super::service::Ledger;
use super::slot::{InTurn, Part, Slot, State};
use super::store::{Head, LedgerStore, Position, StoreError, Ticket, Turn};
use super::writes::store_error;
use crate::engine::Fault;
use crate::engine::account::entry::What;
use crate::engine::account::{AdminRefusal, Entry, Work};
use crate::grpc::ledger_api::LedgerError;
use crate::runtime::Backoff;

/// A turn that the store does not take is tried again for so long before its commands are refused: a database that
/// restarts or fails over is back by then, or callers should know.
const TRY_FOR: Duration = Duration::from_secs(3);
const AGAIN_FIRST: Duration = Duration::from_millis(10);
const AGAIN_MOST: Duration = Duration::from_millis(250);

/// Commands that wait in all lanes at most; beyond, new ones are refused.
const WAITING_MAX: usize = 100_000;

impl<S: LedgerStore> Ledger<S> {
    /// Does one write to an account: entries stored in order, timers moved, sidecars told. Durable once the ticket is.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        slot: &Arc<Slot>,
        act: impl FnMut(&mut Work<'_>) -> T + Send + 'static,
    ) -> Result<Worked<T>, LedgerError> {
        self.work_part(slot, Part::Whole, false, act).await
    }

    /// The same, for a write that may be a part of a batch, or with which an account begins. It waits in the lane from the
    /// call on, not from the first poll, so that parts stay in their order.
    pub(super) fn work_part<T: Send + 'static>(
        &self,
        slot: &Arc<Slot>,
        part: Part,
        opens: bool,
        act: impl FnMut(&mut Work<'_>) -> T + Send + 'static,
    ) -> impl Future<Output = Result<Worked<T>, LedgerError>> + Send + 'static {
        let waiting = self.enter(slot, part, opens, act);
        async move {
            match waiting {
                // The turn outlives its caller; it goes only with the process.
                Ok(waits) => waits.await.unwrap_or(Err(LedgerError::Overloaded)),
                Err(refused) => Err(refused),
            }
        }
    }

    fn enter<T: Send + 'static>(
        &self,
        slot: &Arc<Slot>,
        part: Part,
        opens: bool,
        act: impl FnMut(&mut Work<'_>) -> T + Send + 'static,
    ) -> Result<Waits<T>, LedgerError> {
        if self.store.is_filling() || self.waiting.load(Ordering::Relaxed) > WAITING_MAX {
            return Err(LedgerError::Overloaded);
        }
        let (job, waits) = job(part, opens, act);
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if slot.wait(job) {
            tokio::spawn(self.clone().keep_lane(Arc::clone(slot)));
        }
        Ok(waits)
    }

    async fn keep_lane(self, slot: Arc<Slot>) {
        loop {
            self.turn(&slot).await;
            if !slot.goes_on() {
                return;
            }
        }
    }

    /// One turn, tried again while the store may yet take it.
    async fn turn(&self, slot: &Arc<Slot>) {
        let mut jobs = Vec::new();
        let give_up = self.clock.clock().boottime().plus(TRY_FOR);
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        loop {
            // A turn does what many asked for; it is told in the trace of the first that has one.
            let tried = match slot.trace() {
                None => self.tried(slot, &mut jobs).await,
                Some(trace) => Box::pin(trace.over(self.tried(slot, &mut jobs))).await,
            };
            let error = match tried {
                Ok(ticket) => return self.end(jobs, || Ok(ticket)),
                Err(error) => error,
            };
            let lasting = !matches!(error, Unturned::Store(StoreError::Away(_)));
            if lasting || self.clock.clock().boottime() >= give_up {
                if !lasting {
                    tracing::warn!(account = %slot.id, ?error, "a turn was given up");
                }
                jobs.extend(slot.take_waiting());
                return self.end(jobs, || Err(error.of()));
            }
            tracing::debug!(account = %slot.id, ?error, "a turn is tried again");
            tokio::time::sleep(backoff.next_wait()).await;
        }
    }

    fn end(&self, jobs: Vec<InTurn>, of: impl Fn() -> Result<Ticket, LedgerError>) {
        self.waiting.fetch_sub(jobs.len(), Ordering::Relaxed);
        for InTurn { job, fault, .. } in jobs {
            job.end(match fault {
                Some(why) => Err(Fault::Broken(why.to_string()).into()),
                None => of(),
            });
        }
    }

    async fn tried(&self, slot: &Arc<Slot>, jobs: &mut Vec<InTurn>) -> Result<Ticket, Unturned> {
        let mut turn = self.store.turn(&slot.id, slot.opens()).await?;
        if !self.caught_up(slot, &mut turn).await? {
            turn.pass().await;
            return Err(Unturned::Absent);
        }
        let shelf = self.shelf();
        let ran = slot.run(jobs, &shelf.playbooks, self.clock.now(), S::SHARED);
        let (before, after) = ran.timer;
        self.timers.set(&slot.id, before, after);
        let Some(batch) = ran.batch else {
            turn.pass().await;
            self.tell_terms(slot);
            return Ok(slot.with(|state| state.ticket));
        };
        match turn.write(batch.clone()).await {
            Ok(ticket) => slot.with(|state| state.settled(&batch, ticket)),
            Err(StoreError::Away(why)) => return Err(StoreError::Away(why).into()),
            Err(error) => return Err(self.unwritten(slot, error)),
        }
        self.tell_terms(slot);
        Ok(slot.with(|state| state.ticket))
    }

    /// The account in memory is ahead of its journal now: only a replay brings them together.
    fn unwritten(&self, slot: &Slot, error: StoreError) -> Unturned {
        let why = slot.with(|state| state.breaks(format!("its entries were not stored: {error}")));
        match error {
            StoreError::Failed(_) => Unturned::Store(error),
            _ => Unturned::Broken(why),
        }
    }

    /// Brings memory to where the store is. False where there is no such account.
    async fn caught_up(&self, slot: &Slot, turn: &mut S::Turn) -> Result<bool, StoreError> {
        let (head, heard) = match turn.head() {
            Head::Own => return Ok(true),
            Head::Absent => return Ok(false),
            Head::At { position, heard } => (position, heard),
        };
        let (memory, unsettled, known) =
            slot.with(|state| (state.position(), state.unsettled.as_ref().map(|u| u.before), state.heard));
        if slot.with(|state| state.broken.is_some()) {
            return Ok(true);
        }
        if memory == head {
            // What was not known to be stored is.
            slot.with(|state| state.unsettled = None);
        } else if unsettled.is_none() && memory.0 < head.0 {
            self.read_on(slot, turn, memory, head).await?;
        } else if unsettled != Some(head) {
            tracing::info!(account = %slot.id, "another process wrote meanwhile: the account is read anew");
            slot.with(State::forget);
            self.read_on(slot, turn, (0, [0; 32]), head).await?;
        }
        if heard != known {
            let totals = turn.totals().await?;
            slot.with(|state| state.hear(totals, heard));
        }
        Ok(true)
    }

    async fn read_on(
        &self,
        slot: &Slot,
        turn: &mut S::Turn,
        memory: Position,
        head: Position,
    ) -> Result<(), StoreError> {
        let entries = turn.entries(memory.0).await?;
        let newest = self.shelf().newest();
        if entries.iter().filter_map(names_version).any(|version| version > newest) {
            self.renew_shelf().await?;
        }
        let shelf = self.shelf();
        slot.with(|state| {
            let before = state.timer;
            state.take(&entries, &shelf.playbooks);
            if state.broken.is_none() && state.position() != head {
                state.breaks(format!("its journal ends at entry {}, not at {}", state.position().0, head.0));
            }
            state.figured = Figured::of(&state.account);
            self.timers.set(&slot.id, before, state.timer);
        });
        Ok(())
    }
}

/// The version of the playbook that an entry rests on.
fn names_version(entry: &Entry) -> Option<u32> {
    match &entry.what {
        What::Subscribed { version, .. } | What::PeriodStarted { version, .. } => Some(*version),
        What::PlanMoved(moved) => Some(moved.version),
        _ => None,
    }
}

/// Why a turn did not come about.
#[derive(Debug)]
enum Unturned {
    Store(StoreError),
    Absent,
    Broken(Arc<str>),
}

impl Unturned {
    fn of(&self) -> LedgerError {
        match self {
            Self::Store(error) => store_error(error.clone()),
            Self::Absent => AdminRefusal::AccountUnknown.into(),
            Self::Broken(why) => Fault::Broken(why.to_string()).into(),
        }
    }
}

impl From<StoreError> for Unturned {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
