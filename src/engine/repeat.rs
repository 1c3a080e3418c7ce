//! A repeated authorise gets the first answer; the same id with another request is a fault.

use super::answer::{AuthorizeAnswer, paid_by};
use super::call::Authorize;
use super::fault::Fault;
use super::frame::Frame;
use super::outlook::{blank, remaining};
use crate::credit::hold;
use crate::credit::{Reservation, Run, State};
use crate::playbook::action::{Terms, Trigger};

/// A repeated authorise gets the first answer; an ended one is a fault that says how it ended.
pub(super) fn repeated(frame: &Frame<'_>, call: &Authorize) -> Result<Option<AuthorizeAnswer>, Fault> {
    let same = |run: &Run, version: u32| -> Result<(), Fault> {
        let given = |terms: &Terms| call.quantities.clone().unwrap_or_else(|| terms.default_quantities());
        let terms = frame.playbooks.terms(version, &call.action, &call.dimensions);
        let field = if run.action != call.action {
            "action"
        } else if run.subject != call.subject {
            "subject"
        } else if run.dimensions != call.dimensions {
            "dimensions"
        } else if terms.is_none_or(|(_, terms)| given(terms) != run.quantities) {
            "quantities"
        } else if run.parent != call.parent {
            "parent"
        } else if run.retry_of != call.retry_of {
            "retry_of"
        } else if call.run_id.is_some() && run.run_id != call.run_id {
            "run_id"
        } else {
            return Ok(());
        };
        Err(Fault::RequestIdReused { field })
    };
    if let Some(run) = frame.book.runs.get(&call.id) {
        same(&run.run, run.version)?;
        return Ok(Some(first_answer(frame, run)));
    }
    if let Some(ended) = frame.book.finals.get(&call.id) {
        same(&ended.run, ended.version)?;
        let terms = frame.playbooks.terms(ended.version, &ended.run.action, &ended.run.dimensions);
        let is_event = terms.is_some_and(|(_, terms)| terms.trigger == Trigger::Event);
        if is_event && ended.asked.is_none() && ended.state == State::Settled {
            return Ok(Some(AuthorizeAnswer {
                decision: ended.decision,
                reservation: Some(call.id),
                charged: ended.charged(),
                paid_by: paid_by(&ended.spent),
                version: ended.version,
                ..blank(frame)
            }));
        }
        return Err(Fault::ReservationSettled { state: ended.state, charged: ended.charged() });
    }
    Ok(None)
}

fn first_answer(frame: &Frame<'_>, run: &Reservation) -> AuthorizeAnswer {
    AuthorizeAnswer {
        decision: run.decision,
        reservation: Some(run.id),
        held: hold::total(run.first_held()),
        paid_by: paid_by(run.first_held()),
        expires_at: Some(run.expires_at),
        version: run.version,
        remaining: remaining(frame, &frame.path(&run.run.subject)),
        ..blank(frame)
    }
}
