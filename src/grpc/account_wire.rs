//! Between the messages of `AccountService` and domain values, both ways.

use base64_simd::URL_SAFE_NO_PAD;
use tonic::Status;

use super::lease_wire::{instant, timestamp};
use super::ledger_api::{AccountView, Alert, BalanceView, CapView, InvoiceLine};
use super::ledger_status::invalid;
use super::proto::{ledger_v1 as wire, v1};
use crate::credit::invoice::LineKind;
use crate::credit::{PoolId, ScopeKey};
use crate::engine::account::{Command, GrantAsk};
use crate::engine::answer::Next;
use crate::lease::terms::HandleKey;
use crate::playbook::cap::Scope;
use crate::playbook::draw_order::Species;
use crate::playbook::overlay::Overlay;
use crate::types::{Credits, Length, Money, Name, RequestId, Timestamp};

/// Items on a page where nothing else is asked, and at most.
const PAGE_USUAL: usize = 100;
const PAGE_MAX: usize = 1000;

/// No grant starts later, or lasts longer, than a hundred years: sums with any instant of this era stay in range.
const LENGTH_SECONDS_MAX: i64 = 100 * 366 * 24 * 3600;

pub(super) use super::lease_wire::account;

pub(super) fn request_id(text: &str) -> Result<RequestId, Status> {
    RequestId::parse(text).map_err(|what| {
        invalid("INVALID_REQUEST_ID", "request_id", format!("`request_id` {what}; each write needs its own"))
    })
}

/// The key is the ledger's to give; what stands here until then opens nothing.
const NO_KEY: HandleKey = HandleKey { id: 0, secret: [0; 32] };

pub(super) fn subscribe(request: &wire::SubscribeRequest) -> Result<Command, Status> {
    let plan = name("INVALID_PLAN", "plan", &request.plan)?;
    let addon = |text: &String| name("INVALID_ADDONS", "addons", text);
    let overlay = Overlay {
        addons: request.addons.iter().map(addon).collect::<Result<_, _>>()?,
        overrides: Some(request.overrides.clone()).filter(|text| !text.is_empty()),
        seats: request.seats,
        ..Overlay::default()
    };
    let zone = if request.time_zone.is_empty() { "UTC" } else { &request.time_zone };
    Ok(Command::Subscribe { plan, zone: zone.to_owned(), key: NO_KEY, overlay: Box::new(overlay) })
}

/// A name of the playbook's or the customer's own.
pub(super) fn name(reason: &str, field: &str, text: &str) -> Result<Name, Status> {
    Name::parse(text).map_err(|what| invalid(reason, field, format!("`{field}` {what}")))
}

/// Credits that are to move: more than none.
pub(super) fn some_credits(text: &str) -> Result<Credits, Status> {
    let bad = |what: String| invalid("INVALID_CREDITS", "credits", what);
    let credits: Credits = text.parse().map_err(|what| bad(format!("{what}")))?;
    if credits.is_positive() {
        Ok(credits)
    } else {
        Err(bad(format!("`{credits}` credits are nothing to move")))
    }
}

pub(super) fn grant(request: &wire::GrantRequest) -> Result<Command, Status> {
    let bad_credits = |what: String| invalid("INVALID_CREDITS", "credits", what);
    let credits: Credits = request.credits.parse().map_err(|what| bad_credits(format!("{what}")))?;
    if !credits.is_positive() {
        return Err(bad_credits(format!("`{credits}` credits are nothing to grant; give more than 0")));
    }
    let species = match request.species.as_str() {
        "" => Species::OnDemand,
        word => Species::from_word(word).ok_or_else(|| {
            let word: String = word.chars().take(64).collect();
            let what = format!(
                "`{word}` is not a species that can be granted, such as `on_demand`, `incentive`, `subscription` or `refund`"
            );
            invalid("INVALID_SPECIES", "species", what)
        })?,
    };
    let starts = request.starts_in.as_ref().map(|length| self::length("starts_in", length, 0)).transpose()?;
    let lasts = request.lasts.as_ref().map(|length| self::length("lasts", length, 1)).transpose()?;
    let price: Option<Money> = request.price.as_deref().map(price).transpose()?;
    let pool = pool(&request.pool)?;
    Ok(Command::Grant(Box::new(GrantAsk {
        credits,
        species,
        starts,
        lasts,
        priority: request.priority,
        price,
        pool,
    })))
}

