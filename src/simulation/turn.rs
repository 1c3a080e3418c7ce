//! One look of a call at its wallet, as `sidecar/runs.rs` has it: answered there, or the ledger is asked.

use super::disk::Disk;
use super::node::Slot;
use crate::credit::State;
use crate::engine::Fault;
use crate::engine::account::RunAsk;
use crate::engine::answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
use crate::engine::call::{Authorize, Commit, Progress, Record, Release};
use crate::engine::handle::Handle;
use crate::engine::wallet::{Here, Link, Step};
use crate::lease::Ask;
use crate::types::{Planted, ReservationId, SidecarId};

/// What a caller asks, or a sidecar for itself.
#[derive(Clone, Debug)]
pub enum Wish {
    Authorize(Authorize),
    Progress(Progress, Box<Handle>),
    Commit(Commit, Box<Handle>),
    Release(Release, Box<Handle>),
    Record(Record),
    /// More time for a lease.
    Renew,
}

/// What a caller is answered.
#[derive(Clone, Debug)]
pub enum Reply {
    Authorize(Box<AuthorizeAnswer>, Option<Box<Handle>>),
    Progress(Box<ProgressAnswer>),
    Run(Box<RunAnswer>),
    Fault(#[expect(dead_code, reason = "told by traces")] Fault),
    /// Neither the ledger nor this sidecar can answer now.
    NotReady,
}

pub enum Turn {
    /// Answer it, once record `wait` is on disk.
    Done {
        reply: Box<Reply>,
        wait: u64,
    },
    Lease(Box<Ask>),
    Decide(Box<RunAsk>),
}

impl Wish {
    pub fn id(&self) -> Option<ReservationId> {
        match self {
            Self::Authorize(call) => Some(call.id),
            Self::Progress(call, _) => Some(call.id),
            Self::Commit(call, _) => Some(call.id),
            Self::Release(call, _) => Some(call.id),
            Self::Record(call) => Some(call.authorize.id),
            Self::Renew => None,
        }
    }

    /// As the ledger is asked it.
    pub fn passed(&self) -> Option<RunAsk> {
        Some(match self {
            Self::Authorize(call) => RunAsk::Authorize(Box::new(call.clone())),
            Self::Progress(call, handle) => RunAsk::Progress(Box::new(call.clone()), Some(handle.clone())),
            Self::Commit(call, handle) => RunAsk::Commit(Box::new(call.clone()), Some(handle.clone())),
            Self::Release(call, handle) => RunAsk::Release(call.clone(), Some(handle.clone())),
            Self::Record(call) => RunAsk::Record(Box::new(call.clone())),
            Self::Renew => return None,
        })
    }

    /// Of what is asked about a run.
    fn handle(&self) -> Option<&Handle> {
        match self {
            Self::Progress(_, handle) | Self::Commit(_, handle) | Self::Release(_, handle) => Some(handle),
            Self::Authorize(_) | Self::Record(_) | Self::Renew => None,
        }
    }

    /// Whether the ledger may need credits or room for its decision.
    pub fn may_draw(&self) -> bool {
        !matches!(self, Self::Release(..) | Self::Renew)
    }

