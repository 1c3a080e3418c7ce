//! Runs that the account itself settles: promoted ones, unknown handles, and those that name a run settled here.

use std::collections::BTreeMap;

use minicbor::{Decode, Encode};

use super::balance::Standing;
use super::entry::Booked;
use super::work::Work;
use crate::credit::{Final, PoolId, State};
use crate::engine::answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
use crate::engine::authorize::{Verdict, authorize, wanting};
use crate::engine::call::{Authorize, Commit, Progress, Record, Release};
use crate::engine::commit::{Outcome, commit, in_time, late, said};
use crate::engine::fault::Fault;
use crate::engine::handle::Handle;
use crate::engine::progress::progress;
use crate::engine::record;
use crate::engine::release::release;
use crate::lease::LeaseTotals;
use crate::types::{ReservationId, SidecarId, Timestamp};

/// A call that a sidecar passes on; with its handle, where one was given.
#[derive(Clone, Debug, Encode, Decode)]
pub enum RunAsk {
    #[n(0)]
    Authorize(#[n(0)] Box<Authorize>),
    #[n(1)]
    Progress(#[n(0)] Box<Progress>, #[n(1)] Option<Box<Handle>>),
    #[n(2)]
    Commit(#[n(0)] Box<Commit>, #[n(1)] Option<Box<Handle>>),
    #[n(3)]
    Release(#[n(0)] Release, #[n(1)] Option<Box<Handle>>),
    #[n(4)]
    Record(#[n(0)] Box<Record>),
    #[n(5)]
    State(#[n(0)] ReservationId, #[n(1)] Option<Box<Handle>>),
    /// The balance of the account or of one of its pools; with what runs hold of the asker's lease.
    #[n(6)]
    Balance(#[n(0)] Box<LeaseTotals>, #[n(1)] Option<PoolId>),
}

/// What the account answers.
#[derive(Clone, Debug, Encode, Decode)]
pub enum RunReply {
    #[n(0)]
    Authorize(#[n(0)] Box<AuthorizeAnswer>),
    #[n(1)]
    Progress(#[n(0)] Box<ProgressAnswer>),
    #[n(2)]
    Run(#[n(0)] Box<RunAnswer>),
    #[n(3)]
    Balance(#[n(0)] Box<Standing>),
}

impl Work<'_> {
    /// Decides a call that sidecar `asking` passes on.
    pub fn decide(&mut self, ask: &RunAsk, asking: SidecarId) -> Result<RunReply, Fault> {
        self.note_unreserved();
        let run = |answer| RunReply::Run(Box::new(answer));
        match ask {
            RunAsk::Authorize(call) => self.authorize(call, false).map(|a| RunReply::Authorize(Box::new(a))),
            RunAsk::Progress(call, _) => self.progress(call).map(|a| RunReply::Progress(Box::new(a))),
            RunAsk::Commit(call, handle) => self.commit(call, handle.as_deref(), asking).map(run),
            RunAsk::Release(call, handle) => self.release(call, handle.as_deref(), asking).map(run),
            RunAsk::Record(call) => self.record(call, asking).map(run),
            RunAsk::State(id, handle) => self.state(*id, handle.as_deref()).map(run),
            RunAsk::Balance(totals, pool) => {
                self.hear_totals(asking, (**totals).clone());
                Ok(RunReply::Balance(Box::new(self.standing(pool.clone()))))
            }
        }
    }

    fn standing(&self, pool: Option<PoolId>) -> Standing {
        let (account, at) = (&self.account, self.at);
        let balance = account.balance_of(pool.as_ref(), at, &BTreeMap::new());
        Standing { balance, caps: account.caps(at), at, pool }
    }

    fn authorize(&mut self, call: &Authorize, force: bool) -> Result<AuthorizeAnswer, Fault> {
        self.note_unreserved();
        self.first_seen(&call.subject);
        if !call.validate_only
            && let Some(wanting) = self.frame().and_then(|frame| wanting(&frame, call))
        {
            self.buy_to_fit(wanting.amount, wanting.basic, &call.subject);
        }
        let frame = self.frame().ok_or_else(unsubscribed)?;
        match authorize(&frame, call, force)? {
            Verdict::Answer(mut answer, event) => {
                answer.out_of_reach = answer.reason.and_then(|_| self.out_of_reach(SidecarId::default()));
                if let Some(event) = event {
                    self.emit_run(Box::new(event));
                }
                Ok(answer)
            }
            Verdict::Short(_) => Err(Fault::Broken("the account asked beyond itself".to_owned())),
        }
    }

    pub(super) fn commit(
        &mut self,
        call: &Commit,
        handle: Option<&Handle>,
        asking: SidecarId,
    ) -> Result<RunAnswer, Fault> {
        self.buy_for_overrun(call);
        let frame = self.frame().ok_or_else(unsubscribed)?;
        let outcome = commit(&frame, call)?;
        self.concluded(outcome, call.id, |work| work.commit_unknown(call, handle, asking))
    }

    /// A run of which nothing is left but its handle: authorised before an unclean stop, or by a sidecar now lost. What
    /// that stop sealed pays first.
    fn commit_unknown(
        &mut self,
        call: &Commit,
        handle: Option<&Handle>,
        asking: SidecarId,
    ) -> Result<RunAnswer, Fault> {
        let handle = handle.ok_or(Fault::ReservationUnknown(call.id))?;
        // A sidecar that does not know its own reservation has lost sight of it for good.
        let provisional = (handle.settler != asking).then_some(handle.settler);
        let known = Final { provisional, ..self.known(handle) };
        self.takes_word(&known, call.accepted_at)?;
        let frame = self.frame().ok_or_else(unsubscribed)?;
        let Outcome::Done(estimate, counted) = late(&frame, call, &known)? else {
            return Err(Fault::ReservationUnknown(call.id));
        };
        let counted = counted.map(|event| event.caps).unwrap_or_default();
        self.unseal_for(handle.settler, estimate.charged, &counted);
        let frame = self.frame().ok_or_else(unsubscribed)?;
        match late(&frame, call, &known)? {
            Outcome::Done(answer, event) => {
                if let Some(event) = event {
                    self.emit_run(event);
                }
                Ok(answer)
            }
            _ => Err(Fault::ReservationUnknown(call.id)),
        }
    }

    pub(super) fn release(
        &mut self,
        call: &Release,
        handle: Option<&Handle>,
        asking: SidecarId,
    ) -> Result<RunAnswer, Fault> {
        let frame = self.frame().ok_or_else(unsubscribed)?;
        let outcome = release(&frame, call)?;
        self.concluded(outcome, call.id, |work| {
            let handle = handle.ok_or(Fault::ReservationUnknown(call.id))?;
            let mut ended = work.known(handle);
            work.takes_word(&ended, call.accepted_at)?;
            ended.state = State::Released;
            ended.provisional = (handle.settler != asking).then_some(handle.settler);
            let answer = RunAnswer::of_final(call.id, &ended);
            let change = crate::credit::Change::Ended(Box::new(ended));
            work.emit_run(Box::new(crate::credit::RunEvent::new(call.id, work.at, change)));
            Ok(answer)
        })
    }

    /// Whether a run of which only its handle is left takes its caller's word: what is older may have been charged, and forgotten
    /// since.
    fn takes_word(&self, known: &Final, accepted_at: Option<Timestamp>) -> Result<(), Fault> {
        let contract = self.account.contract.as_ref().ok_or_else(unsubscribed)?;
        let remembered = self.account.kept(known.expires_at.max(known.ended_at)) > self.at;
        let said = if remembered { said(accepted_at, self.at) } else { self.at };
        in_time(known, said, &contract.zone)
    }

    fn progress(&mut self, call: &Progress) -> Result<ProgressAnswer, Fault> {
        self.buy_for_progress(call);
        let frame = self.frame().ok_or_else(unsubscribed)?;
        match progress(&frame, call)? {
            Outcome::Done(answer, event) => {
                if let Some(event) = event {
                    self.emit_run(event);
                }
                Ok(answer)
            }
            Outcome::Short(_) | Outcome::Elsewhere => Err(Fault::ReservationUnknown(call.id)),
        }
    }

    fn record(&mut self, call: &Record, asking: SidecarId) -> Result<RunAnswer, Fault> {
        let frame = self.frame().ok_or_else(unsubscribed)?;
        let known = frame.book.finals.contains_key(&call.authorize.id);
        if !known {
            record::check(&frame, call)?;
            let answer = self.authorize(&call.authorize, true)?;
            let would_be = answer.would_be.or(Some((answer.decision, answer.reason)));
            return self.commit(&call.commit, None, asking).map(|answer| RunAnswer { would_be, ..answer });
        }
        self.commit(&call.commit, None, asking)
    }

    fn state(&self, id: ReservationId, handle: Option<&Handle>) -> Result<RunAnswer, Fault> {
        if let Some(run) = self.account.book.runs.get(&id) {
            return Ok(RunAnswer::of_open(run));
        }
        if let Some(ended) = self.account.book.finals.get(&id) {
            return Ok(RunAnswer::of_final(id, ended));
        }
        // Nothing but the handle is left: it may still be committed, and nobody holds anything for it.
        let handle = handle.ok_or(Fault::ReservationUnknown(id))?;
        let mut answer = RunAnswer::of_final(id, &self.known(handle));
        if handle.expires_at > self.at {
            answer.state = State::Held;
            answer.expires_at = Some(handle.expires_at);
        }
        Ok(answer)
    }

    /// What is known of a run of which only its handle is left, and what its sidecar had reported of it.
    pub(super) fn known(&self, handle: &Handle) -> Final {
        let booked = self.account.booked.get(&(handle.settler, handle.id)).cloned();
        let Booked { spent, debt } = booked.unwrap_or_default();
        Final { spent, debt, ..handle.as_final(self.at) }
    }

    fn concluded(
        &mut self,
        outcome: Outcome<RunAnswer>,
        id: ReservationId,
        unknown: impl FnOnce(&mut Self) -> Result<RunAnswer, Fault>,
    ) -> Result<RunAnswer, Fault> {
        match outcome {
            Outcome::Done(answer, event) => {
                if let Some(event) = event {
                    self.emit_run(event);
                }
                Ok(answer)
            }
            Outcome::Elsewhere => unknown(self),
            Outcome::Short(_) => Err(Fault::ReservationUnknown(id)),
        }
    }

    /// A handle that the account's key made.
    pub fn open_handle(&self, text: &str) -> Option<Handle> {
        let handle = Handle::open(text, &self.account.key).ok()?;
        (handle.account == self.account.id).then_some(handle)
    }
}

fn unsubscribed() -> Fault {
    Fault::AccountUnknown
}