pub(super) fn overage_limit(text: Option<&str>) -> Result<Credits, Status> {
    let bad = |what: String| invalid("INVALID_CREDITS", "credits", what);
    let text =
        text.ok_or_else(|| bad("`credits` is missing; give the limit, `0` for no overage".to_owned()))?;
    let credits: Credits = text.parse().map_err(|what| bad(format!("{what}")))?;
    if credits.is_negative() { Err(bad(format!("`{credits}` is negative"))) } else { Ok(credits) }
}

fn price(text: &str) -> Result<Money, Status> {
    let price: Money = text.parse().map_err(|what| invalid("INVALID_PRICE", "price", format!("{what}")))?;
    if price.is_negative() {
        return Err(invalid("INVALID_PRICE", "price", format!("`{price}` is negative")));
    }
    Ok(price)
}

fn length(field: &str, length: &prost_types::Duration, least_micros: i64) -> Result<Length, Status> {
    let micros = Some(length)
        .filter(|length| (0..=LENGTH_SECONDS_MAX).contains(&length.seconds) && length.nanos >= 0)
        .map(|length| length.seconds * 1_000_000 + i64::from(length.nanos) / 1000)
        .filter(|micros| *micros >= least_micros);
    micros.map(Length::Exact).ok_or_else(|| {
        invalid(
            "INVALID_TIME",
            field,
            format!("`{field}` is not a length of time between 0 and a hundred years"),
        )
    })
}

pub(super) fn pool(text: &str) -> Result<PoolId, Status> {
    if text.is_empty() {
        return Ok(PoolId::Account);
    }
    PoolId::parse(text).ok_or_else(|| {
        invalid("INVALID_POOL", "pool", "`pool` is not `account`, `team:T` or `user:U`".to_owned())
    })
}

pub(super) fn page_size(size: i32) -> Result<usize, Status> {
    let size = usize::try_from(size).map_err(|_| {
        invalid("INVALID_PAGE", "page_size", format!("`{size}` is negative; give 0 for the usual"))
    })?;
    Ok(if size == 0 { PAGE_USUAL } else { size.min(PAGE_MAX) })
}

/// A token is opaque to callers: it names the last item that was given.
pub(super) fn token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode_to_string(last)
}

pub(super) fn name_token(token: &str) -> Result<Option<String>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let bytes = URL_SAFE_NO_PAD.decode_to_vec(token).ok();
    bytes.and_then(|bytes| String::from_utf8(bytes).ok()).map(Some).ok_or_else(bad_token)
}

fn bad_token() -> Status {
    invalid("INVALID_PAGE", "page_token", "`page_token` is not one that an answer gave".to_owned())
}

/// Which part of a numbered list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page {
    size: usize,
    after: u64,
}

impl Page {
    pub(super) fn read(size: i32, token: &str) -> Result<Self, Status> {
        let after = match name_token(token)? {
            None => 0,
            Some(text) => text.parse().map_err(|_| bad_token())?,
        };
        Ok(Self { size: page_size(size)?, after })
    }

    pub(super) const fn size(self) -> usize {
        self.size
    }

    /// The number of the last item before it.
    pub(super) const fn after(self) -> u64 {
        self.after
    }

    /// The page, and the token that asks for the next; empty on the last.
    pub(super) fn cut<T>(self, mut items: Vec<T>, number: impl Fn(&T) -> u64) -> (Vec<T>, String) {
        items.retain(|item| number(item) > self.after);
        let more = items.len() > self.size;
        items.truncate(self.size);
        let next = items.last().filter(|_| more).map(|item| token(&number(item).to_string()));
        (items, next.unwrap_or_default())
    }
}

