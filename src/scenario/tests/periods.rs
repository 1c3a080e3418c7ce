//! When a period and an allowance end, counted naively: day by day on the calendar, or boundary by boundary from the
//! subscription's start.

use jiff::civil::{Date, Weekday};
use jiff::{Span, ToSpan};

use crate::engine::account::entry::{Source, What};
use crate::engine::account::{Account, Entry};
use crate::engine::contract::Contract;
use crate::playbook::allowance::{Anchor, Recurs};
use crate::types::calendar::Every;
use crate::types::{Length, Timestamp};

/// Whether what an entry begins ends when it should; `account` is how the entry left it.
pub fn check(account: &Account, entry: &Entry) -> Result<(), String> {
    let Some(contract) = &account.contract else { return Ok(()) };
    let recurs = |index: usize| contract.plan.allowances.get(index).map(|allowance| allowance.recurs);
    let (ends, should) = match &entry.what {
        What::PeriodStarted { start, end, .. } => {
            let every = match recurs(0) {
                Some(Recurs::Every(every)) => every,
                _ => Every::Month,
            };
            (*end, next(contract, every, *start))
        }
        What::Granted { block, source: Source::Allowance(index) } => match recurs(*index as usize) {
            Some(Recurs::Every(every)) => (block.expires_at.unwrap(), next(contract, every, entry.at)),
            _ => return Ok(()),
        },
        _ => return Ok(()),
    };
    match ends == should {
        true => Ok(()),
        false => Err(format!("{:?} ends at {ends}, not at {should}", entry.what)),
    }
}

/// The first boundary after `at`.
fn next(contract: &Contract, every: Every, at: Timestamp) -> Timestamp {
    match (contract.plan.anchor, every) {
        (Anchor::Subscription, _) | (_, Every::Length(_)) => next_from_origin(contract, every, at),
        (Anchor::Calendar, _) => next_on_calendar(contract, every, at),
    }
}

fn next_from_origin(contract: &Contract, every: Every, at: Timestamp) -> Timestamp {
    let origin = contract.origin.jiff().to_zoned(contract.zone.clone());
    let step: Span = match every {
        Every::Minute => 1.minute(),
        Every::Hour => 1.hour(),
        Every::Day => 1.day(),
        Every::Week => 1.week(),
        Every::Month => 1.month(),
        Every::Quarter => 3.months(),
        Every::Year => 1.year(),
        Every::Length(Length::Months(months)) => i64::from(months).months(),
        Every::Length(Length::Exact(micros)) => micros.microseconds(),
    };
    let mut boundaries = (1_i64..).map(|n| Timestamp::from((&origin + step * n).timestamp()));
    boundaries.find(|boundary| *boundary > at).unwrap()
}

fn next_on_calendar(contract: &Contract, every: Every, at: Timestamp) -> Timestamp {
    let begins = |day: &Date| match every {
        Every::Week => day.weekday() == Weekday::Monday,
        Every::Month => day.day() == 1,
        Every::Quarter => day.day() == 1 && day.month() % 3 == 1,
        Every::Year => day.day_of_year() == 1,
        _ => true,
    };
    let today = at.jiff().to_zoned(contract.zone.clone()).date();
    let mut days = (1_i64..).map(|n| today + n.days());
    days.find(begins).unwrap().to_zoned(contract.zone.clone()).unwrap().timestamp().into()
}
