//! Between the messages of `AccountService` and domain values: the contract, packs, moves of credits, refunds, usage.

use std::collections::BTreeMap;

use tonic::Status;

use super::account_wire::{account, name, pool, some_credits};
use super::lease_wire::instant;
use super::ledger_api::{Usage, UsageAsk, UsageBy};
use super::ledger_status::invalid;
use super::proto::ledger_v1 as wire;
use crate::engine::account::{Command, TransferAsk};
use crate::types::{BlockId, Name, ReservationId, Timestamp};

/// Groups of one answer; the smallest of more are put together.
const GROUPS_MAX: usize = 10_000;

pub(super) fn change_plan(request: &wire::ChangePlanRequest) -> Result<Command, Status> {
    let plan = name("INVALID_PLAN", "plan", &request.plan)?;
    Ok(Command::ChangePlan { plan, now: is_now(request.when)? })
}

pub(super) fn cancel(request: &wire::CancelRequest) -> Result<Command, Status> {
    Ok(Command::Cancel { now: is_now(request.when)? })
}

pub(super) fn set_cap(request: &wire::SetCapRequest) -> Result<Command, Status> {
    if request.cap.trim().is_empty() {
        let what =
            "`cap` is missing; give its keys, such as `{name: daily, per: user, limit: 100, every: day}`";
        return Err(invalid("INVALID_OVERRIDES", "cap", what.to_owned()));
    }
    Ok(Command::SetCap { cap: request.cap.clone() })
}

fn is_now(when: i32) -> Result<bool, Status> {
    match wire::ChangeTime::try_from(when) {
        Ok(wire::ChangeTime::Now) => Ok(true),
        Ok(wire::ChangeTime::Unspecified | wire::ChangeTime::Renewal) => Ok(false),
        Err(_) => Err(unknown("when", when)),
    }
}

fn by_member(by: i32) -> Result<bool, Status> {
    match wire::Actor::try_from(by) {
        Ok(wire::Actor::Member) => Ok(true),
        Ok(wire::Actor::Unspecified | wire::Actor::Admin) => Ok(false),
        Err(_) => Err(unknown("by", by)),
    }
}

fn unknown(field: &str, value: i32) -> Status {
    invalid("INVALID_ENUM", field, format!("`{field}` has no value {value}"))
}

pub(super) fn purchase(request: &wire::PurchaseRequest) -> Result<Command, Status> {
    let pack = name("INVALID_PACK", "pack", &request.pack)?;
    let by_member = by_member(request.by)?;
    if by_member && request.user.is_empty() {
        return Err(invalid(
            "INVALID_USER",
            "user",
            "`user` is missing; name the member who buys".to_owned(),
        ));
    }
    let user = Some(request.user.as_str()).filter(|user| !user.is_empty());
    let user = user.map(|user| name("INVALID_USER", "user", user)).transpose()?;
    Ok(Command::Purchase { pack, by_member, user })
}

pub(super) fn award(request: &wire::AwardRequest) -> Result<Command, Status> {
    let user = name("INVALID_USER", "user", &request.user)?;
    Ok(Command::Award { user, incentive: name("INVALID_INCENTIVE", "incentive", &request.incentive)? })
}

pub(super) fn allocate(request: &wire::AllocateRequest) -> Result<Command, Status> {
    let (from, to) = (pool(&request.from)?, pool(&request.to)?);
    if from == to {
        return Err(invalid("INVALID_POOL", "to", "`to` is the pool that gives".to_owned()));
    }
    Ok(Command::Allocate { from, to, credits: some_credits(&request.credits)? })
}

pub(super) fn transfer(request: &wire::TransferRequest) -> Result<Command, Status> {
    let to = Some(request.to_account.as_str()).filter(|to| !to.is_empty() && *to != request.account);
    Ok(Command::Transfer(Box::new(TransferAsk {
        from: pool(&request.from)?,
        account: to.map(account).transpose()?,
        to: pool(&request.to)?,
        credits: some_credits(&request.credits)?,
        by_member: by_member(request.by)?,
    })))
}

/// `open`: the run of a handle, and until when it may live.
pub(super) fn refund(
    request: &wire::RefundRequest,
    open: impl FnOnce(&str) -> Option<(ReservationId, Timestamp)>,
) -> Result<Command, Status> {
    match (request.reservation.is_empty(), request.grant) {
        (true, 0) | (false, 1..) => {
            let what = "give either `reservation`, a run, or `grant`, a purchase".to_owned();
            Err(invalid("INVALID_HANDLE", "reservation", what))
        }
        (true, grant) => {
            if !request.credits.is_empty() {
                let what = "of a purchase all that is unused is given back; leave `credits` out".to_owned();
                return Err(invalid("INVALID_CREDITS", "credits", what));
            }
            Ok(Command::RefundPurchase { block: BlockId(grant) })
        }
        (false, _) => {
            let credits = Some(request.credits.as_str()).filter(|credits| !credits.is_empty());
            let credits = credits.map(some_credits).transpose()?;
            if let Some(run) = run_id(&request.reservation) {
                return Ok(Command::Refund { run, credits, expires_at: None });
            }
            let (run, expires_at) = open(&request.reservation).ok_or_else(|| {
                let what = "`reservation` is neither a handle of this account nor the id of a run".to_owned();
                invalid("INVALID_HANDLE", "reservation", what)
            })?;
            Ok(Command::Refund { run, credits, expires_at: Some(expires_at) })
        }
    }
}

