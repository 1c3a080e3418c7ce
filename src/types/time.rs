//! Instants and lengths of time. The pure rooms never read a clock: instants come in as arguments named `at`.

use std::fmt;
use std::str::FromStr;

use minicbor::{Decode, Encode};
use thiserror::Error;

/// An instant of ledger time, in microseconds since 1970.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] i64);

/// A length of time: so many calendar months, or an exact number of microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum Length {
    /// `1mo`, `1y`: counted on the calendar.
    #[n(0)]
    Months(#[n(0)] u32),
    /// `60s`, `10m`, `36h`, `14d`: a day is 24 hours.
    #[n(1)]
    Exact(#[n(0)] i64),
}

const SECOND: i64 = 1_000_000;

/// No length is above a hundred years: sums with any instant of this era stay within range.
const LENGTH_SECONDS_MAX: i64 = 100 * 366 * 24 * 3600;

/// Instants are kept between the years 1900 and 2500, so that adding any `Length` stays in range.
const INSTANT_SECONDS: std::ops::RangeInclusive<i64> = -2_208_988_800..=16_725_225_600;

/// Why a text is not an instant or a length of time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TimeError {
    #[error("`{0}` is not a time such as `2026-01-31T00:00:00Z`")]
    Instant(String),
    #[error("`{0}` is not a length of time such as `60s`, `10m`, `36h`, `14d`, `1mo` or `1y`")]
    Length(String),
}

impl Timestamp {
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The instant `micros` later (or, if negative, earlier), kept within the range of 64 bits.
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// The exact time from `earlier` to here, in microseconds; zero if `earlier` is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        let micros = self.0.saturating_sub(earlier.0);
        if micros < 0 { 0 } else { micros }
    }

    pub(crate) fn jiff(self) -> jiff::Timestamp {
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(instant: jiff::Timestamp) -> Self {
        Self(instant.as_microsecond())
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let instant: jiff::Timestamp = text.parse().map_err(|_| TimeError::Instant(text.to_owned()))?;
        if INSTANT_SECONDS.contains(&instant.as_second()) {
            Ok(instant.into())
        } else {
            Err(TimeError::Instant(text.to_owned()))
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.jiff(), f)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Length {
    pub const fn seconds(seconds: i64) -> Self {
        Self::Exact(seconds * SECOND)
    }

    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes * 60)
    }

    pub const fn hours(hours: i64) -> Self {
        Self::minutes(hours * 60)
    }

    pub const fn days(days: i64) -> Self {
        Self::hours(days * 24)
    }

    /// For comparing lengths: a month counts as 30 days.
    pub fn approximate_micros(self) -> i64 {
        match self {
            Self::Months(months) => i64::from(months) * 30 * 24 * 3600 * SECOND,
            Self::Exact(micros) => micros,
        }
    }
}

impl FromStr for Length {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        let wrong = || TimeError::Length(text.to_owned());
        let split = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (digits, unit) = text.split_at(split);
        let count: i64 = digits.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(24 * 3600),
            _ => None,
        };
        let bounded = |each: i64| count.checked_mul(each).filter(|s| *s <= LENGTH_SECONDS_MAX);
        match (seconds, unit) {
            (Some(each), _) => bounded(each).map(Self::seconds).ok_or_else(wrong),
            (None, "mo" | "y") => {
                let months = if unit == "y" { 12 } else { 1 };
                bounded(months * 31 * 24 * 3600).ok_or_else(wrong)?;
                u32::try_from(count * months).map(Self::Months).map_err(|_| wrong())
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Months(months) if months > 0 && months % 12 == 0 => write!(f, "{}y", months / 12),
            Self::Months(months) => write!(f, "{months}mo"),
            Self::Exact(micros) => {
                let seconds = micros / SECOND;
                let (count, unit) = [(24 * 3600, "d"), (3600, "h"), (60, "m")]
                    .into_iter()
                    .find(|(each, _)| seconds > 0 && seconds % each == 0)
                    .map_or((seconds, "s"), |(each, unit)| (seconds / each, unit));
                write!(f, "{count}{unit}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_and_print() {
        for text in ["60s", "1m", "36h", "14d", "1mo", "1y", "0s", "90s"] {
            let shown = text.parse::<Length>().unwrap().to_string();
            assert_eq!(shown, if text == "60s" { "1m" } else { text });
        }
        for text in ["", "5", "s", "-1s", "1w", "1.5h", "99999999999999999999s", "101y", "1mon"] {
            assert!(text.parse::<Length>().is_err(), "{text}");
        }
    }
}
