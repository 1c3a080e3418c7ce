//! Gives a reservation back unused: what `progress` charged stays charged, the rest returns.

use super::answer::RunAnswer;
use super::call::Release;
use super::commit::{Outcome, ended, finish};
use super::fault::Fault;
use super::frame::Frame;
use crate::credit::path::debtor;
use crate::credit::settle::{self, Rest};
use crate::credit::{Final, State};

pub fn release(frame: &Frame<'_>, call: &Release) -> Result<Outcome<RunAnswer>, Fault> {
    if let Some(run) = frame.book.runs.get(&call.id) {
        let rest = Rest::Back(State::Released);
        let path = frame.path(&run.run.subject);
        let limits = frame.limits(false, &path, &run.run.subject);
        let settlement = settle::settle(frame.book, run, run.charged(), limits, rest);
        let ended =
            Final { state: State::Released, ..ended(run, frame.at, &settlement, run.reported.clone()) };
        return Ok(finish(run.id, frame.at, ended, settlement, debtor(&path)));
    }
    match frame.book.finals.get(&call.id) {
        Some(ended) if ended.state == State::Released => {
            Ok(Outcome::Done(RunAnswer::of_final(call.id, ended), None))
        }
        Some(ended) => Err(Fault::ReservationSettled { state: ended.state, charged: ended.charged() }),
        None => Ok(Outcome::Elsewhere),
    }
}