    /// A handle can't be checked before the account's key is known here.
    fn needs_key(&self) -> bool {
        matches!(self, Self::Progress(..) | Self::Commit(..) | Self::Release(..))
    }
}

fn done(reply: Reply, wait: Option<u64>, slot: &Slot) -> Turn {
    // The mark of the newest lease must be on disk before anything of it is answered.
    Turn::Done { reply: Box::new(reply), wait: wait.unwrap_or(0).max(slot.barrier) }
}

/// Looks once, with what has come of asking so far.
pub fn look(
    wish: &Wish,
    slot: &mut Slot,
    here: Here<'_>,
    disk: &mut Disk,
    link: Link,
    own: SidecarId,
) -> Result<Turn, Reply> {
    let known = slot.wallet.terms.is_some();
    if wish.needs_key() && !known || matches!(wish, Wish::Record(_)) && slot.wallet.contract.is_none() {
        return match link {
            Link::Untried => Ok(Turn::Lease(Box::default())),
            Link::Asked => Err(Reply::Fault(Fault::AccountUnknown)),
            Link::Unreachable => Err(Reply::NotReady),
        };
    }
    let elsewhere = wish.id().is_some_and(|id| slot.elsewhere.contains_key(&id));
    if elsewhere && matches!(wish, Wish::Authorize(_) | Wish::Record(_)) {
        return if link == Link::Untried { decide(wish) } else { Err(Reply::NotReady) };
    }
    // A run on its way to the account itself: the ledger may have settled it already.
    let handing = wish.handle().is_some_and(|handle| slot.wallet.is_handing(handle.id));
    if handing && link == Link::Untried {
        return decide(wish);
    }
    match wish {
        Wish::Authorize(call) => {
            let step = slot.wallet.authorize(call, false, link, here, disk).map_err(Reply::Fault)?;
            match step {
                Step::Done { answer, wait } => {
                    let handle = answer.reservation.and_then(|id| handle_of(slot, id, own)).map(Box::new);
                    Ok(done(Reply::Authorize(Box::new(answer), handle), wait, slot))
                }
                Step::Lease(ask) => Ok(Turn::Lease(ask)),
                Step::Decide => decide(wish),
            }
        }
        Wish::Progress(call, handle) => {
            let known = (&**handle, elsewhere || handle.settler != own);
            match slot.wallet.progress(call, known, link, here, disk).map_err(Reply::Fault)? {
                Step::Done { answer, wait } => Ok(done(Reply::Progress(Box::new(answer)), wait, slot)),
                Step::Lease(ask) => Ok(Turn::Lease(ask)),
                Step::Decide => decide(wish),
            }
        }
        _ => look_at_end(wish, slot, here, disk, link, own),
    }
}

/// The same, for what ends a run.
fn look_at_end(
    wish: &Wish,
    slot: &mut Slot,
    here: Here<'_>,
    disk: &mut Disk,
    link: Link,
    own: SidecarId,
) -> Result<Turn, Reply> {
    match wish {
        Wish::Commit(call, handle) => {
            let text = sealed(slot, handle);
            // A second hold under one id: the other's word may come first.
            let other = (handle.settler != own).then_some(handle.settler);
            let call = &Commit { provisional: other, ..call.clone() };
            let step = slot.wallet.commit(call, &text, link, here, disk).map_err(Reply::Fault)?;
            let local = matches!(step, Step::Decide) && Planted::UnknownHandleCharged.is_here();
            if local {
                let step = slot.wallet.commit(call, &text, Link::Unreachable, here, disk);
                return run(wish, step.map(charged_here), slot);
            }
            run(wish, Ok(step), slot)
        }
        Wish::Release(call, handle) => {
            let text = sealed(slot, handle);
            let step = slot.wallet.release(call, &text, link, here, disk);
            run(wish, step, slot)
        }
        Wish::Record(call) => {
            let text = first_handle(slot, &call.authorize, here, own);
            let step = slot.wallet.record(call, &text, link, here, disk);
            run(wish, step, slot)
        }
        Wish::Authorize(_) | Wish::Progress(..) | Wish::Renew => Err(Reply::NotReady),
    }
}

fn run(wish: &Wish, step: Result<Step<RunAnswer>, Fault>, slot: &Slot) -> Result<Turn, Reply> {
    match step.map_err(Reply::Fault)? {
        Step::Done { answer, wait } => Ok(done(Reply::Run(Box::new(answer)), wait, slot)),
        Step::Lease(ask) => Ok(Turn::Lease(ask)),
        Step::Decide => decide(wish),
    }
}

fn decide(wish: &Wish) -> Result<Turn, Reply> {
    wish.passed().map(|ask| Turn::Decide(Box::new(ask))).ok_or(Reply::NotReady)
}

/// The planted bug: what was only accepted is told as settled.
fn charged_here(step: Step<RunAnswer>) -> Step<RunAnswer> {
    match step {
        Step::Done { answer, wait } if answer.state == State::Accepted => {
            Step::Done { answer: RunAnswer { state: State::Settled, provisional: false, ..answer }, wait }
        }
        other => other,
    }
}

fn sealed(slot: &Slot, handle: &Handle) -> String {
    slot.wallet.terms.as_ref().map(|terms| handle.clone().seal(&terms.key)).unwrap_or_default()
}

fn handle_of(slot: &Slot, id: ReservationId, own: SidecarId) -> Option<Handle> {
    let wallet = &slot.wallet;
    let key = wallet.terms.as_ref()?.key.id;
    if let Some(run) = wallet.book.runs.get(&id) {
        return Some(Handle::of(run, &wallet.account, own, key));
    }
    let ended = wallet.book.finals.get(&id)?;
    let times = (ended.authorized_at, ended.expires_at);
    Some(Handle::new(id, &ended.run, ended.version, times, &wallet.account, own, key))
}

/// The handle of a run that the ledger settles, from what was asked.
pub fn handle_asked(
    slot: &Slot,
    call: &Authorize,
    version: u32,
    times: (crate::types::Timestamp, crate::types::Timestamp),
    own: SidecarId,
) -> Option<Handle> {
    let key = slot.wallet.terms.as_ref()?.key.id;
    let run = crate::credit::Run {
        action: call.action.clone(),
        subject: call.subject.clone(),
        quantities: call.quantities.clone()?,
        dimensions: call.dimensions.clone(),
        run_id: call.run_id.clone(),
        parent: call.parent,
        retry_of: call.retry_of,
    };
    Some(Handle::new(call.id, &run, version, times, &slot.wallet.account, own, key))
}

/// The handle under which a record goes to the ledger if it must be passed on.
fn first_handle(slot: &Slot, call: &Authorize, here: Here<'_>, own: SidecarId) -> String {
    let version = slot.wallet.contract.as_ref().map_or(0, |contract| contract.playbook.version);
    let handle = handle_asked(slot, call, version, (here.at, here.at), own);
    handle.map(|handle| sealed(slot, &handle)).unwrap_or_default()
}
