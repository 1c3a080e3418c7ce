//! One call's way: decided on the lease in hand; else the ledger is asked, one question per account at a time; else the
//! offline mode answers.

use std::time::Duration;

use super::core::Core;
use super::slot::Desk;
use super::upstream::Upstream;
use crate::engine::account::{RunAsk, RunReply};
use crate::engine::wallet::Link;
use crate::grpc::entitlement_api::Refused;
use crate::grpc::lease_client::{DecideError, NamedRun};
use crate::lease::{Ask, Grant};
use crate::types::{AccountId, Timestamp};

/// How often one call asks for more because others took what came. Each time the ledger gave something, so that it ends;
/// after so many it takes the answer as it stands.
const ASKS_MAX: usize = 8;

/// Between two times that a call asks for a lease, where the first had no answer: a connection is made in less.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// How long a call waits for the ledger's word where the plan says nothing yet.
const WAIT_USUAL: Duration = Duration::from_secs(1);

/// What a visit to the wallet leads to.
pub enum Turn<L> {
    /// Answer it, once record `wait` is on disk.
    Done {
        answer: L,
        wait: Option<u64>,
    },
    Lease(Box<Ask>),
    Decide(Box<RunAsk>),
}

/// Where an answer came from.
pub enum Came<L> {
    Here { answer: L, at: Timestamp },
    Ledger(RunReply),
}

/// A decision that waits for the disk; record 0 = for none.
struct Decided<L> {
    answer: L,
    wait: u64,
    at: Timestamp,
}

enum Stepped<L> {
    Done(Decided<L>),
    Lease(Box<Ask>),
    Decide(Box<RunAsk>),
}

enum Asked<L> {
    Here(Decided<L>),
    Ledger(RunReply),
}

/// Why asking led to nothing.
pub enum Away {
    /// The ledger did not answer.
    Unreachable,
    /// The same, of a question that may be asked again.
    Lost,
    /// It was known to be out of reach, and was not asked; or it answers and leases nothing yet.
    Known,
    Refused(Refused),
}

impl Away {
    /// A lease may be asked for again; each ask has a number of its own.
    fn of_a_question(self) -> Self {
        if matches!(self, Self::Unreachable) { Self::Lost } else { self }
    }
}

impl From<Refused> for Away {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}

impl<U: Upstream> Core<U> {
    /// Decides one call. `op` visits the wallet, with what has come of asking so far; it may be called several times,
    /// and changes something only where it answers `Done`.
    pub async fn drive<L: Send>(
        &self,
        account: &AccountId,
        patience: Option<Duration>,
        op: impl FnMut(&mut Desk<'_, '_>, Link) -> Result<Turn<L>, Refused> + Send,
    ) -> Result<Came<L>, Refused> {
        self.drive_naming(account, patience, &[], op).await
    }

    /// The same for a call that names other runs: the ledger asks their settlers for them.
    pub async fn drive_naming<L: Send>(
        &self,
        account: &AccountId,
        patience: Option<Duration>,
        named: &[NamedRun],
        mut op: impl FnMut(&mut Desk<'_, '_>, Link) -> Result<Turn<L>, Refused> + Send,
    ) -> Result<Came<L>, Refused> {
        if !self.acting.accounts.have(account) {
            return Err(Refused::NotServed(account.clone()));
        }
        self.shards.door()?;
        let decided = match self.step(account, Link::Untried, &mut op)? {
            Stepped::Done(decided) => decided,
            // The way by the ledger is long and rare: its state is kept off the short way's.
            other => match Box::pin(self.ask_around(account, patience, (other, named), &mut op)).await? {
                Asked::Here(decided) => decided,
                Asked::Ledger(reply) => return Ok(Came::Ledger(reply)),
            },
        };
        self.durable(decided.wait).await.map_err(|_| Refused::JournalFailed)?;
        Ok(Came::Here { answer: decided.answer, at: decided.at })
    }

    fn step<L>(
        &self,
        account: &AccountId,
        link: Link,
        op: &mut impl FnMut(&mut Desk<'_, '_>, Link) -> Result<Turn<L>, Refused>,
    ) -> Result<Stepped<L>, Refused> {
        self.shards.with(account, |desk| stepped(op(desk, link)?, desk))?
    }

