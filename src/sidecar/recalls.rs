//! Recalls that the ledger has not been told the outcome of. One counts as answered only by a report that holds what it
//! gave back, or that comes after such a report: the ledger would otherwise believe that nothing was idle.

use std::collections::VecDeque;

use parking_lot::Mutex;

use crate::types::AccountId;

/// What the ledger asked of an account, and what was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarriedOut {
    pub account: AccountId,
    /// The recall's number; 0 where what came was no recall: terms that changed.
    pub number: u64,
    /// The newest record that was to be reported then: what was given back is in it or in one before it.
    pub record: u64,
}

/// Recalls that wait for a report: while reports fail, the ledger may go on asking for a while.
const WAITING_MAX: usize = 10_000;

#[derive(Debug, Default)]
pub struct Recalls(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In the order in which they were carried out; their records do not fall.
    waiting: VecDeque<CarriedOut>,
    /// The newest that a report has answered.
    answered: u64,
}

impl Recalls {
    pub fn add(&self, done: CarriedOut) {
        let mut state = self.0.lock();
        if state.waiting.len() >= WAITING_MAX {
            // A report that answers a later one says as much of it: records do not fall.
            state.waiting.pop_front();
        }
        state.waiting.push_back(done);
    }

    /// The record that must be durable before a report can answer all that wait.
    pub fn needed(&self) -> u64 {
        self.0.lock().waiting.back().map_or(0, |newest| newest.record)
    }

    /// Those that a report of everything through this record answers, the first `most` of them, and the newest recall that
    /// it may claim.
    pub fn answered_by(&self, through: u64, most: usize) -> (Vec<CarriedOut>, u64) {
        let mut state = self.0.lock();
        let mut done = Vec::new();
        while done.len() < most
            && let Some(first) = state.waiting.pop_front_if(|first| first.record <= through)
        {
            done.push(first);
        }
        let newest = done.iter().map(|done| done.number).max().unwrap_or_default();
        (done, newest.max(state.answered))
    }

    /// The report arrived.
    pub fn arrived(&self, claimed: u64) {
        let mut state = self.0.lock();
        state.answered = state.answered.max(claimed);
    }

    /// It did not: they are answered by the next.
    pub fn again(&self, done: Vec<CarriedOut>) {
        let mut state = self.0.lock();
        done.into_iter().rev().for_each(|done| state.waiting.push_front(done));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(number: u64, record: u64) -> CarriedOut {
        CarriedOut { account: AccountId::parse("acme").unwrap(), number, record }
    }

    #[test]
    fn a_report_claims_what_it_holds_and_nothing_later() {
        let recalls = Recalls::default();
        assert_eq!((recalls.needed(), recalls.answered_by(9, 9)), (0, (Vec::new(), 0)));
        for (number, record) in [(1, 5), (2, 7), (0, 7), (3, 12)] {
            recalls.add(done(number, record));
        }
        assert_eq!(recalls.needed(), 12);
        let (first, claimed) = recalls.answered_by(7, 9);
        assert_eq!((first.len(), claimed), (3, 2));
        // The report got lost: nothing is claimed by another before what it held comes again.
        recalls.again(first.clone());
        assert_eq!(recalls.answered_by(4, 9), (Vec::new(), 0));
        assert_eq!(recalls.answered_by(7, 9), (first, 2));
        recalls.arrived(2);
        assert_eq!(recalls.answered_by(11, 9), (Vec::new(), 2));
        assert_eq!(recalls.answered_by(12, 9), (vec![done(3, 12)], 3));
    }

    #[test]
    fn what_one_report_cannot_answer_the_next_does() {
        let recalls = Recalls::default();
        (1..=5).for_each(|number| recalls.add(done(number, 1)));
        assert_eq!(recalls.answered_by(1, 2), (vec![done(1, 1), done(2, 1)], 2));
        recalls.arrived(2);
        let (rest, claimed) = recalls.answered_by(1, 9);
        assert_eq!((rest.len(), claimed), (3, 5));
    }
}
