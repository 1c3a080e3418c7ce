//! What was answered, counted, and how long it took.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use super::calls::{Answered, Ended};
use crate::cli::failure::Failure;
use crate::grpc::call_error::CallError;
use crate::grpc::proto::v1;
use crate::runtime::Boottime;

/// The longest latency that is told apart from longer ones, in microseconds: an hour. Its digits fix a histogram's size.
const LATENCY_MAX: u64 = 3_600_000_000;
const LATENCY_DIGITS: u8 = 3;

/// Counts by what they count.
pub type Counts<K> = BTreeMap<K, u64>;

/// A decision, its reason, and who decided: names of the protos.
pub type Decision = (&'static str, &'static str, &'static str);

/// A call, its status and the error's reason.
pub type CallFault = (&'static str, &'static str, String);

#[derive(Debug)]
pub struct Tally {
    /// Runs that began after the warm-up and ended: by all their answers, or by an error.
    pub answered: u64,
    pub failed: u64,
    /// Microseconds: of an `Authorize`, of a `Commit`, of both together.
    pub authorize: Histogram<u64>,
    pub commit: Histogram<u64>,
    pub run: Histogram<u64>,
    /// How late the runs were sent.
    pub late: Histogram<u64>,
    pub decisions: Counts<Decision>,
    pub states: Counts<&'static str>,
    pub errors: Counts<CallFault>,
}

impl Tally {
    pub fn new() -> Result<Self, Failure> {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_MAX, LATENCY_DIGITS)
                .map_err(|error| Failure::new(format!("cannot make a histogram: {error}")))
        };
        Ok(Self {
            answered: 0,
            failed: 0,
            authorize: histogram()?,
            commit: histogram()?,
            run: histogram()?,
            late: histogram()?,
            decisions: Counts::new(),
            states: Counts::new(),
            errors: Counts::new(),
        })
    }

    /// Counts a run, unless it belongs to the warm-up.
    pub fn add(&mut self, ended: &Ended) {
        let Ended { start, sent, authorize, commit, .. } = ended;
        if !start.counts {
            return;
        }
        record(&mut self.late, start.due, *sent);
        let failed = authorize.is_err() || commit.as_ref().is_some_and(Result::is_err);
        *if failed { &mut self.failed } else { &mut self.answered } += 1;
        match authorize {
            Ok(Answered { at, answer }) => {
                record(&mut self.authorize, start.due, *at);
                count(&mut self.decisions, decision(answer));
                if let Some(commit) = commit {
                    self.add_commit(start.due, *at, commit);
                }
            }
            Err(error) => count(&mut self.errors, fault("Authorize", error)),
        }
    }

    fn add_commit(
        &mut self,
        due: Boottime,
        sent: Boottime,
        commit: &Result<Answered<v1::CommitResponse>, CallError>,
    ) {
        match commit {
            Ok(Answered { at, answer }) => {
                record(&mut self.commit, sent, *at);
                record(&mut self.run, due, *at);
                count(&mut self.states, answer.state().as_str_name());
            }
            Err(error) => count(&mut self.errors, fault("Commit", error)),
        }
    }
}

fn record(histogram: &mut Histogram<u64>, from: Boottime, to: Boottime) {
    // An answer that took longer than the longest counts as that.
    histogram.saturating_record(u64::try_from(to.since(from).as_micros()).unwrap_or(LATENCY_MAX));
}

fn count<K: Ord>(counts: &mut Counts<K>, what: K) {
    *counts.entry(what).or_default() += 1;
}

fn decision(answer: &v1::AuthorizeResponse) -> Decision {
    (answer.decision().as_str_name(), answer.reason().as_str_name(), answer.decided_by().as_str_name())
}

fn fault(call: &'static str, error: &CallError) -> CallFault {
    (call, error.code, error.reason.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::calls::tests::{answer, ended, error};

    fn allowed() -> v1::AuthorizeResponse {
        answer(v1::Decision::Allowed, v1::Reason::Unspecified)
    }

    fn settled() -> v1::CommitResponse {
        v1::CommitResponse { state: v1::State::Settled.into(), ..v1::CommitResponse::default() }
    }

    #[test]
    fn every_run_is_counted_once_and_timed_by_its_answers() {
        let mut tally = Tally::new().unwrap();
        tally.add(&ended(0, Ok(allowed()), Some(Ok(settled()))));
        tally.add(&ended(1, Ok(allowed()), Some(Err(error("UNAVAILABLE", "JOURNAL_FULL")))));
        tally.add(&ended(2, Ok(answer(v1::Decision::Denied, v1::Reason::CapReached)), None));
        tally.add(&ended(3, Err(error("UNAVAILABLE", "OVERLOADED")), None));
        assert_eq!((tally.answered, tally.failed), (2, 2));
        let decided = [
            (("DECISION_ALLOWED", "REASON_UNSPECIFIED", "DECIDED_BY_SIDECAR"), 2),
            (("DECISION_DENIED", "REASON_CAP_REACHED", "DECIDED_BY_SIDECAR"), 1),
        ];
        assert_eq!(tally.decisions, Counts::from(decided));
        assert_eq!(tally.states, Counts::from([("STATE_SETTLED", 1)]));
        assert_eq!(tally.errors[&("Commit", "UNAVAILABLE", "JOURNAL_FULL".to_owned())], 1);
        assert_eq!(tally.errors[&("Authorize", "UNAVAILABLE", "OVERLOADED".to_owned())], 1);
        let times =
            [&tally.late, &tally.authorize, &tally.commit, &tally.run].map(|all| (all.len(), all.max()));
        assert_eq!(times, [(4, 1), (3, 10), (1, 20), (1, 30)]);
    }

    #[test]
    fn the_warm_up_is_not_counted() {
        let mut tally = Tally::new().unwrap();
        let mut early = ended(0, Ok(allowed()), Some(Ok(settled())));
        early.start.counts = false;
        tally.add(&early);
        assert_eq!((tally.answered, tally.authorize.len(), tally.decisions.len()), (0, 0, 0));
    }

    #[test]
    fn a_latency_past_the_longest_counts_as_that() {
        let mut tally = Tally::new().unwrap();
        let mut late = ended(0, Ok(allowed()), None);
        late.sent = Boottime::from_micros(i64::MAX);
        tally.add(&late);
        assert!(tally.late.max() >= LATENCY_MAX);
    }
}
