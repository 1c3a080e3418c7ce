//! Civil periods and windows, in an account's time zone.

use jiff::civil;
use jiff::tz::TimeZone;
use jiff::{Span, ToSpan, Zoned};

use super::time::{Length, Timestamp};

/// How often something starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Every {
    Minute,
    Hour,
    Day,
    /// From Monday.
    Week,
    Month,
    Quarter,
    Year,
    /// Counted from the subscription's start.
    Length(Length),
}

/// A stretch of time; the end is exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stretch {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// `at` moved by `length`: months on the calendar of `zone`, clamped to the month's last day.
pub fn plus(at: Timestamp, length: Length, zone: &TimeZone) -> Timestamp {
    match length {
        Length::Exact(micros) => at.plus_micros(micros),
        Length::Months(months) => shifted(at, i64::from(months).months(), zone),
    }
}

/// The first instant from which `length` on reaches `end`.
pub fn before(end: Timestamp, length: Length, zone: &TimeZone) -> Timestamp {
    match length {
        Length::Exact(micros) => end.plus_micros(micros.saturating_neg()),
        Length::Months(months) => {
            let mut at = shifted(end, (-i64::from(months)).months(), zone);
            // A shorter month clamps: a month before 31 Mar is 28 Feb, and a month from there is 28 Mar.
            for _ in 0..CLAMPED_DAYS_MAX {
                if plus(at, length, zone) >= end {
                    break;
                }
                at = shifted(at, Span::new().try_days(1).unwrap_or_default(), zone);
            }
            at
        }
    }
}

/// The most days by which months differ.
const CLAMPED_DAYS_MAX: u32 = 3;

/// The stretch number `n` (from 0) of a period anchored at `anchor`: 31 Jan → 28 Feb → 31 Mar.
///
/// Every boundary is computed from the anchor, never from the boundary before it, so that a clamped day comes back.
pub fn anchored(anchor: Timestamp, every: Every, n: u32, zone: &TimeZone) -> Stretch {
    let boundary = |k: i64| match every {
        Every::Minute => anchor.plus_micros(k.saturating_mul(60_000_000)),
        Every::Hour => anchor.plus_micros(k.saturating_mul(3_600_000_000)),
        Every::Day => shifted(anchor, Span::new().try_days(k).unwrap_or_default(), zone),
        Every::Week => shifted(anchor, Span::new().try_weeks(k).unwrap_or_default(), zone),
        Every::Month => shifted_months(anchor, k, zone),
        Every::Quarter => shifted_months(anchor, k.saturating_mul(3), zone),
        Every::Year => shifted_months(anchor, k.saturating_mul(12), zone),
        Every::Length(Length::Exact(micros)) => anchor.plus_micros(k.saturating_mul(micros.max(1))),
        Every::Length(Length::Months(m)) => {
            shifted_months(anchor, k.saturating_mul(i64::from(m.max(1))), zone)
        }
    };
    Stretch { start: boundary(i64::from(n)), end: boundary(i64::from(n) + 1) }
}

/// The calendar window that holds `at`. A length counts from `origin`.
pub fn window(at: Timestamp, every: Every, origin: Timestamp, zone: &TimeZone) -> Stretch {
    let local = at.jiff().to_zoned(zone.clone());
    let date = local.date();
    let day = |date: civil::Date| start_of_day(date, zone);
    let month = |date: civil::Date, months: i64| {
        date.checked_add(Span::new().try_months(months).unwrap_or_default()).unwrap_or(civil::Date::MAX)
    };
    match every {
        // In exact time, so that an hour that a clock change repeats is two windows, not one of two hours.
        Every::Minute => exact(at, origin_of(&local, 60), 60_000_000),
        Every::Hour => exact(at, origin_of(&local, 3600), 3_600_000_000),
        Every::Day => Stretch { start: day(date), end: day(tomorrow(date, 1)) },
        Every::Week => {
            let monday = tomorrow(date, -i64::from(date.weekday().to_monday_zero_offset()));
            Stretch { start: day(monday), end: day(tomorrow(monday, 7)) }
        }
        Every::Month => {
            let first = date.first_of_month();
            Stretch { start: day(first), end: day(month(first, 1)) }
        }
        Every::Quarter => {
            let first = month(date.first_of_month(), -i64::from((date.month() - 1) % 3));
            Stretch { start: day(first), end: day(month(first, 3)) }
        }
        Every::Year => {
            let first = date.first_of_year();
            Stretch { start: day(first), end: day(month(first, 12)) }
        }
        Every::Length(Length::Exact(micros)) => exact(at, origin, micros.max(1)),
        Every::Length(Length::Months(_)) => {
            let mut n = 0;
            loop {
                let stretch = anchored(origin, every, n, zone);
                if at < stretch.end || n == u32::MAX {
                    return stretch;
                }
                n += 1;
            }
        }
    }
}

