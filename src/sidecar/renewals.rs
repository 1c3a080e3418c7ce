//! Leases are renewed ahead of need: those that come due together in one call, each answered on its own.

use std::time::Duration;

use tokio::sync::{OwnedMutexGuard, Semaphore};

use super::calls::{Away, take_in};
use super::core::Core;
use super::upstream::Upstream;
use crate::lease::{Ask, Grant};
use crate::types::{AccountId, Timestamp};

/// A renewal that takes longer is tried again.
const RENEW_WITHIN: Duration = Duration::from_secs(5);

/// The one question to the ledger that an account may have at a time.
type Turn = OwnedMutexGuard<()>;

impl<U: Upstream> Core<U> {
    /// Asks for more time, or for more credits ahead of need, once. Where that fails, the wallet says when it is tried
    /// again.
    pub(super) async fn renew_all(&self, accounts: Vec<AccountId>, room: &Semaphore) {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for account in accounts {
            match self.turn_now(&account) {
                Some(turn) => together.push((account, turn)),
                // A run is asking for it, or it has left memory.
                None => alone.push(account),
            }
        }
        if let [_] = together.as_slice() {
            alone.extend(together.drain(..).map(|(account, _)| account));
        }
        if !together.is_empty() {
            self.renew_together(together, room).await;
        }
        for account in alone {
            self.renew(&account, room).await;
        }
    }

    /// The same for one account, in its turn.
    pub(super) async fn renew(&self, account: &AccountId, room: &Semaphore) {
        let renewed = async {
            let _room = room.acquire().await;
            self.renew_once(account).await
        };
        let renewed = matches!(tokio::time::timeout(RENEW_WITHIN, renewed).await, Ok(Ok(())));
        self.tried(account, renewed);
    }

    fn turn_now(&self, account: &AccountId) -> Option<Turn> {
        self.shards.visit(account, |desk| desk.slot.turn())?.ok()?.try_lock_owned().ok()
    }

    async fn renew_together(&self, accounts: Vec<(AccountId, Turn)>, room: &Semaphore) {
        let mut renewed = std::collections::BTreeSet::new();
        let asked = async {
            let _room = room.acquire().await;
            if !self.link.is_online() {
                return;
            }
            let mut asks = Vec::with_capacity(accounts.len());
            for (account, _) in &accounts {
                match self.renewal(account) {
                    Ok(Some(ask)) => asks.push((account.clone(), ask)),
                    Ok(None) => drop(renewed.insert(account.clone())),
                    Err(_) => {}
                }
            }
            for (account, came) in self.exchange_all(asks, RENEW_WITHIN).await {
                if came.and_then(|came| self.took(&account, came)).is_ok() {
                    renewed.insert(account);
                }
            }
        };
        let _late = tokio::time::timeout(RENEW_WITHIN, asked).await;
        for (account, _turn) in &accounts {
            self.tried(account, renewed.contains(account));
        }
    }

    async fn renew_once(&self, account: &AccountId) -> Result<(), Away> {
        if !self.link.is_online() {
            return Err(Away::Unreachable);
        }
        let Some(turn) = self.shards.visit(account, |desk| desk.slot.turn()) else { return Ok(()) };
        let turn = turn?;
        let _held = turn.lock().await;
        let Some(ask) = self.renewal(account)? else { return Ok(()) };
        let came = self.exchange(account, ask, RENEW_WITHIN).await?;
        self.took(account, came)
    }

    /// What to ask for; `None` where there is no lease any more.
    fn renewal(&self, account: &AccountId) -> Result<Option<Ask>, Away> {
        let ask = self.shards.visit(account, |desk| {
            let (wallet, at) = (&mut desk.slot.wallet, desk.here.at);
            wallet.lease.as_ref()?;
            let mut ask = if wallet.wants_more(at) { wallet.growth(at) } else { wallet.renewal(at) };
            ask.burn += std::mem::take(&mut desk.slot.burn);
            Some(ask)
        });
        Ok(ask.transpose()?.flatten())
    }

    fn took(&self, account: &AccountId, came: Option<(Box<Grant>, Timestamp)>) -> Result<(), Away> {
        let taken = self.shards.visit(account, |desk| match &came {
            Some((grant, asked_at)) => take_in(desk, grant, *asked_at),
            None => desk.slot.wallet.closed(),
        });
        taken.transpose()?;
        Ok(())
    }

    fn tried(&self, account: &AccountId, renewed: bool) {
        let _known = self.shards.visit(account, |desk| {
            desk.slot.renewing = false;
            if !renewed {
                desk.slot.wallet.renewal_failed(desk.here, desk.tape);
            }
        });
    }
}
