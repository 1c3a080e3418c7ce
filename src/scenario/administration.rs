//! Operations about accounts.

use super::operation::{Keys, Unread};
use super::runs::{Done, by_species};
use super::value::{Reply, Value};
use super::world::{World, key};
use crate::credit::PoolId;
use crate::credit::invoice::LineKind;
use crate::credit::path::has_pool;
use crate::credit::price::PeriodOverage;
use crate::engine::account::{Account, Command, GrantAsk, Reply as Written};
use crate::playbook::Feature;
use crate::playbook::draw_order::Species;
use crate::playbook::{Severity, check, load};
use crate::types::{AccountId, Credits, Length, Money};

impl World {
    pub fn subscribe(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let plan = keys.name("plan")?.ok_or_else(|| "`plan` is missing".to_owned())?;
        let overlay = Box::new(keys.overlay()?);
        let zone = keys.text("zone").unwrap_or("UTC").to_owned();
        let command = Command::Subscribe { plan, zone, key: key(&account), overlay };
        self.administer(&account, &command).map(|_| Reply::new())
    }

    pub fn switch(&mut self, keys: &Keys<'_>, command: &Command) -> Done {
        self.administer(&keys.account()?, command).map(|_| Reply::new())
    }

    pub fn set_overage_limit(&mut self, keys: &Keys<'_>) -> Done {
        let credits = keys.credits()?.ok_or_else(|| "`credits` is missing".to_owned())?;
        self.switch(keys, &Command::SetOverageLimit { credits })
    }

    pub fn grant(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let word = keys.text("species").unwrap_or("on_demand");
        let species =
            Species::from_word(word).ok_or_else(|| format!("`species`: no species is called `{word}`"))?;
        let pool = keys.text("pool").unwrap_or("account");
        let ask = GrantAsk {
            credits: keys.credits()?.ok_or_else(|| "`credits` is missing".to_owned())?,
            species,
            starts: keys.read::<Length>("starts")?,
            lasts: keys.read::<Length>("lasts")?,
            priority: keys.read("priority")?.unwrap_or(0),
            price: keys.read::<Money>("price")?,
            pool: PoolId::parse(pool).ok_or_else(|| format!("`pool`: `{pool}` is not a pool"))?,
        };
        let written = self.administer(&account, &Command::Grant(Box::new(ask)))?;
        if let (Written::Granted(block), Some(name)) = (written, keys.text("as")) {
            self.grants.insert(name.to_owned(), block);
        }
        Ok(Reply::new())
    }

    pub fn purchase(&mut self, keys: &Keys<'_>) -> Done {
        let by_member = match keys.text("by") {
            None | Some("admin") => false,
            Some("member") => true,
            Some(other) => {
                return Err(format!("`by`: `{other}` is neither `admin` nor `member`").into());
            }
        };
        let pack = keys.name("pack")?.ok_or_else(|| "`pack` is missing".to_owned())?;
        let command = Command::Purchase { pack, by_member, user: keys.name("user")? };
        let mut reply = Reply::new();
        if let Written::Purchased(block, price) = self.administer(&keys.account()?, &command)? {
            if let Some(name) = keys.text("as") {
                self.grants.insert(name.to_owned(), block);
            }
            reply.insert("price".to_owned(), price.into());
        }
        Ok(reply)
    }

    pub fn award(&mut self, keys: &Keys<'_>) -> Done {
        let user = keys.name("user")?.ok_or_else(|| "`user` is missing".to_owned())?;
        let incentive = keys.name("incentive")?.ok_or_else(|| "`incentive` is missing".to_owned())?;
        let mut reply = Reply::new();
        let written = self.administer(&keys.account()?, &Command::Award { user, incentive })?;
        if let Written::Awarded(_, credits) = written {
            reply.insert("credits".to_owned(), credits.into());
        }
        Ok(reply)
    }

    pub fn allocate(&mut self, keys: &Keys<'_>) -> Done {
        let credits = keys.credits()?.ok_or_else(|| "`credits` is missing".to_owned())?;
        let command = Command::Allocate { from: keys.pool("from")?, to: keys.pool("to")?, credits };
        self.switch(keys, &command)
    }

    pub fn void(&mut self, keys: &Keys<'_>) -> Done {
        let name = keys.wanted("grant")?;
        let block = *self.grants.get(name).ok_or_else(|| format!("no grant is named `{name}`"))?;
        let written = self.administer(&keys.account()?, &Command::Void { block })?;
        let mut reply = Reply::new();
        if let Written::Withdrawn(credits) = written {
            reply.insert("credits".to_owned(), credits.into());
        }
        Ok(reply)
    }

    /// An administrator's write; what is idle at sidecars comes back first.
    pub fn administer(&mut self, account: &AccountId, command: &Command) -> Result<Written, Unread> {
        self.recall_all(account);
        self.at_ledger(account, |work| work.administer(command, None))
            .map_err(|refusal| Unread::said(refusal.reason(), &refusal))
    }

    pub fn publish(&mut self, source: &str) -> Done {
        let playbook = load(source)
            .map_err(|report| Unread::said("PLAYBOOK_INVALID", &report.in_file("the playbook")))?;
        let admitted = self.playbooks.admits(&playbook, self.at);
        admitted.map_err(|refusal| Unread::said(refusal.reason(), &refusal))?;
        self.playbooks.publish_at(playbook, self.at);
        // Where it is in force at once, accounts may move to it at once.
        let accounts: Vec<AccountId> = self.accounts.keys().cloned().collect();
        for account in accounts {
            self.at_ledger(&account, |_| ());
        }
        Ok(Reply::new())
    }

