//! Operations about an account's contract: plans, seats, an end, caps of its own; refunds and transfers.

use super::operation::{Keys, Unread};
use super::runs::Done;
use super::value::Reply;
use super::world::World;
use crate::credit::PoolId;
use crate::engine::account::{Command, Reply as Written, TransferAsk};
use crate::playbook::tree::{Kind, Mark, Node};
use crate::types::AccountId;

impl World {
    pub fn change_plan(&mut self, keys: &Keys<'_>) -> Done {
        let plan = keys.name("plan")?.ok_or_else(|| "`plan` is missing".to_owned())?;
        self.switch(keys, &Command::ChangePlan { plan, now: is_now(keys)? })
    }

    pub fn set_seats(&mut self, keys: &Keys<'_>) -> Done {
        let seats = keys.read("seats")?.ok_or_else(|| "`seats` is missing".to_owned())?;
        self.switch(keys, &Command::SetSeats { seats })
    }

    pub fn cancel(&mut self, keys: &Keys<'_>) -> Done {
        self.switch(keys, &Command::Cancel { now: is_now(keys)? })
    }

    pub fn set_cap(&mut self, keys: &Keys<'_>) -> Done {
        let cap = keys.0.iter().filter(|entry| entry.key != "account").cloned().collect();
        let cap = Node { mark: Mark::default(), kind: Kind::Map(cap) };
        self.switch(keys, &Command::SetCap { cap: cap.in_one_line() })
    }

    pub fn refund(&mut self, keys: &Keys<'_>) -> Done {
        if let Some(name) = keys.text("purchase") {
            let block = *self.grants.get(name).ok_or_else(|| format!("no purchase is named `{name}`"))?;
            let written = self.administer(&keys.account()?, &Command::RefundPurchase { block })?;
            return Ok(refunded(written));
        }
        let run = self.run(keys)?;
        let credits = keys.credits()?;
        let expires_at = run.handle.as_ref().map(|handle| handle.expires_at);
        let written = self.administer(&run.account, &Command::Refund { run: run.id, credits, expires_at })?;
        Ok(refunded(written))
    }

    /// Between two accounts each step is one account's alone, and any of them may be the last before a crash: they are
    /// taken up where they were left.
    pub fn transfer(&mut self, keys: &Keys<'_>) -> Done {
        let ((giver, from), (taker, to)) = (place(keys.wanted("from")?)?, place(keys.wanted("to")?)?);
        let by_member = match keys.text("by").unwrap_or("admin") {
            "admin" => false,
            "member" => true,
            other => return Err(Unread::Wrong(format!("`by`: `{other}` is neither admin nor member"))),
        };
        let credits = keys.credits()?.ok_or_else(|| "`credits` is missing".to_owned())?;
        let account = (giver != taker).then(|| taker.clone());
        let ask = TransferAsk { from, account, to, credits, by_member };
        self.administer(&giver, &Command::Transfer(Box::new(ask)))?;
        let mut refused = None;
        for (id, sent) in self.at_ledger(&giver, |work| work.unanswered()) {
            let taken = match self.accounts.contains_key(&sent.to) {
                true => self
                    .at_ledger(&sent.to, |work| work.receive(&id, &sent))
                    .map_err(|e| Unread::said(e.reason(), &e)),
                false => Err(Unread::of("ACCOUNT_UNKNOWN")),
            };
            self.at_ledger(&giver, |work| work.transfer_answered(&id, taken.is_ok()));
            refused = refused.or(taken.err());
        }
        match refused {
            Some(refusal) => Err(refusal),
            None => Ok(Reply::new()),
        }
    }
}

fn refunded(written: Written) -> Reply {
    match written {
        Written::Refunded { credits, amount } => {
            Reply::from([("credits".to_owned(), credits.into()), ("amount".to_owned(), amount.into())])
        }
        _ => Reply::new(),
    }
}

fn is_now(keys: &Keys<'_>) -> Result<bool, String> {
    match keys.text("when").unwrap_or("renewal") {
        "now" => Ok(true),
        "renewal" => Ok(false),
        other => Err(format!("`when`: `{other}` is neither now nor renewal")),
    }
}

/// `ACCOUNT` or `ACCOUNT/pool`.
fn place(text: &str) -> Result<(AccountId, PoolId), String> {
    let (account, pool) = text.split_once('/').unwrap_or((text, "account"));
    let account = AccountId::parse(account).map_err(|error| format!("`{text}`: the account {error}"))?;
    let pool = PoolId::parse(pool).ok_or_else(|| format!("`{text}`: `{pool}` is not a pool"))?;
    Ok((account, pool))
}
