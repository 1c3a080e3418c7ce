//! A balance as a stream. Each watcher is told that the account has changed and then looks for itself, at its own reader's
//! pace: there is no queue to fill, and a slow reader holds up nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::entitlement_api::{AuthorizeQuestion, Entitlements, Refused};
use super::proto::v1;
use super::reply;
use super::status::of_refused;
use crate::credit::{Decision, PoolId};
use crate::types::AccountId;

/// A balance that changes all the time is looked at so often: a visit to memory, besides what `GetBalance` asks of the
/// ledger.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One of which nothing is heard is looked at so often: other sidecars and the ledger change it, too. Whether the refused
/// run would fit is tried then, though nothing has changed here: the ledger may have recalled something, or another period
/// has begun.
const LOOK_ANYWAY: Duration = Duration::from_secs(1);

/// And so is it at every so many looks at a balance that changes all the time.
const TRY_EVERY: u32 = 10;

/// How long a look waits for the ledger.
const WAIT: Duration = Duration::from_secs(1);

/// Watchers of one sidecar at once.
const WATCHERS_MAX: usize = 1000;

pub(super) type Balances = ReceiverStream<Result<v1::WatchBalanceResponse, Status>>;

/// Who watches what, and what it was told last.
pub(super) struct Watcher<E> {
    pub api: Arc<E>,
    pub account: AccountId,
    pub pool: Option<PoolId>,
    pub refused: Option<AuthorizeQuestion>,
}

/// Counts the watchers; dropped with one.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<E: Entitlements> Watcher<E> {
    /// Begins with the balance as it is. Errors: those of a balance; too many watch.
    pub async fn begin(self, watchers: &Arc<AtomicUsize>) -> Result<Balances, Status> {
        let before = watchers.fetch_add(1, Ordering::Relaxed);
        let place = Place(Arc::clone(watchers));
        if before >= WATCHERS_MAX {
            return Err(of_refused(&Refused::Overloaded));
        }
        let balance = self.look().await.map_err(|why| of_refused(&why))?;
        let first = v1::WatchBalanceResponse { balance: Some(balance), may_resume: self.may_resume().await };
        // One answer waits at most; the next is looked up once there is room for it.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(self.keep(first, sender, place));
        Ok(ReceiverStream::new(receiver))
    }

    async fn keep(
        self,
        first: v1::WatchBalanceResponse,
        sender: mpsc::Sender<Result<v1::WatchBalanceResponse, Status>>,
        _place: Place,
    ) {
        let mut told = first.clone();
        if sender.send(Ok(first)).await.is_err() {
            return;
        }
        let (mut looks, mut changes) = (0_u32, None);
        loop {
            let quiet = tokio::select! {
                quiet = self.due(&mut changes) => quiet,
                () = sender.closed() => return,
            };
            // Room first, then the look: what is sent is the newest.
            let Ok(room) = sender.reserve().await else { return };
            looks = looks.wrapping_add(1);
            let mut balance = match self.look().await {
                Ok(balance) => balance,
                // The sidecar starts its journal anew, or stops: the caller watches again.
                Err(why) => return room.send(Err(of_refused(&why))),
            };
            let changed = told.balance.as_ref().map(figures) != Some(figures(&balance));
            let may_resume = match changed || quiet || looks.is_multiple_of(TRY_EVERY) {
                true => self.may_resume().await,
                false => told.may_resume,
            };
            if may_resume != told.may_resume
                && let (false, Ok(newer)) = (changed, self.look().await)
            {
                // What lets the run go on came after the look.
                balance = newer;
            }
            if changed || may_resume != told.may_resume {
                told = v1::WatchBalanceResponse { balance: Some(balance), may_resume };
                room.send(Ok(told.clone()));
            }
        }
    }

    /// Waits until it is time for a look. Whether nothing was heard of the account.
    async fn due(&self, changes: &mut Option<watch::Receiver<()>>) -> bool {
        let anyway = tokio::time::sleep(LOOK_ANYWAY);
        // What happens from here on is heard; the look that follows sees what happened before.
        let fresh = changes.is_none();
        if fresh {
            *changes = self.api.changes(&self.account);
        }
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(heard) = changes else {
            anyway.await;
            return true;
        };
        if fresh {
            return true;
        }
        tokio::select! {
            () = anyway => true,
            changed = heard.changed() => {
                // Where it can't be heard any more, the account has left memory, or the journal is read anew.
                if changed.is_err() {
                    *changes = None;
                }
                changed.is_err()
            }
        }
    }

    async fn look(&self) -> Result<v1::GetBalanceResponse, Refused> {
        let view = self.api.balance(self.account.clone(), self.pool.clone(), Some(WAIT)).await?;
        Ok(reply::balance(&view, reply::connectivity(self.api.online())))
    }

    /// Whether the refused run would be allowed. Where that can't be said it would not.
    async fn may_resume(&self) -> bool {
        let Some(run) = &self.refused else { return false };
        let answered = self.api.authorize(run, Some(WAIT)).await;
        answered.is_ok_and(|answered| answered.answer.decision != Decision::Denied)
    }
}

/// A balance without what changes with time alone.
fn figures(balance: &v1::GetBalanceResponse) -> v1::GetBalanceResponse {
    let mut figures =
        v1::GetBalanceResponse { as_of: None, as_of_age: None, period_ends_in: None, ..balance.clone() };
    for cap in &mut figures.caps {
        cap.window_ends_in = None;
    }
    figures
}
