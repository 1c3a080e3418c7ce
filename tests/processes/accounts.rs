//! Operations about accounts and their contracts, each asked of the ledger.

use bursar::grpc::proto::ledger_v1 as wire;
use bursar::playbook::tree::{Kind, Mark, Node};
use bursar::scenario::Site;
use bursar::scenario::operation::{Keys, Unread};
use bursar::scenario::value::Reply;
use bursar::types::{Length, Timestamp, calendar};
use jiff::tz::TimeZone;

use crate::site::Processes;
use crate::words::{Done, answered, duration, number, owned};

/// A write whose answer a step does not look into.
macro_rules! written {
    ($self:ident, $client:ident . $call:ident ( $request:expr )) => {{
        answered($self.runtime.block_on($self.$client.$call($request)))?;
        Ok(Reply::new())
    }};
}

impl Processes<'_> {
    pub fn subscribe(&mut self, keys: &Keys<'_>) -> Done {
        let overlay = keys.overlay()?;
        let request = wire::SubscribeRequest {
            account: keys.wanted("account")?.to_owned(),
            plan: owned(keys, "plan"),
            time_zone: owned(keys, "zone"),
            seats: overlay.seats,
            addons: overlay.addons.iter().map(ToString::to_string).collect(),
            overrides: overlay.overrides.unwrap_or_default(),
            request_id: self.request_id(),
        };
        written!(self, accounts.subscribe(request))
    }

    pub fn suspend(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.wanted("account")?.to_owned();
        let request = wire::SuspendRequest { account, request_id: self.request_id(), ..Default::default() };
        written!(self, accounts.suspend(request))
    }

    pub fn resume(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.wanted("account")?.to_owned();
        let request = wire::ResumeRequest { account, request_id: self.request_id(), ..Default::default() };
        written!(self, accounts.resume(request))
    }

    pub fn change_plan(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::ChangePlanRequest {
            account: keys.wanted("account")?.to_owned(),
            plan: keys.wanted("plan")?.to_owned(),
            when: when(keys)?,
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.change_plan(request))
    }

    pub fn set_seats(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::SetSeatsRequest {
            account: keys.wanted("account")?.to_owned(),
            seats: keys.read("seats")?.ok_or_else(|| "`seats` is missing".to_owned())?,
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.set_seats(request))
    }

    pub fn cancel(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::CancelRequest {
            account: keys.wanted("account")?.to_owned(),
            when: when(keys)?,
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.cancel(request))
    }

    /// The cap is written as a playbook writes one.
    pub fn set_cap(&mut self, keys: &Keys<'_>) -> Done {
        let cap = keys.0.iter().filter(|entry| entry.key != "account").cloned().collect();
        let request = wire::SetCapRequest {
            account: keys.wanted("account")?.to_owned(),
            cap: Node { mark: Mark::default(), kind: Kind::Map(cap) }.in_one_line(),
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.set_cap(request))
    }

    pub fn set_overage_limit(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::SetOverageLimitRequest {
            account: keys.wanted("account")?.to_owned(),
            credits: keys.text("credits").map(str::to_owned),
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.set_overage_limit(request))
    }

    pub fn allocate(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::AllocateRequest {
            account: keys.wanted("account")?.to_owned(),
            from: keys.wanted("from")?.to_owned(),
            to: keys.wanted("to")?.to_owned(),
            credits: owned(keys, "credits"),
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.allocate(request))
    }

    /// From and to are `ACCOUNT` or `ACCOUNT/pool`.
    pub fn transfer(&mut self, keys: &Keys<'_>) -> Done {
        let place = |key| {
            let text = keys.wanted(key)?;
            Ok::<_, Unread>(text.split_once('/').unwrap_or((text, "account")))
        };
        let ((account, from), (to_account, to)) = (place("from")?, place("to")?);
        let request = wire::TransferRequest {
            account: account.to_owned(),
            from: from.to_owned(),
            to_account: to_account.to_owned(),
            to: to.to_owned(),
            credits: owned(keys, "credits"),
            by: actor(keys)?,
            request_id: self.request_id(),
            ..Default::default()
        };
        written!(self, accounts.transfer(request))
    }

    pub fn purchase(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::PurchaseRequest {
            account: keys.wanted("account")?.to_owned(),
            pack: keys.wanted("pack")?.to_owned(),
            by: actor(keys)?,
            user: owned(keys, "user"),
            request_id: self.request_id(),
            ..Default::default()
        };
        let bought = answered(self.runtime.block_on(self.accounts.purchase(request)))?;
        self.name_grant(keys, bought.grant);
        Ok(Reply::from([("price".to_owned(), number(&bought.price))]))
    }

    pub fn award(&mut self, keys: &Keys<'_>) -> Done {
        let request = wire::AwardRequest {
            account: keys.wanted("account")?.to_owned(),
            user: keys.wanted("user")?.to_owned(),
            incentive: keys.wanted("incentive")?.to_owned(),
            request_id: self.request_id(),
            ..Default::default()
        };
        let awarded = answered(self.runtime.block_on(self.accounts.award(request)))?;
        Ok(Reply::from([("credits".to_owned(), number(&awarded.credits))]))
    }

    /// Of a run's charge, or of a purchase.
    pub fn refund(&mut self, keys: &Keys<'_>) -> Done {
        let request_id = self.request_id();
        let request = if keys.text("purchase").is_some() {
            let (account, grant) = (keys.wanted("account")?.to_owned(), self.granted(keys, "purchase")?);
            wire::RefundRequest { account, grant, request_id, ..Default::default() }
        } else {
            let run = self.run(keys)?;
            let (account, reservation, credits) = (run.account, run.handle, owned(keys, "credits"));
            wire::RefundRequest { account, reservation, credits, request_id, ..Default::default() }
        };
        let refunded = answered(self.runtime.block_on(self.accounts.refund(request)))?;
        Ok(Reply::from([
            ("credits".to_owned(), number(&refunded.credits)),
            ("amount".to_owned(), number(&refunded.amount)),
        ]))
    }

    pub fn grant(&mut self, keys: &Keys<'_>) -> Done {
        // Months are the caller's to count: the wire has lengths of time.
        let (now, utc) = (self.now(), TimeZone::UTC);
        let after = |at, length: Option<Length>| length.map(|length| calendar::plus(at, length, &utc));
        let starts = after(now, keys.read("starts")?);
        let ends = after(starts.unwrap_or(now), keys.read("lasts")?);
        let between = |from: Timestamp, to: Timestamp| duration(Length::Exact(to.micros_since(from)));
        let request = wire::GrantRequest {
            account: keys.wanted("account")?.to_owned(),
            credits: owned(keys, "credits"),
            species: owned(keys, "species"),
            starts_in: starts.map(|starts| between(now, starts)),
            lasts: ends.map(|ends| between(starts.unwrap_or(now), ends)),
            priority: keys.read("priority")?.unwrap_or(0),
            pool: owned(keys, "pool"),
            price: keys.text("price").map(str::to_owned),
            request_id: self.request_id(),
            ..Default::default()
        };
        let granted = answered(self.runtime.block_on(self.accounts.grant(request)))?;
        self.name_grant(keys, granted.grant);
        Ok(Reply::new())
    }

    pub fn void(&mut self, keys: &Keys<'_>) -> Done {
        let grant = self.granted(keys, "grant")?;
        let account = keys.wanted("account")?.to_owned();
        let request =
            wire::VoidRequest { account, grant, request_id: self.request_id(), ..Default::default() };
        let voided = answered(self.runtime.block_on(self.accounts.void(request)))?;
        Ok(Reply::from([("credits".to_owned(), number(&voided.credits))]))
    }

    pub fn publish(&mut self, document: &str) -> Done {
        let (document, request_id) = (document.to_owned(), self.request_id());
        let request = wire::PlaybookServicePublishRequest { document, request_id, ..Default::default() };
        answered(self.runtime.block_on(self.playbooks.publish(request))).map(|_| Reply::new())
    }

    fn name_grant(&mut self, keys: &Keys<'_>, grant: u64) {
        if let Some(name) = keys.text("as") {
            self.grants.insert(name.to_owned(), grant);
        }
    }

    fn granted(&self, keys: &Keys<'_>, key: &str) -> Result<u64, String> {
        let name = keys.wanted(key)?;
        self.grants.get(name).copied().ok_or_else(|| format!("no {key} is named `{name}`"))
    }
}

fn actor(keys: &Keys<'_>) -> Result<i32, String> {
    match keys.text("by").unwrap_or("admin") {
        "admin" => Ok(wire::Actor::Admin.into()),
        "member" => Ok(wire::Actor::Member.into()),
        other => Err(format!("`by`: `{other}` is neither `admin` nor `member`")),
    }
}

fn when(keys: &Keys<'_>) -> Result<i32, String> {
    match keys.text("when").unwrap_or("renewal") {
        "now" => Ok(wire::ChangeTime::Now.into()),
        "renewal" => Ok(wire::ChangeTime::Renewal.into()),
        other => Err(format!("`when`: `{other}` is neither `now` nor `renewal`")),
    }
}
