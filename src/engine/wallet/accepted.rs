//! Calls about a run that another settles, while that one is out of reach: kept on disk, answered `ACCEPTED`, and passed on. Nothing
//! is accepted that its settler would refuse as too late.

use jiff::tz::TimeZone;

use super::run::Step;
use super::state::{Here, Log, Wallet};
use crate::credit::{Final, State};
use crate::engine::Fault;
use crate::engine::answer::RunAnswer;
use crate::engine::call::{Commit, Release};
use crate::engine::commit::{in_time, used};
use crate::engine::handle::Handle;
use crate::lease::event::PassedCall;
use crate::lease::{Passed, WalletEvent};
use crate::playbook::action::Trigger;
use crate::types::{Credits, ReservationId};

impl Wallet {
    pub(super) fn accept_commit(
        &mut self,
        call: &Commit,
        handle: &str,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<RunAnswer>, Fault> {
        let charged = charged(call, self.known(call.id, handle, here)?, here)?;
        let passed = PassedCall::Commit {
            result: call.result,
            quantities: call.quantities.clone(),
            completion: call.completion,
            verified: call.verified,
            request_id: call.request_id.clone(),
        };
        Ok(self.accept(call.id, handle, passed, charged, here, log))
    }

    pub(super) fn accept_release(
        &mut self,
        call: &Release,
        handle: &str,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Result<Step<RunAnswer>, Fault> {
        self.known(call.id, handle, here)?;
        Ok(self.accept(call.id, handle, PassedCall::Release, Credits::ZERO, here, log))
    }

    /// The run as its handle tells of it, if it still takes its caller's word.
    fn known(&self, id: ReservationId, handle: &str, here: Here<'_>) -> Result<Final, Fault> {
        let Ok(handle) = Handle::peek(handle) else { return Err(Fault::ReservationUnknown(id)) };
        let known = handle.as_final(here.at);
        match &self.contract {
            Some(contract) => in_time(&known, here.at, &contract.zone)?,
            None => in_time(&known, here.at, &TimeZone::UTC)?,
        }
        Ok(known)
    }

    fn accept(
        &mut self,
        id: ReservationId,
        handle: &str,
        commit: PassedCall,
        charged: Credits,
        here: Here<'_>,
        log: &mut dyn Log,
    ) -> Step<RunAnswer> {
        let passed = Passed { handle: handle.to_owned(), commit, at: here.at };
        let number = self.emit(WalletEvent::PassedOn(Box::new(passed)), true, here, log);
        let answer = RunAnswer {
            id,
            state: State::Accepted,
            held: Credits::ZERO,
            charged,
            paid_by: Vec::new(),
            debt: Credits::ZERO,
            expires_at: None,
            provisional: true,
            would_be: None,
        };
        Step::Done { answer, wait: Some(number) }
    }
}

/// What this sidecar makes of a commit that another settles: from the handle, without the chain that it may be in.
fn charged(call: &Commit, known: Final, here: Here<'_>) -> Result<Credits, Fault> {
    let Some((playbook, terms)) =
        here.playbooks.terms(known.version, &known.run.action, &known.run.dimensions)
    else {
        return Ok(Credits::ZERO);
    };
    if call.verified && terms.trigger != Trigger::Outcome {
        return Err(Fault::WrongResultForTrigger(known.run.action));
    }
    let used = used(call, None, &known.run.quantities, terms);
    Ok(terms.charge(&playbook.credit, &used, call.result, call.completion)?)
}
