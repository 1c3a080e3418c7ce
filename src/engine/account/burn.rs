//! What an account consumed hour by hour, over the last day: an hour far above the mean is an anomaly.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use crate::types::{Credits, Ratio, Timestamp};

const HOUR: i64 = 3_600_000_000;

/// An hour is compared with so many before it.
const HOURS: i64 = 24;

/// Credits consumed, paid or owed, by the start of the hour. Hours are those of exact time: no change of clocks makes one
/// longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Burn {
    hours: BTreeMap<Timestamp, Credits>,
    /// Of the entry that is being applied.
    now: Credits,
}

impl Burn {
    /// Counts what the entry at hand consumes, or (negative) gives back.
    pub(super) fn note(&mut self, credits: Credits) {
        self.now += credits;
    }

    /// The entry is done; hours that no comparison reaches are forgotten.
    pub(super) fn book(&mut self, at: Timestamp) {
        let credits = std::mem::take(&mut self.now);
        if credits.is_zero() {
            return;
        }
        let hour = start(at);
        *self.hours.entry(hour).or_default() += credits;
        let reach = hour.plus_micros(-HOURS * HOUR);
        self.hours.retain(|start, _| *start >= reach);
    }

    /// Whether this hour is above `times` the mean of the 24 before it. Where nothing was consumed in these there is
    /// nothing to compare with.
    pub(super) fn is_above(&self, times: Decimal, at: Timestamp) -> bool {
        let hour = start(at);
        let this = self.hours.get(&hour).copied().unwrap_or_default();
        let before = self.hours.range(hour.plus_micros(-HOURS * HOUR)..hour);
        let before: Credits = before.map(|(_, credits)| credits.or_zero()).sum();
        if !before.is_positive() {
            return false;
        }
        let bound = Ratio::of(before.decimal())
            .and_then(|sum| sum.times(times))
            .and_then(|sum| sum.divide(Decimal::from(HOURS)));
        let this = Ratio::of(this.decimal());
        bound.zip(this).and_then(|(bound, this)| bound.at_least(this)) == Some(false)
    }
}

fn start(at: Timestamp) -> Timestamp {
    at.plus_micros(-at.micros().rem_euclid(HOUR))
}

/// When the hour of `at` ends.
pub(super) fn next_hour(at: Timestamp) -> Timestamp {
    start(at).plus_micros(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_compared_with_the_mean_of_the_day_before_it() {
        let at = |hour: i64| Timestamp::from_micros(hour * HOUR + 5);
        let mut burn = Burn::default();
        let mut spend = |hour, credits| {
            burn.note(Credits::whole(credits));
            burn.book(at(hour));
            burn.is_above(Decimal::from(3), at(hour))
        };
        assert!(!spend(0, 1_000), "nothing to compare with");
        assert!(!spend(30, 24), "the first hour is forgotten");
        assert!(!spend(31, 3));
        assert!(spend(31, 1), "four against a mean of one");
        assert!(!spend(32, 3));
        assert_eq!(next_hour(at(3)), Timestamp::from_micros(4 * HOUR));
    }
}
