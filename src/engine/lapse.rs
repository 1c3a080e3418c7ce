//! A reservation that nobody settles in time: it costs `lapse` of its full charge, at least what `progress` charged.

use super::commit::{chained, ended, pinned};
use super::frame::Frame;
use crate::credit::path::debtor;
use crate::credit::settle::{self, Rest};
use crate::credit::{Change, Final, Reservation, RunEvent, State};
use crate::types::ReservationId;

/// The next reservation whose time is over at `frame.at`, and what its lapse does.
pub fn lapse(frame: &Frame<'_>) -> Option<RunEvent> {
    let (until, id) = frame.book.deadlines.first().copied()?;
    if until > frame.at {
        return None;
    }
    let run = frame.book.runs.get(&id)?;
    Some(lapsed(frame, id, run))
}

fn lapsed(frame: &Frame<'_>, id: ReservationId, run: &Reservation) -> RunEvent {
    let used = run.reported.clone().unwrap_or_else(|| run.run.quantities.clone());
    // The quantities were accepted when they came; a playbook that is gone charges nothing more.
    let (share, basic) = match pinned(frame, run.version, &run.run) {
        Ok((playbook, terms)) => {
            (terms.lapse_charge(&playbook.credit, &used).unwrap_or_default(), terms.basic)
        }
        Err(_) => (run.charged(), false),
    };
    let share = if run.free { run.charged() } else { chained(frame, id, run.chain.as_ref(), share) };
    let target = share.max(run.charged());
    let rest = Rest::Back(State::Lapsed);
    let path = frame.path(&run.run.subject);
    let limits = frame.limits(basic, &path, &run.run.subject);
    let settlement = settle::settle(frame.book, run, target, limits, rest);
    let ended = Final { state: State::Lapsed, ..ended(run, frame.at, &settlement, run.reported.clone()) };
    let mut event = RunEvent::new(id, frame.at, Change::Ended(Box::new(ended)));
    event.flows = settlement.flows;
    event.caps = settlement.caps;
    event.debt = settlement.debt;
    event.debt_pool = debtor(&path);
    event
}
