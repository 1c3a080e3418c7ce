//! Calls about runs, decided on the slice. What the slice lacks is asked of the ledger; what this sidecar does not settle
//! goes there whole.

use super::state::{FINALS_MAX, Here, Log, Wallet};
use super::unknown::refusal;
use crate::credit::{Change, Decision, Reason, RunEvent, State};
use crate::engine::Fault;
use crate::engine::answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
use crate::engine::authorize::{Short, Verdict, authorize};
use crate::engine::call::{Authorize, Commit, Progress, Record, Release};
use crate::engine::commit::{Outcome, commit};
use crate::engine::frame::{Beyond, Cut, Frame};
use crate::engine::handle::Handle;
use crate::engine::progress::progress;
use crate::engine::record;
use crate::engine::release::release;
use crate::lease::{Ask, WalletEvent, promotion};
use crate::types::{Credits, Length, ReservationId};

/// A reservation that lives longer than this is answered once it is on disk.
const LONG: Length = Length::hours(1);

/// What has come of asking the ledger, for this call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    Untried,
    Asked,
    Unreachable,
}

/// What a call leads to.
#[derive(Clone, Debug)]
pub enum Step<A> {
    /// Answer it, once record `wait` is on disk.
    Done { answer: A, wait: Option<u64> },
    /// Ask the ledger for this, then call again.
    Lease(Box<Ask>),
    /// The ledger decides the whole call.
    Decide,
}