pub(super) fn wire_account(view: &AccountView, now: Timestamp) -> wire::Account {
    wire::Account {
        account: view.id.to_string(),
        plan: view.plan.to_string(),
        playbook_version: view.version,
        suspended: view.suspended,
        time_zone: view.zone.clone(),
        subscribed_at: Some(timestamp(view.subscribed_at)),
        period_began: Some(timestamp(view.period.start)),
        period_ends: Some(timestamp(view.period.end)),
        period_ends_in: Some(left(view.period.end, now)),
        overage_limit: view.overage_limit.map(|credits| credits.to_string()),
        broken: view.broken,
        seats: view.overlay.seats,
        addons: view.overlay.addons.iter().map(ToString::to_string).collect(),
        overrides: view.overlay.overrides.clone().unwrap_or_default(),
        caps: view.overlay.caps.clone(),
        next_plan: view.pending.plan.as_ref().map(ToString::to_string).unwrap_or_default(),
        next_seats: view.pending.seats,
        ends_at: view.overlay.ended.or(view.pending.ends).map(timestamp),
    }
}

pub(super) fn wire_balance(view: &BalanceView, now: Timestamp) -> wire::GetBalanceResponse {
    let balance = &view.balance;
    let by = balance.by.iter().map(|(species, credits)| (species.word().to_owned(), credits.to_string()));
    let next = match view.next {
        Next::Deny => v1::Next::Deny,
        Next::Degrade => v1::Next::Degrade,
        Next::Overage => v1::Next::Overage,
        Next::Borrow => v1::Next::Borrow,
        Next::TopUp => v1::Next::TopUp,
    };
    let inner = v1::GetBalanceResponse {
        available: balance.available.to_string(),
        held: balance.held.to_string(),
        spent: balance.spent.to_string(),
        lapsed: balance.lapsed.to_string(),
        debt: balance.debt.to_string(),
        by: by.collect(),
        overage: view.overage.to_string(),
        period_ends: Some(timestamp(balance.period_ends)),
        period_ends_in: Some(left(balance.period_ends, now)),
        caps: view.caps.iter().map(|cap| wire_cap(cap, now)).collect(),
        as_of: Some(timestamp(now)),
        as_of_age: Some(prost_types::Duration::default()),
        connectivity: v1::Connectivity::Online.into(),
        provisional: false,
        next: next.into(),
    };
    wire::GetBalanceResponse {
        balance: Some(inner),
        leased: view.leased.to_string(),
        out_of_reach: view.out_of_reach.map(|(credits, until)| v1::OutOfReach {
            credits: credits.to_string(),
            until: Some(timestamp(until)),
            until_in: Some(left(until, now)),
        }),
    }
}

fn wire_cap(cap: &CapView, now: Timestamp) -> v1::CapBalance {
    v1::CapBalance {
        cap: cap.key.cap.to_string(),
        per: scope_word(cap.per).to_owned(),
        name: scope_name(&cap.key.scope),
        limit: cap.limit.to_string(),
        used: cap.used.to_string(),
        left: cap.limit.saturating_sub(cap.used).to_string(),
        soft: cap.soft,
        window_ends: cap.window_ends.map(timestamp),
        window_ends_in: cap.window_ends.map(|end| left(end, now)),
    }
}

const fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Account => "account",
        Scope::Team => "team",
        Scope::User => "user",
        Scope::Agent => "agent",
        Scope::Action => "action",
        Scope::Run => "run",
    }
}

fn scope_name(scope: &ScopeKey) -> String {
    match scope {
        ScopeKey::Account => String::new(),
        ScopeKey::Named(name) => name.to_string(),
        ScopeKey::Root(root) => root.to_string(),
    }
}

/// Whether a line covers anything between two instants, each of which may be left out.
pub(super) fn covers(
    line: &InvoiceLine,
    from: Option<&prost_types::Timestamp>,
    to: Option<&prost_types::Timestamp>,
) -> bool {
    let (start, end) = (line.at.unwrap_or(line.from).min(line.from), line.to);
    // A line without a stretch of its own covers the instant at which it came about.
    let after = |from| if start == end { start >= from } else { end > from };
    from.is_none_or(|from| after(instant(from))) && to.is_none_or(|to| start < instant(to))
}

pub(super) fn wire_line(line: &InvoiceLine, now: Timestamp) -> wire::InvoiceLine {
    wire::InvoiceLine {
        number: line.number,
        kind: wire_kind(line).into(),
        credits: line.credits.to_string(),
        amount: line.amount.to_string(),
        currency: line.currency.clone(),
        made_at: Some(timestamp(line.at.unwrap_or(line.to).min(now))),
        covers_from: Some(timestamp(line.from)),
        covers_to: Some(timestamp(line.to)),
        open: line.at.is_none() && line.to > now,
        what: line.what.as_ref().map(ToString::to_string).unwrap_or_default(),
    }
}