/// 32 hexadecimal digits.
fn run_id(text: &str) -> Option<ReservationId> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    digits.then(|| u128::from_str_radix(text, 16).ok().map(|id| ReservationId(id.to_be_bytes()))).flatten()
}

pub(super) fn usage(request: &wire::GetUsageRequest) -> Result<UsageAsk, Status> {
    let by = match wire::UsageGroup::try_from(request.group_by) {
        Ok(wire::UsageGroup::Unspecified) => UsageBy::Nothing,
        Ok(wire::UsageGroup::User) => UsageBy::User,
        Ok(wire::UsageGroup::Team) => UsageBy::Team,
        Ok(wire::UsageGroup::Agent) => UsageBy::Agent,
        Ok(wire::UsageGroup::Action) => UsageBy::Action,
        Ok(wire::UsageGroup::Dimension) => {
            UsageBy::Dimension(name("INVALID_DIMENSION", "dimension", &request.dimension)?)
        }
        Err(_) => return Err(unknown("group_by", request.group_by)),
    };
    Ok(UsageAsk { from: request.from.as_ref().map(instant), to: request.to.as_ref().map(instant), by })
}

/// By name; runs without one last, together with what is past the bound.
pub(super) fn wire_usage(groups: BTreeMap<Option<Name>, Usage>) -> wire::GetUsageResponse {
    let (mut total, mut rest, mut named) = (Usage::default(), Usage::default(), Vec::new());
    for (group, usage) in groups {
        total.add(&usage);
        match group {
            Some(group) if named.len() < GROUPS_MAX => named.push(wire_group(group.as_str(), &usage)),
            _ => rest.add(&usage),
        }
    }
    if rest != Usage::default() {
        named.push(wire_group("", &rest));
    }
    wire::GetUsageResponse { groups: named, total: Some(wire_group("", &total)) }
}

fn wire_group(name: &str, usage: &Usage) -> wire::Usage {
    let paid_by = usage.paid_by.iter().filter(|(_, credits)| !credits.is_zero());
    wire::Usage {
        name: name.to_owned(),
        runs: usage.runs,
        charged: usage.charged.to_string(),
        debt: usage.debt.to_string(),
        paid_by: paid_by.map(|(species, credits)| (species.to_string(), credits.to_string())).collect(),
    }
}

impl Usage {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        self.runs = self.runs.saturating_add(other.runs);
        self.charged += other.charged;
        self.debt += other.debt;
        for (species, credits) in &other.paid_by {
            *self.paid_by.entry(*species).or_default() += *credits;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refund_names_a_run_or_a_purchase() {
        let none = |_: &str| None;
        let plain = wire::RefundRequest::default();
        assert!(refund(&plain, none).is_err());
        let run = wire::RefundRequest { reservation: "0".repeat(32), ..plain.clone() };
        assert!(matches!(refund(&run, none), Ok(Command::Refund { credits: None, expires_at: None, .. })));
        assert!(refund(&wire::RefundRequest { grant: 3, ..run.clone() }, none).is_err());
        assert!(refund(&wire::RefundRequest { credits: "0".to_owned(), ..run }, none).is_err());
        let bought = wire::RefundRequest { grant: 3, ..plain.clone() };
        assert!(matches!(refund(&bought, none), Ok(Command::RefundPurchase { block: BlockId(3) })));
        assert!(refund(&wire::RefundRequest { credits: "1".to_owned(), ..bought }, none).is_err());
        let handle = wire::RefundRequest { reservation: "x".to_owned(), ..plain };
        assert!(refund(&handle, none).is_err());
        let open = |_: &str| Some((ReservationId::default(), Timestamp::default()));
        assert!(matches!(refund(&handle, open), Ok(Command::Refund { expires_at: Some(_), .. })));
    }

    #[test]
    fn what_moves_is_more_than_nothing_and_goes_elsewhere() {
        let plain = wire::AllocateRequest {
            to: "team:red".to_owned(),
            credits: "5".to_owned(),
            ..wire::AllocateRequest::default()
        };
        assert!(allocate(&plain).is_ok());
        for bad in [
            wire::AllocateRequest { to: "account".to_owned(), ..plain.clone() },
            wire::AllocateRequest { to: "red".to_owned(), ..plain.clone() },
            wire::AllocateRequest { credits: "-5".to_owned(), ..plain.clone() },
            wire::AllocateRequest { credits: String::new(), ..plain },
        ] {
            assert!(allocate(&bad).is_err(), "{bad:?}");
        }
        let by = wire::PurchaseRequest { pack: "small".to_owned(), by: 2, ..Default::default() };
        assert!(purchase(&by).is_err(), "a member has a name");
        assert!(purchase(&wire::PurchaseRequest { by: 7, ..by }).is_err());
    }
}
