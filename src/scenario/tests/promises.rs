//! What an authorise promises where everybody is in touch: it passes no hard cap and leaves no debt, and it is not refused
//! for lack of credits that there are.

use std::collections::BTreeMap;

use super::play::carry_out;
use crate::credit::CapKey;
use crate::engine::account::Account;
use crate::playbook::cap::named;
use crate::playbook::pooling::PoolScope;
use crate::scenario::operation::Unread;
use crate::scenario::value::Value;
use crate::scenario::world::World;
use crate::types::{AccountId, Credits};

/// How an account stood before.
pub struct Promises {
    account: AccountId,
    debt: Credits,
    used: BTreeMap<CapKey, Credits>,
    available: Credits,
}

impl Promises {
    /// `None` where somebody is out of touch, or holds what nobody answers for.
    pub fn of(world: &World, text: &str) -> Option<Self> {
        let (_, account) = text.split_once("account: ").filter(|_| text.starts_with("authorize"))?;
        let id = AccountId::parse(account.split(',').next()?).ok()?;
        let account = world.accounts.get(&id)?;
        let known = |sidecar| world.nodes.values().any(|node| node.reachable() && node.id == sidecar);
        let in_touch = world.nodes.values().all(|node| node.reachable())
            && account.leases.keys().all(|sidecar| known(*sidecar))
            && account.seals.is_empty();
        in_touch.then(|| Self {
            debt: debt(account),
            used: account.book.counters.iter().map(|(key, counter)| (key.clone(), counter.used())).collect(),
            available: account.balance(world.at, &world.fresh_totals(&id)).available,
            account: id,
        })
    }

    pub fn kept(&self, world: &World, text: &str, done: &Result<Value, Unread>) -> Result<(), String> {
        let Ok(Value::Map(reply)) = done else { return Ok(()) };
        let account = &world.accounts[&self.account];
        let Some(contract) = &account.contract else { return Ok(()) };
        if reply.get("enforced") != Some(&Value::Bool(true)) {
            return Ok(());
        }
        let debt = debt(account);
        if debt > self.debt {
            return Err(format!("debt was {} and is {debt}", self.debt));
        }
        for (key, counter) in account.book.counters.iter() {
            let before = self.used.get(key).copied().unwrap_or_default();
            let cap = named(&contract.plan, key.cap.as_str()).filter(|cap| !cap.soft);
            if let Some(cap) = cap.filter(|cap| counter.used() > cap.limit().max(before)) {
                return Err(format!("{key:?} has used {} of {}", counter.used(), cap.limit()));
            }
        }
        let exhausted = ["CREDITS_EXHAUSTED", "BASIC_ONLY"]
            .iter()
            .any(|reason| reply.get("reason") == Some(&Value::Text((*reason).to_owned())));
        if exhausted && contract.plan.pooling.scope == PoolScope::Account && !text.contains("parent: ") {
            let needs = self.needs(world, text);
            if needs.is_positive() && needs <= self.available {
                return Err(format!("{} were available, {needs} refused", self.available));
            }
        }
        Ok(())
    }

    /// What the run would hold if there were credits enough.
    fn needs(&self, world: &World, text: &str) -> Credits {
        let mut rich = world.clone();
        let given = format!("grant: {{account: {}, credits: 1000000}}", self.account);
        carry_out(&mut rich, "s1", &given).unwrap();
        match carry_out(&mut rich, "s1", text) {
            Ok(Value::Map(reply)) => match (reply.get("held"), reply.get("charged")) {
                (Some(Value::Number(held)), Some(Value::Number(charged))) => {
                    Credits::new(held + charged).unwrap()
                }
                _ => Credits::ZERO,
            },
            _ => Credits::ZERO,
        }
    }
}

fn debt(account: &Account) -> Credits {
    account.book.pools.iter().map(|pool| pool.debt).sum()
}
