//! When a plan's periods start, and what they grant.

use jiff::tz::TimeZone;

use crate::playbook::Plan;
use crate::playbook::allowance::{Allowance, Anchor, Recurs};
use crate::playbook::meaning::CreditUnit;
use crate::types::calendar::{self, Every, Stretch};
use crate::types::{Credits, Ratio, Timestamp};

/// The stretch of `every` that holds `at`, for a subscription that began at `origin`.
pub fn stretch(anchor: Anchor, every: Every, origin: Timestamp, at: Timestamp, zone: &TimeZone) -> Stretch {
    match anchor {
        Anchor::Calendar => {
            let window = calendar::window(at, every, origin, zone);
            Stretch { start: window.start.max(origin), ..window }
        }
        Anchor::Subscription => {
            let mut n = guess(every, origin, at);
            loop {
                let stretch = calendar::anchored(origin, every, n, zone);
                if at < stretch.end || n == u32::MAX {
                    return stretch;
                }
                n += 1;
            }
        }
    }
}

/// A stretch number that is certainly not after the one sought, so that few steps remain.
fn guess(every: Every, origin: Timestamp, at: Timestamp) -> u32 {
    let longest_micros: i64 = match every {
        Every::Minute => 60,
        Every::Hour => 3600,
        Every::Day => 25 * 3600,
        Every::Week => 7 * 24 * 3600 + 3600,
        Every::Month => 31 * 24 * 3600 + 3600,
        Every::Quarter => 92 * 24 * 3600 + 3600,
        Every::Year => 366 * 24 * 3600 + 3600,
        Every::Length(crate::types::Length::Exact(micros)) => (micros / 1_000_000).max(1),
        Every::Length(crate::types::Length::Months(months)) => {
            i64::from(months.max(1)) * 31 * 24 * 3600 + 3600
        }
    } * 1_000_000;
    u32::try_from(at.micros_since(origin) / longest_micros).unwrap_or(0).saturating_sub(1)
}

/// The plan's period that holds `at`; without a recurring allowance it is a month.
pub fn period(plan: &Plan, origin: Timestamp, at: Timestamp, zone: &TimeZone) -> Stretch {
    let every = match plan.allowances.first().map(|allowance| allowance.recurs) {
        Some(Recurs::Every(every)) => every,
        Some(Recurs::Once { .. }) | None => Every::Month,
    };
    stretch(plan.anchor, every, origin, at, zone)
}

/// What one allowance grants at `at`, the start of its stretch, and until when; `end: None` = it does not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    pub credits: Credits,
    pub end: Option<Timestamp>,
}

/// The first stretch of a calendar-anchored allowance is pro-rated by time, rounded by the playbook's rule.
pub fn grant(
    plan: &Plan,
    allowance: &Allowance,
    credit: &CreditUnit,
    origin: Timestamp,
    at: Timestamp,
    zone: &TimeZone,
) -> Granted {
    match allowance.recurs {
        Recurs::Once { lasts } => {
            Granted { credits: allowance.credits, end: lasts.map(|length| calendar::plus(at, length, zone)) }
        }
        Recurs::Every(every) => {
            let current = stretch(plan.anchor, every, origin, at, zone);
            let whole = match plan.anchor {
                Anchor::Calendar => calendar::window(at, every, origin, zone),
                Anchor::Subscription => current,
            };
            let share = Ratio::of(allowance.credits.decimal())
                .and_then(|all| {
                    all.share(current.end.micros_since(current.start), whole.end.micros_since(whole.start))
                })
                .and_then(|part| part.credits(credit.scale, credit.rounding));
            Granted { credits: share.unwrap_or(allowance.credits), end: Some(current.end) }
        }
    }
}