impl Wallet {
    pub fn authorize(
        &mut self,
        call: &Authorize,
        force: bool,
        link: Link,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<AuthorizeAnswer>, Fault> {
        if link == Link::Unreachable {
            self.out_of_touch(here, log);
        }
        if self.contract.is_none() {
            return Ok(self.unknown_account(link, here));
        }
        if self.needs_ledger(call) {
            match link {
                Link::Untried => return Ok(self.decide(call.id)),
                Link::Asked | Link::Unreachable if call.parent.is_some() => {
                    return Ok(done(refusal(here, Reason::LedgerUnreachable)));
                }
                // A retry whose first run nobody can look up is an ordinary run.
                Link::Asked | Link::Unreachable => {}
            }
        }
        self.book.look(here.at);
        // What is scarce is not leased: the ledger decides the run, unless its work is done already.
        let scarce = self.scarce_until > here.at && link != Link::Unreachable && !force;
        let beyond = if scarce { Beyond::Ledger(&self.rest) } else { self.beyond(link, here) };
        let Some(frame) = self.frame(here, beyond) else {
            return Ok(self.unknown_account(link, here));
        };
        match authorize(&frame, call, force)? {
            Verdict::Short(_) if scarce => {
                self.used = true;
                // Where the child is decided, its parent must be known.
                if let Some(parent) = call.parent {
                    self.promote(parent, here, log);
                }
                Ok(self.decide(call.id))
            }
            Verdict::Short(short) => {
                let ask = self.ask(&short, &call.subject, force, here.at);
                Ok(Step::Lease(Box::new(Ask { buys: !call.validate_only, ..ask })))
            }
            Verdict::Answer(mut answer, event) => {
                if answer.decision == Decision::Denied {
                    answer.out_of_reach = self.out_of_reach.filter(|(_, until)| *until > here.at);
                }
                let wait = event.map(|mut event| {
                    if link == Link::Unreachable {
                        self.begins_unanswered(&mut event);
                    }
                    self.reserve(event, answer.past_lease, here, log)
                });
                Ok(Step::Done { answer, wait: wait.flatten() })
            }
        }
    }

    /// Journals a reservation; answers the record to wait for, where one must.
    fn reserve(
        &mut self,
        event: RunEvent,
        past_lease: bool,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Option<u64> {
        let amount: Credits = event.flows.iter().map(|flow| flow.amount).sum();
        let long = match &event.change {
            Change::Reserved(run) => run.expires_at.micros_since(here.at) > LONG.approximate_micros(),
            _ => true,
        };
        self.flushed(log.durable());
        let covered = self.mark().covers(self.unflushed_sum, self.unflushed.len(), amount);
        let wait = long || past_lease || !covered;
        let number = self.emit(WalletEvent::Run(event), wait, here, log);
        if !wait {
            self.unflushed.push_back((number, amount));
            self.unflushed_sum += amount;
        }
        self.largest = self.largest.max(amount);
        self.burn += amount;
        self.taken += amount;
        self.used = true;
        if here.at >= self.carry_from {
            self.uncarried = Some(here.at);
        }
        wait.then_some(number)
    }

    /// Forgets unflushed reservations up to the record that is on disk.
    fn flushed(&mut self, durable: u64) {
        while let Some((number, amount)) = self.unflushed.front().copied() {
            if number > durable {
                break;
            }
            self.unflushed.pop_front();
            self.unflushed_sum -= amount;
        }
    }

    pub fn commit(
        &mut self,
        call: &Commit,
        handle: &str,
        link: Link,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<RunAnswer>, Fault> {
        let doubtful;
        let call = match self.other_settler(call.id) {
            Some(other) => {
                doubtful = Commit { provisional: Some(other), ..call.clone() };
                &doubtful
            }
            None => call,
        };
        let outcome = match self.frame(here, self.beyond(link, here)) {
            Some(frame) => commit(&frame, call)?,
            None => Outcome::Elsewhere,
        };
        match outcome {
            Outcome::Elsewhere if link != Link::Untried => self.accept_commit(call, handle, here, log),
            other => Ok(self.settle(other, here, log)),
        }
    }

    pub fn release(
        &mut self,
        call: &Release,
        handle: &str,
        link: Link,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<RunAnswer>, Fault> {
        let outcome = match self.frame(here, self.beyond(link, here)) {
            Some(frame) => release(&frame, call)?,
            None => Outcome::Elsewhere,
        };
        match outcome {
            Outcome::Elsewhere if link != Link::Untried => self.accept_release(call, handle, here, log),
            other => Ok(self.settle(other, here, log)),
        }
    }

    /// `foreign`: another settles it, as far as this sidecar knows besides.
    pub fn progress(
        &mut self,
        call: &Progress,
        (handle, foreign): (&Handle, bool),
        link: Link,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<ProgressAnswer>, Fault> {
        let outcome = match self.frame(here, self.beyond(link, here)) {
            Some(frame) => progress(&frame, call)?,
            None => Outcome::Elsewhere,
        };
        match outcome {
            Outcome::Done(answer, event) => {
                let mut wait = event.map(|event| {
                    self.used = true;
                    self.emit(WalletEvent::Run(*event), true, here, log)
                });
                if call.ttl.is_some() {
                    wait = self.promote(call.id, here, log).or(wait);
                }
                Ok(Step::Done { answer, wait })
            }
            Outcome::Short(lack) => {
                let short = Short { credits: lack.credits, prior: lack.prior, ..Short::default() };
                let ask = self.ask(&short, &lack.subject, true, here.at);
                Ok(Step::Lease(Box::new(Ask { buys: true, ..ask })))
            }
            Outcome::Elsewhere if link == Link::Untried => Ok(Step::Decide),
            Outcome::Elsewhere if foreign || self.handed.contains_key(&call.id) => {
                // Whether its time was made longer elsewhere is not known here either.
                let open = handle.expires_at > here.at;
                Ok(if open { done(ProgressAnswer::within_hold(handle.expires_at)) } else { Step::Decide })
            }
            Outcome::Elsewhere => Err(Fault::ReservationUnknown(call.id)),
        }
    }

    pub fn record(
        &mut self,
        call: &Record,
        handle: &str,
        link: Link,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<RunAnswer>, Fault> {
        if let Some(frame) = self.frame(here, self.beyond(link, here)) {
            if frame.book.finals.contains_key(&call.authorize.id) {
                return self.commit(&call.commit, handle, link, here, log);
            }
            record::check(&frame, call)?;
        }
        let answer = match self.authorize(&call.authorize, true, link, here, log)? {
            Step::Done { answer, .. } => answer,
            Step::Lease(ask) => return Ok(Step::Lease(ask)),
            Step::Decide => return Ok(Step::Decide),
        };
        let would_be = answer.would_be.or(Some((answer.decision, answer.reason)));
        if answer.reservation.is_none() {
            return Ok(done(RunAnswer {
                id: call.authorize.id,
                state: State::Released,
                held: Credits::ZERO,
                charged: Credits::ZERO,
                paid_by: Vec::new(),
                debt: Credits::ZERO,
                expires_at: None,
                provisional: false,
                would_be,
            }));
        }
        // The ledger was asked for what the reservation lacked: what the commit still lacks is debt.
        let link = if link == Link::Untried { Link::Asked } else { link };
        match self.commit(&call.commit, handle, link, here, log)? {
            Step::Done { answer, wait } => Ok(Step::Done { answer: RunAnswer { would_be, ..answer }, wait }),
            other => Ok(other),
        }
    }

    /// The state of a run, if this sidecar knows it.
    pub fn state(&self, id: ReservationId) -> Option<RunAnswer> {
        let open = self.book.runs.get(&id).map(|run| RunAnswer::of_open(run));
        open.or_else(|| self.book.finals.get(&id).map(|ended| RunAnswer::of_final(id, ended)))
    }

    fn settle(&mut self, outcome: Outcome<RunAnswer>, here: Here<'_>, log: &mut dyn Log) -> Step<RunAnswer> {
        match outcome {
            Outcome::Done(answer, Some(event)) => {
                self.used = true;
                let mut wait = self.emit(WalletEvent::Run(*event), true, here, log);
                // One comes, one goes: what is remembered stays within its bound, and no later moment pays for many.
                self.book.forget(here.at, FINALS_MAX);
                self.tidy(here, log);
                if answer.state == State::AwaitingOutcome
                    && let Some(number) = self.promote(answer.id, here, log)
                {
                    wait = number;
                }
                Step::Done { answer, wait: Some(wait) }
            }
            // A repeated answer is given once what it reports is on disk.
            Outcome::Done(answer, None) => Step::Done { answer, wait: Some(log.last()) },
            Outcome::Short(lack) => {
                let (credits, prior) = (lack.credits, lack.prior);
                let short = Short { credits, prior, basic: true, ..Short::default() };
                let ask = self.ask(&short, &lack.subject, true, here.at);
                Step::Lease(Box::new(Ask { buys: true, ..ask }))
            }
            Outcome::Elsewhere => Step::Decide,
        }
    }

    /// Reports the family of a run, so that the account itself holds it.
    pub fn promote(&mut self, id: ReservationId, here: Here<'_>, log: &mut dyn Log) -> Option<u64> {
        let root = self.book.runs.get(&id)?.root;
        if self.handing_roots.contains(&root) {
            return None;
        }
        let family = promotion::family(&self.book, root);
        Some(self.emit(WalletEvent::Promoted(family), true, here, log))
    }

    /// Whether this call names a run that this sidecar does not settle.
    fn needs_ledger(&self, call: &Authorize) -> bool {
        let parent = call.parent.is_some_and(|id| match self.book.runs.get(&id) {
            Some(parent) => self.handing_roots.contains(&parent.root),
            None => true,
        });
        let retried = call
            .retry_of
            .is_some_and(|id| !self.book.finals.contains_key(&id) && !self.book.runs.contains_key(&id));
        parent || retried || self.handed.contains_key(&call.id)
    }

    fn beyond(&self, link: Link, here: Here<'_>) -> Beyond<'_> {
        match link {
            Link::Untried => Beyond::Ledger(&self.rest),
            Link::Asked => Beyond::Asked(&self.rest),
            Link::Unreachable => Beyond::Unreachable(
                &self.rest,
                Cut {
                    since: self.cut_off.unwrap_or(here.at),
                    lease_ends: self.lease.as_ref().map(|lease| lease.until),
                },
            ),
        }
    }

    /// A frame for questions that change nothing.
    pub fn view<'a>(&'a self, here: Here<'a>) -> Option<Frame<'a>> {
        self.frame(here, Beyond::Asked(&self.rest))
    }
}

pub(super) fn done<A>(answer: A) -> Step<A> {
    Step::Done { answer, wait: None }
}