const fn wire_kind(line: &InvoiceLine) -> wire::InvoiceLineKind {
    match line.kind {
        // A period's overage has no instant of its own; what is owed at an account's end has.
        LineKind::Overage if line.at.is_some() => wire::InvoiceLineKind::Debt,
        LineKind::Fee => wire::InvoiceLineKind::Fee,
        LineKind::Commitment => wire::InvoiceLineKind::Commitment,
        LineKind::Pack => wire::InvoiceLineKind::Pack,
        LineKind::Overage => wire::InvoiceLineKind::Overage,
        LineKind::Refund => wire::InvoiceLineKind::Refund,
    }
}

pub(super) fn wire_alert(alert: &Alert) -> wire::Alert {
    let counter = alert.counter.as_ref();
    wire::Alert {
        number: alert.number,
        name: alert.name.to_string(),
        raised_at: Some(timestamp(alert.at)),
        cap: counter.map(|key| key.cap.to_string()).unwrap_or_default(),
        scope: counter.map(|key| scope_name(&key.scope)).unwrap_or_default(),
    }
}

fn left(until: Timestamp, now: Timestamp) -> prost_types::Duration {
    let micros = until.micros_since(now);
    let nanos = i32::try_from(micros % 1_000_000 * 1000).unwrap_or_default();
    prost_types::Duration { seconds: micros / 1_000_000, nanos }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gaps() {
        let mut token_ = String::new();
        let mut seen = Vec::new();
        loop {
            let page = Page::read(3, &token_).unwrap();
            let (items, next) = page.cut((1..=7u64).collect(), |n| *n);
            seen.extend(items);
            if next.is_empty() {
                break;
            }
            token_ = next;
        }
        assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7]);
        assert!(Page::read(-1, "").is_err());
        assert!(Page::read(0, "!").is_err());
        assert_eq!((page_size(0).unwrap(), page_size(5000).unwrap()), (100, 1000));
    }

    #[test]
    fn a_subscription_carries_the_negotiated_contract() {
        let plain = wire::SubscribeRequest { plan: "basic".to_owned(), ..Default::default() };
        let full = wire::SubscribeRequest {
            seats: Some(3),
            addons: vec!["more".to_owned()],
            overrides: "{price: 0.08}".to_owned(),
            ..plain.clone()
        };
        let overlay = |request| match subscribe(request).unwrap() {
            Command::Subscribe { overlay, .. } => *overlay,
            other => panic!("{other:?}"),
        };
        assert_eq!(overlay(&plain), Overlay::default());
        let read = overlay(&full);
        assert_eq!((read.seats, read.overrides.as_deref()), (Some(3), Some("{price: 0.08}")));
        assert_eq!(read.addons, [Name::parse("more").unwrap()]);
        assert!(subscribe(&wire::SubscribeRequest { addons: vec![String::new()], ..plain }).is_err());
    }

    #[test]
    fn a_grant_is_checked_at_the_door() {
        let plain = wire::GrantRequest { credits: "5".to_owned(), ..Default::default() };
        assert!(grant(&plain).is_ok());
        let second = prost_types::Duration { seconds: 1, nanos: 0 };
        let negative = prost_types::Duration { seconds: -1, nanos: 0 };
        for bad in [
            wire::GrantRequest { credits: "-5".to_owned(), ..plain.clone() },
            wire::GrantRequest { credits: "0".to_owned(), ..plain.clone() },
            wire::GrantRequest { credits: "1e3".to_owned(), ..plain.clone() },
            wire::GrantRequest { species: "gold".to_owned(), ..plain.clone() },
            wire::GrantRequest { pool: "department:x".to_owned(), ..plain.clone() },
            wire::GrantRequest { price: Some("-1".to_owned()), ..plain.clone() },
            wire::GrantRequest { starts_in: Some(negative), ..plain.clone() },
            wire::GrantRequest { lasts: Some(prost_types::Duration::default()), ..plain.clone() },
        ] {
            assert!(grant(&bad).is_err(), "{bad:?}");
        }
        assert!(grant(&wire::GrantRequest { lasts: Some(second), ..plain }).is_ok());
    }
}
