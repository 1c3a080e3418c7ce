//! What people are shown of an account; nothing here changes it.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;

use crate::credit::{CapKey, Counter, period};
use crate::engine::account::Account;
use crate::engine::answer::Next;
use crate::grpc::ledger_api::{AccountView, Alert, BalanceView, CapView, InvoiceLine};
use crate::playbook::cap;
use crate::playbook::overage::Link;
use crate::types::{Credits, Timestamp};

/// `None` until it is subscribed.
pub fn account(account: &Account, broken: bool) -> Option<AccountView> {
    let contract = account.contract.as_ref()?;
    Some(AccountView {
        id: account.id.clone(),
        plan: contract.plan.name.clone(),
        version: contract.playbook.version,
        suspended: contract.suspended,
        zone: account.zone.clone(),
        subscribed_at: contract.origin,
        period: account.period,
        overage_limit: contract.overage_limit,
        broken,
    })
}

pub fn balance(account: &Account, at: Timestamp) -> Option<BalanceView> {
    let contract = account.contract.as_ref()?;
    let this_period = account.overage.iter().filter(|period| period.start >= account.period.start);
    Some(BalanceView {
        balance: account.balance(at, &BTreeMap::new()),
        overage: this_period.map(|period| period.spent).sum(),
        leased: idle_at_sidecars(account, at),
        out_of_reach: out_of_reach(account, at),
        caps: caps(account, at),
        next: contract.plan.overage.first().map_or(Next::Deny, |link| match link {
            Link::Soft { .. } => Next::Overage,
            Link::Degraded { .. } => Next::Degrade,
        }),
    })
}

/// What live leases hold and no run.
fn idle_at_sidecars(account: &Account, at: Timestamp) -> Credits {
    let live = account.leases.values().filter(|lease| lease.ends_at > at);
    live.map(|lease| {
        let held: BTreeMap<_, _> = lease.totals.held.iter().copied().collect();
        let idle =
            |(block, out): (&_, &Credits)| out.saturating_sub(held.get(block).copied().unwrap_or_default());
        lease.out.iter().map(idle).sum::<Credits>()
    })
    .sum()
}

/// What silent leases and seals hold, and when the last of it comes back.
fn out_of_reach(account: &Account, at: Timestamp) -> Option<(Credits, Timestamp)> {
    let reclaim = account.contract.as_ref()?.plan.offline.reclaim_after.approximate_micros();
    let silent = account.leases.values().filter(|lease| lease.ends_at <= at);
    let silent = silent.map(|lease| (lease.out.values().copied().sum(), lease.ends_at.plus_micros(reclaim)));
    let sealed = account.seals.iter().map(|seal| (seal.slices.values().copied().sum(), seal.until));
    let parts: Vec<(Credits, Timestamp)> =
        silent.chain(sealed).filter(|(credits, _): &(Credits, _)| credits.is_positive()).collect();
    let until = parts.iter().map(|(_, until)| *until).max()?;
    Some((parts.iter().map(|(credits, _)| *credits).sum(), until))
}

/// The counters of windows that go on, with what runs used of them over all sidecars.
fn caps(account: &Account, at: Timestamp) -> Vec<CapView> {
    let Some(contract) = &account.contract else { return Vec::new() };
    let goes_on =
        |(key, counter): &(&CapKey, &Counter)| key.window <= at && counter.ends_at.is_none_or(|end| end > at);
    let counters = account.book.counters.iter().filter(goes_on);
    counters
        .filter_map(|(key, counter)| {
            let cap = cap::named(&contract.plan, key.cap.as_str())?;
            Some(CapView {
                key: key.clone(),
                per: cap.per,
                limit: cap.limit(),
                used: (counter.used() - merely_leased(account, key)).or_zero(),
                soft: cap.soft,
                window_ends: counter.ends_at,
            })
        })
        .collect()
}

/// Leased room counts as held at the account; what of it runs hold is in the leases' totals.
fn merely_leased(account: &Account, key: &CapKey) -> Credits {
    let leases = account.leases.values();
    leases
        .map(|lease| {
            let room = lease.rooms.get(key).copied().unwrap_or_default();
            let held = lease.totals.caps.iter().find(|(other, _)| other == key).map(|(_, total)| total.held);
            room.saturating_sub(held.unwrap_or_default())
        })
        .sum()
}

/// One line per period that had overage.
pub fn invoice_lines(account: &Account) -> Vec<InvoiceLine> {
    let Some(contract) = &account.contract else { return Vec::new() };
    let zone: &TimeZone = &contract.zone;
    let lines = account.overage.iter().filter(|period| period.spent.is_positive());
    lines
        .zip(1..)
        .map(|(overage, number)| {
            let stretch = period::period(&contract.plan, contract.origin, overage.start, zone);
            InvoiceLine {
                number,
                credits: overage.spent,
                amount: overage.amount,
                currency: contract.playbook.credit.currency.clone(),
                from: overage.start,
                to: stretch.end,
            }
        })
        .collect()
}

pub fn alerts(account: &Account) -> Vec<Alert> {
    let alerts = account.alerts.iter().zip(1..);
    alerts
        .map(|((at, alarm), number)| Alert {
            number,
            name: alarm.alert.clone(),
            at: *at,
            counter: alarm.counter.clone(),
        })
        .collect()
}
