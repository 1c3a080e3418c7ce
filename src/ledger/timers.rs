//! When time next does something to which account: what is due is found without looking at the others.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::types::{AccountId, Timestamp};

#[derive(Debug, Default)]
pub struct Timers {
    due: Mutex<BTreeSet<(Timestamp, AccountId)>>,
    /// Rung when something is due earlier than all before.
    pub earlier: Notify,
}

impl Timers {
    /// Moves an account's timer.
    pub fn set(&self, account: &AccountId, before: Option<Timestamp>, after: Option<Timestamp>) {
        if before == after {
            return;
        }
        let mut due = self.due.lock();
        if let Some(before) = before {
            due.remove(&(before, account.clone()));
        }
        let Some(after) = after else { return };
        let first = due.first().is_none_or(|(first, _)| after < *first);
        due.insert((after, account.clone()));
        drop(due);
        if first {
            self.earlier.notify_one();
        }
    }

    /// Takes out accounts whose time has come, at most `most`, in order of time.
    pub fn take(&self, at: Timestamp, most: usize) -> Vec<AccountId> {
        let mut due = self.due.lock();
        let mut taken = Vec::new();
        while taken.len() < most && due.first().is_some_and(|(first, _)| *first <= at) {
            taken.extend(due.pop_first().map(|(_, account)| account));
        }
        taken
    }

    /// When the next is due.
    pub fn first(&self) -> Option<Timestamp> {
        self.due.lock().first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_in_order_and_once() {
        let timers = Timers::default();
        let (a, b) = (AccountId::parse("a").unwrap(), AccountId::parse("b").unwrap());
        let at = Timestamp::from_micros;
        timers.set(&a, None, Some(at(5)));
        timers.set(&b, None, Some(at(3)));
        assert_eq!(timers.first(), Some(at(3)));
        timers.set(&a, Some(at(5)), Some(at(2)));
        assert_eq!(timers.take(at(3), 1), std::slice::from_ref(&a));
        assert_eq!(timers.take(at(3), 9), [b]);
        assert_eq!(timers.take(at(9), 9), []);
        timers.set(&a, Some(at(2)), Some(at(7)));
        timers.set(&a, Some(at(7)), None);
        assert_eq!(timers.first(), None);
    }
}
