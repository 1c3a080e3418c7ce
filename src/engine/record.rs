//! Charges work that was done without a reservation: authorise and commit in one, never refused for lack of credits.
//!
//! It is two events: a reservation that takes what there is, and the commit that settles it; what was missing becomes
//! debt. This file checks, before the first event, everything that could stop the second.

use super::call::Record;
use super::commit::used;
use super::fault::Fault;
use super::frame::Frame;
use crate::playbook::action::Trigger;

/// Whether the commit of this record would be answered. Call it before anything happens.
pub fn check(frame: &Frame<'_>, call: &Record) -> Result<(), Fault> {
    let Some(action) = frame.playbooks.action(&frame.contract.playbook, &call.authorize.action)? else {
        return Ok(());
    };
    let terms = action.terms_for(&call.authorize.dimensions);
    if call.commit.verified && terms.trigger != Trigger::Outcome {
        return Err(Fault::WrongResultForTrigger(call.authorize.action.clone()));
    }
    let reserved = call.authorize.quantities.clone().unwrap_or_else(|| terms.default_quantities());
    let used = used(&call.commit, None, &reserved, terms);
    terms.charge(&frame.contract.playbook.credit, &used, call.commit.result, call.commit.completion)?;
    Ok(())
}