    async fn ask_around<L: Send>(
        &self,
        account: &AccountId,
        patience: Option<Duration>,
        (first, named): (Stepped<L>, &[NamedRun]),
        op: &mut (impl FnMut(&mut Desk<'_, '_>, Link) -> Result<Turn<L>, Refused> + Send),
    ) -> Result<Asked<L>, Refused> {
        let own = self.wait_of(account);
        let wait = patience.map_or(own, |patience| patience.min(own));
        self.keep_burn(account, &first);
        // Nothing in here waits for the disk: what was decided in time is not decided twice.
        let asked = async {
            let mut first = Some(first);
            loop {
                self.link.settled().await;
                if !self.link.is_online() {
                    return Err(Away::Known);
                }
                match self.asked(account, wait, (first.take(), named), op).await {
                    // The ledger that was asked may be one that stops: another answers in its place.
                    Err(Away::Lost) => self.link.suspect(),
                    asked => return asked,
                }
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
        };
        match tokio::time::timeout(wait, asked).await {
            Ok(Ok(asked)) => return Ok(asked),
            Ok(Err(Away::Refused(why))) => return Err(why),
            Ok(Err(Away::Known)) => {}
            Ok(Err(Away::Unreachable | Away::Lost)) => self.link.suspect(),
            // A caller in a hurry proves nothing.
            Err(_) if wait < own => {}
            Err(_) => self.link.suspect(),
        }
        match self.step(account, Link::Unreachable, op)? {
            Stepped::Done(decided) => Ok(Asked::Here(decided)),
            Stepped::Lease(_) | Stepped::Decide(_) => {
                Err(Refused::NotReady("the ledger does not answer, and this sidecar can't answer alone"))
            }
        }
    }

    /// How long the account's plan lets a run wait for the ledger's word.
    fn wait_of(&self, account: &AccountId) -> Duration {
        let wait = self.shards.visit(account, |desk| {
            let contract = desk.slot.wallet.contract.as_ref()?;
            u64::try_from(contract.plan.offline.wait.approximate_micros()).ok()
        });
        wait.and_then(Result::ok).flatten().map_or(WAIT_USUAL, Duration::from_micros)
    }

    async fn asked<L: Send>(
        &self,
        account: &AccountId,
        wait: Duration,
        (first, named): (Option<Stepped<L>>, &[NamedRun]),
        op: &mut (impl FnMut(&mut Desk<'_, '_>, Link) -> Result<Turn<L>, Refused> + Send),
    ) -> Result<Asked<L>, Away> {
        if let Some(Stepped::Decide(ask)) = first {
            return self.pass(account, wait, &ask, named).await.map(Asked::Ledger);
        }
        let turn = self.shards.with(account, |desk| desk.slot.turn())?;
        let held = turn.lock().await;
        for _ in 0..ASKS_MAX {
            // Whoever had the turn before may have fetched enough for this call, too.
            let ask = match self.step(account, Link::Untried, op)? {
                Stepped::Done(decided) => return Ok(Asked::Here(decided)),
                Stepped::Lease(ask) => ask,
                Stepped::Decide(ask) => {
                    drop(held);
                    return self.pass(account, wait, &ask, named).await.map(Asked::Ledger);
                }
            };
            let needs = ask.needs();
            let came = self.exchange(account, *ask, wait).await.map_err(Away::of_a_question)?;
            let Some((grant, asked_at)) = came else {
                let _known = self.shards.visit(account, |desk| desk.slot.wallet.closed());
                break;
            };
            let stepped = self.shards.with(account, |desk| {
                take_in(desk, &grant, asked_at);
                // Decided before anybody else can take what came.
                let turn = op(desk, Link::Untried)?;
                let turn = match turn {
                    Turn::Lease(ask) if needs.are_settled(&grant, &ask) => {
                        desk.slot.burn += ask.burn;
                        op(desk, Link::Asked)?
                    }
                    turn => turn,
                };
                stepped(turn, desk)
            })??;
            match stepped {
                Stepped::Done(decided) => return Ok(Asked::Here(decided)),
                other => self.keep_burn(account, &other),
            }
        }
        match self.step(account, Link::Asked, op)? {
            Stepped::Done(decided) => Ok(Asked::Here(decided)),
            Stepped::Lease(_) | Stepped::Decide(_) => Err(Away::Unreachable),
        }
    }

    /// The ledger decides the whole call.
    pub async fn pass(
        &self,
        account: &AccountId,
        wait: Duration,
        ask: &RunAsk,
        named: &[NamedRun],
    ) -> Result<RunReply, Away> {
        let who = self.link.sender().ok_or(Away::Unreachable)?;
        if may_draw(ask) {
            // What lies idle here is free for the ledger's decision.
            self.shards.with(account, |desk| {
                desk.slot.wallet.give_back(desk.here, desk.tape);
            })?;
        }
        self.shards.outbox.flushed().await;
        match self.upstream.decide(who, account, ask, named, wait).await {
            Ok(reply) => {
                if changes_account(ask) {
                    let _known = self.shards.visit(account, |desk| {
                        desk.slot.standings.clear();
                        desk.slot.changed();
                    });
                }
                Ok(reply)
            }
            Err(DecideError::Learning(_)) => Err(Away::Known),
            Err(why @ DecideError::Fault(_)) => Err(Away::Refused(Refused::Passed(Box::new(why)))),
            Err(why) => {
                tracing::debug!(%account, %why, "no decision");
                Err(Away::Unreachable)
            }
        }
    }

    /// An ask that is not sent: the use that it was to tell is told by the next.
    fn keep_burn<L>(&self, account: &AccountId, stepped: &Stepped<L>) {
        if let Stepped::Lease(ask) = stepped
            && ask.burn.is_positive()
        {
            let _known = self.shards.visit(account, |desk| desk.slot.burn += ask.burn);
        }
    }
}

fn stepped<L>(turn: Turn<L>, desk: &mut Desk<'_, '_>) -> Result<Stepped<L>, Refused> {
    Ok(match turn {
        Turn::Done { answer, wait } => {
            // The mark of the newest lease must be on disk before anything of it is answered; records are durable in order.
            let wait = wait.unwrap_or(0).max(desk.slot.barrier);
            Stepped::Done(Decided { answer, wait, at: desk.here.at })
        }
        Turn::Lease(mut ask) => {
            ask.burn += std::mem::take(&mut desk.slot.burn);
            Stepped::Lease(ask)
        }
        Turn::Decide(ask) => Stepped::Decide(ask),
    })
}

/// Takes a grant into the wallet.
pub fn take_in(desk: &mut Desk<'_, '_>, grant: &Grant, asked_at: Timestamp) {
    let wallet = &mut desk.slot.wallet;
    desk.slot.heard_at = desk.here.at;
    if desk.slot.left {
        return;
    }
    if wallet.lease.is_none() && grant.slices.is_empty() && grant.rooms.is_empty() {
        // Nothing was leased: terms and figures came alone.
        wallet.changed(&grant.terms, desk.here, desk.tape);
        wallet.hear(grant, desk.here, desk.tape);
        return;
    }
    desk.slot.barrier = wallet.leased(grant, asked_at, desk.here, desk.tape);
}

/// Whether what the ledger told of the account before its answer may be out of date.
fn changes_account(ask: &RunAsk) -> bool {
    match ask {
        RunAsk::Authorize(call) => !call.validate_only,
        RunAsk::Progress(..) | RunAsk::Commit(..) | RunAsk::Record(_) | RunAsk::Release(..) => true,
        RunAsk::State(..) | RunAsk::Balance(..) => false,
    }
}

/// Whether the ledger may need credits or room for its decision.
fn may_draw(ask: &RunAsk) -> bool {
    match ask {
        RunAsk::Authorize(call) => !call.validate_only,
        RunAsk::Progress(..) | RunAsk::Commit(..) | RunAsk::Record(_) => true,
        RunAsk::Release(..) | RunAsk::State(..) | RunAsk::Balance(..) => false,
    }
}
