//! What a run costs and whose budget it counts in: computed once, before anything is decided.

use super::call::Authorize;
use super::fault::Fault;
use super::frame::Frame;
use crate::credit::path::Path;
use crate::credit::settle::DEPTH_MAX;
use crate::credit::{Reservation, Run, retry};
use crate::playbook::action::Terms;
use crate::types::{Credits, ReservationId};

/// How a run is priced and what it needs: computed once, before anything is decided.
pub struct Quote<'a> {
    pub run: Run,
    pub terms: &'a Terms,
    pub parent: Option<&'a Reservation>,
    pub chain: Option<retry::ChainLink>,
    pub amount: Credits,
    pub budget: ReservationId,
    /// The pools that it draws on.
    pub path: Path,
}

pub fn quote<'a>(frame: &Frame<'a>, call: &Authorize, terms: &'a Terms) -> Result<Quote<'a>, Fault> {
    let quantities = call.quantities.clone().unwrap_or_else(|| terms.default_quantities());
    let success = terms.success(&frame.contract.playbook.credit, &quantities)?;
    if call.ttl.is_some_and(|ttl| ttl <= 0) {
        return Err(Fault::InvalidTtl);
    }
    let parent = match call.parent {
        None => None,
        Some(id) => Some(&**frame.book.runs.get(&id).ok_or(Fault::ReservationUnknown(id))?),
    };
    if frame.book.ancestors(call.parent).len() > DEPTH_MAX {
        return Err(Fault::TooDeep);
    }
    let run = Run {
        action: call.action.clone(),
        subject: call.subject.clone(),
        quantities,
        dimensions: call.dimensions.clone(),
        run_id: call.run_id.clone().or_else(|| parent.and_then(|p| p.run.run_id.clone())),
        parent: call.parent,
        retry_of: call.retry_of,
    };
    let chain = call.retry_of.and_then(|id| {
        let ended = frame.book.finals.get(&id)?;
        let rule = terms.retries.as_ref();
        retry::link(frame.book, rule, &run, (id, ended), frame.at, &frame.contract.zone)
    });
    let amount = retry::reduced(frame.book, call.id, chain.as_ref(), success);
    // An ordinary run pays in full, whatever an earlier chain paid.
    let amount = if chain.is_some() { amount } else { success };
    let retried = call.retry_of.and_then(|id| {
        let open = frame.book.runs.get(&id).map(|run| run.budget);
        open.or_else(|| frame.book.finals.get(&id).map(|ended| ended.budget))
    });
    let budget = parent.map(|parent| parent.budget).or(retried).unwrap_or(call.id);
    let path = frame.path(&run.subject);
    Ok(Quote { run, terms, parent, chain, amount, budget, path })
}