    pub fn balance(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let pool = keys.text("pool").map(|_| keys.pool("pool")).transpose()?;
        let fresh = self.fresh_totals(&account);
        let state = self.accounts.get(&account).filter(|account| account.contract.is_some());
        let state = state.ok_or(Unread::of("ACCOUNT_UNKNOWN"))?;
        let pooling = state.contract.as_ref().map(|contract| contract.plan.pooling).unwrap_or_default();
        if pool.as_ref().is_some_and(|pool| !has_pool(&pooling, pool)) {
            return Err(Unread::of("POOL_UNKNOWN"));
        }
        let balance = state.balance_of(pool.as_ref(), self.at, &fresh);
        let by: Vec<(Species, Credits)> = balance.by.into_iter().collect();
        Ok(Reply::from([
            ("available".to_owned(), balance.available.into()),
            ("held".to_owned(), balance.held.into()),
            ("spent".to_owned(), balance.spent.into()),
            ("lapsed".to_owned(), balance.lapsed.into()),
            ("debt".to_owned(), balance.debt.into()),
            ("by".to_owned(), by_species(&by)),
            ("overage".to_owned(), balance.overage.into()),
            ("period_ends".to_owned(), balance.period_ends.to_string().into()),
        ]))
    }

    pub fn features(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let contract = self.accounts.get(&account).and_then(|account| account.contract.as_ref());
        let features = &contract.ok_or(Unread::of("ACCOUNT_UNKNOWN"))?.plan.features;
        Ok(features.iter().map(|(name, feature)| (name.clone(), value(feature))).collect())
    }

    /// The alerts raised since the last look.
    pub fn alerts(&mut self, keys: &Keys<'_>) -> Result<Value, Unread> {
        let account = keys.account()?;
        let state = self.accounts.get(&account).ok_or(Unread::of("ACCOUNT_UNKNOWN"))?;
        let looked = self.looked.entry(account).or_default();
        let names = state.alert_names().skip(looked.0).map(|name| name.as_str().into()).collect();
        looked.0 = state.alerts.len();
        Ok(Value::List(names))
    }

    /// The billing lines since the last look; overage since then is one line.
    pub fn invoice(&mut self, keys: &Keys<'_>) -> Done {
        let account = keys.account()?;
        let state = self.accounts.get(&account).ok_or(Unread::of("ACCOUNT_UNKNOWN"))?;
        let looked = self.looked.entry(account).or_default();
        let lines = billed(state, &looked.1, looked.2);
        (looked.1, looked.2) = (state.overage.clone(), state.lines.len());
        Ok(Reply::from([("lines".to_owned(), Value::List(lines))]))
    }

    /// What `playbook check` says of a text, by the choices' numbers.
    pub fn check(source: &str) -> Reply {
        let report = check(source);
        let list = |severity| {
            let mut choices = report.choices(severity);
            choices.sort();
            Value::List(choices.into_iter().map(Value::from).collect())
        };
        Reply::from([
            ("errors".to_owned(), list(Severity::Error)),
            ("warnings".to_owned(), list(Severity::Warning)),
        ])
    }
}

/// Lines beyond the first `known` ones; overage since `before` is one line, where its first credits were spent.
fn billed(account: &Account, before: &[PeriodOverage], known: usize) -> Vec<Value> {
    let (mut credits, mut amount, mut place) = (Credits::ZERO, Money::ZERO, None);
    for period in &account.overage {
        let none = PeriodOverage::new(period.start);
        let seen = before.iter().find(|seen| seen.start == period.start).unwrap_or(&none);
        if seen.spent != period.spent || seen.amount != period.amount {
            credits += period.spent - seen.spent;
            amount += period.amount - seen.amount;
            place = place.or(Some(period.lines.max(known)));
        }
    }
    let line = |kind: LineKind, credits: Credits, amount: Money| {
        Value::Map(Reply::from([
            ("kind".to_owned(), kind.word().into()),
            ("credits".to_owned(), credits.into()),
            ("amount".to_owned(), amount.into()),
        ]))
    };
    let mut lines = Vec::new();
    let mut at = None;
    for (index, billed) in account.lines.iter().enumerate().skip(known) {
        if at.is_none() && place.is_some_and(|place| place <= index) {
            at = Some(lines.len());
        }
        if billed.kind == LineKind::Overage {
            (credits, amount) = (credits + billed.credits, amount + billed.amount);
            at = at.or(Some(lines.len()));
        } else {
            lines.push(line(billed.kind, billed.credits, billed.amount));
        }
    }
    if !credits.is_zero() || !amount.is_zero() {
        lines.insert(at.unwrap_or(lines.len()), line(LineKind::Overage, credits, amount));
    }
    lines
}

fn value(feature: &Feature) -> Value {
    match feature {
        Feature::Bool(flag) => (*flag).into(),
        Feature::Number(text) => text.parse().map_or_else(|_| text.as_str().into(), Value::Number),
        Feature::Text(text) => text.as_str().into(),
        Feature::List(items) => Value::List(items.iter().map(value).collect()),
        Feature::Map(items) => Value::Map(items.iter().map(|(k, v)| (k.clone(), value(v))).collect()),
    }
}
