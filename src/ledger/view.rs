//! What people are shown of an account; nothing here changes it.

use std::collections::BTreeMap;

use crate::credit::invoice::{Line, LineKind};
use crate::credit::path::has_pool;
use crate::credit::price::PeriodOverage;
use crate::credit::{CapKey, Counter, PoolId, period};
use crate::engine::account::{Account, AdminRefusal};
use crate::engine::answer::Next;
use crate::engine::contract::Contract;
use crate::grpc::ledger_api::{AccountView, Alert, BalanceView, CapView, InvoiceLine};
use crate::playbook::cap;
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
        overlay: contract.overlay.clone(),
        pending: account.pending.clone(),
    })
}

/// `pool`: of it alone. Refused where the plan does not have it.
pub fn balance(
    account: &Account,
    pool: Option<&PoolId>,
    at: Timestamp,
) -> Option<Result<BalanceView, AdminRefusal>> {
    let contract = account.contract.as_ref()?;
    if let Some(pool) = pool.filter(|pool| !has_pool(&contract.plan.pooling, pool)) {
        return Some(Err(AdminRefusal::PoolUnknown(pool.clone())));
    }
    Some(Ok(BalanceView {
        balance: account.balance_of(pool, at, &BTreeMap::new()),
        overage: account.overage_in_period(pool),
        leased: idle_at_sidecars(account, at),
        out_of_reach: out_of_reach(account, at),
        caps: caps(account, at),
        next: Next::after(&contract.plan.overage),
    }))
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

/// The lines so far, and one for each period's overage where its first credits were spent: a number never changes.
pub fn invoice_lines(account: &Account) -> Vec<InvoiceLine> {
    let Some(contract) = &account.contract else { return Vec::new() };
    let spent: Vec<_> = account.overage.iter().filter(|period| period.spent.is_positive()).collect();
    let mut lines: Vec<InvoiceLine> = Vec::new();
    for place in 0..=account.lines.len() {
        lines.extend(
            spent.iter().filter(|period| period.lines == place).map(|period| overage(contract, period)),
        );
        lines.extend(account.lines.get(place).map(|line| other(contract, line)));
    }
    lines.iter_mut().zip(1..).for_each(|(line, number)| line.number = number);
    lines
}

fn overage(contract: &Contract, overage: &PeriodOverage) -> InvoiceLine {
    let stretch = period::period(&contract.plan, contract.origin, overage.start, &contract.zone);
    InvoiceLine {
        number: 0,
        kind: LineKind::Overage,
        credits: overage.spent,
        amount: overage.amount,
        currency: contract.playbook.credit.currency.clone(),
        at: None,
        from: overage.start,
        to: stretch.end,
        what: None,
    }
}

fn other(contract: &Contract, line: &Line) -> InvoiceLine {
    // Money that goes back is less to pay.
    let amount = if line.kind == LineKind::Refund { -line.amount } else { line.amount };
    InvoiceLine {
        number: 0,
        kind: line.kind,
        credits: line.credits,
        amount,
        currency: contract.playbook.credit.currency.clone(),
        at: Some(line.at),
        from: line.from,
        to: line.to.unwrap_or(line.from),
        what: line.what.clone(),
    }
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