fn exact(at: Timestamp, origin: Timestamp, micros: i64) -> Stretch {
    let n = (at.micros() - origin.micros()).div_euclid(micros);
    let start = origin.plus_micros(n.saturating_mul(micros));
    Stretch { start, end: start.plus_micros(micros) }
}

/// The start of the minute or hour that the clock on the wall shows.
fn origin_of(local: &Zoned, seconds: i64) -> Timestamp {
    let into = i64::from(local.minute()) * 60 + i64::from(local.second());
    let into = if seconds == 3600 { into } else { i64::from(local.second()) };
    let second: Timestamp =
        jiff::Timestamp::from_second(local.timestamp().as_second()).unwrap_or_default().into();
    second.plus_micros(-into * 1_000_000)
}

fn start_of_day(date: civil::Date, zone: &TimeZone) -> Timestamp {
    date.to_zoned(zone.clone())
        .map_or_else(|_| Timestamp::from_micros(i64::MAX), |zoned| zoned.timestamp().into())
}

fn tomorrow(date: civil::Date, days: i64) -> civil::Date {
    date.checked_add(Span::new().try_days(days).unwrap_or_default()).unwrap_or(civil::Date::MAX)
}

fn shifted_months(at: Timestamp, months: i64, zone: &TimeZone) -> Timestamp {
    shifted(at, Span::new().try_months(months).unwrap_or_default(), zone)
}

fn shifted(at: Timestamp, span: Span, zone: &TimeZone) -> Timestamp {
    at.jiff()
        .to_zoned(zone.clone())
        .checked_add(span)
        .map_or_else(|_| Timestamp::from_micros(i64::MAX), |zoned| zoned.timestamp().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn months_clamp_and_come_back() {
        let zone = TimeZone::UTC;
        let ends: Vec<_> = (0..3)
            .map(|n| anchored(at("2026-01-31T00:00:00Z"), Every::Month, n, &zone).end.to_string())
            .collect();
        assert_eq!(ends, ["2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z", "2026-04-30T00:00:00Z"]);
    }

    #[test]
    fn a_length_before_an_end_is_the_first_instant_that_reaches_it() {
        let zone = TimeZone::UTC;
        for (end, length, first) in [
            ("2026-03-31T00:00:00Z", Length::Months(1), "2026-03-01T00:00:00Z"),
            ("2026-02-28T00:00:00Z", Length::Months(1), "2026-01-28T00:00:00Z"),
            ("2026-01-10T00:00:00Z", Length::days(7), "2026-01-03T00:00:00Z"),
        ] {
            assert_eq!(before(at(end), length, &zone), at(first), "{end}");
        }
    }

    #[test]
    fn windows_follow_the_wall_clock_over_a_change_of_hour() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        for (instant, every, start, end) in [
            ("2026-03-29T12:00:00Z", Every::Day, "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
            ("2026-10-25T00:30:00Z", Every::Hour, "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:30:00Z", Every::Hour, "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"),
            ("2026-11-22T10:00:00Z", Every::Week, "2026-11-15T23:00:00Z", "2026-11-22T23:00:00Z"),
            ("2026-11-22T10:00:00Z", Every::Quarter, "2026-09-30T22:00:00Z", "2026-12-31T23:00:00Z"),
            ("2028-02-29T10:00:30Z", Every::Minute, "2028-02-29T10:00:00Z", "2028-02-29T10:01:00Z"),
            ("2028-02-29T10:00:30Z", Every::Year, "2027-12-31T23:00:00Z", "2028-12-31T23:00:00Z"),
        ] {
            let got = window(at(instant), every, at("2026-01-01T00:00:00Z"), &zone);
            assert_eq!(
                (got.start.to_string(), got.end.to_string()),
                (start.to_owned(), end.to_owned()),
                "{instant} {every:?}"
            );
        }
        let origin = at("2026-01-01T00:10:00Z");
        let got = window(at("2026-01-01T00:45:00Z"), Every::Length(Length::minutes(20)), origin, &zone);
        assert_eq!((got.start, got.end), (at("2026-01-01T00:30:00Z"), at("2026-01-01T00:50:00Z")));
    }
}
