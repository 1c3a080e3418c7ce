//! Asking the ledger for leases: of one account, or of several in one call.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls::Away;
use super::core::Core;
use super::upstream::Upstream;
use crate::grpc::lease_client::{Leased, LinkError};
use crate::lease::{Ask, Grant};
use crate::runtime::{Boottime, LedgerClock};
use crate::types::{AccountId, Credits, Timestamp};

/// When an ask was sent: in ledger time, and on the clock that runs through suspend.
#[derive(Clone, Copy)]
struct Moment {
    at: Timestamp,
    boottime: Boottime,
}

impl Moment {
    fn of(clock: &LedgerClock) -> Self {
        Self { at: clock.now(), boottime: clock.clock().boottime() }
    }
}

impl<U: Upstream> Core<U> {
    /// Asks for a lease. `None`: nobody has subscribed the account.
    pub async fn exchange(
        &self,
        account: &AccountId,
        mut ask: Ask,
        wait: Duration,
    ) -> Result<Option<(Box<Grant>, Timestamp)>, Away> {
        // What was given back or charged so far is known to the ledger before it is asked.
        self.shards.outbox.flushed().await;
        let who = self.link.sender().ok_or(Away::Unreachable)?;
        self.number(account, &mut ask)?;
        let asked = Moment::of(&self.shards.clock);
        let leased = self.upstream.lease(who, account, &ask, wait).await;
        self.leased(account, ask.burn, asked, leased).await
    }

    /// Asks for leases of several accounts in one call; the answers are in the order of the asks.
    pub async fn exchange_all(
        &self,
        asks: Vec<(AccountId, Ask)>,
        wait: Duration,
    ) -> Vec<(AccountId, Result<Option<(Box<Grant>, Timestamp)>, Away>)> {
        self.shards.outbox.flushed().await;
        let Some(who) = self.link.sender() else {
            return asks.into_iter().map(|(account, _)| (account, Err(Away::Unreachable))).collect();
        };
        let mut numbered = Vec::with_capacity(asks.len());
        let mut done = Vec::with_capacity(asks.len());
        for (account, mut ask) in asks {
            match self.number(&account, &mut ask) {
                Ok(()) => numbered.push((account, ask)),
                Err(why) => done.push((account, Err(why))),
            }
        }
        let asked = Moment::of(&self.shards.clock);
        let answers = self.upstream.lease_all(who, &numbered, wait).await;
        for ((account, ask), leased) in numbered.into_iter().zip(answers) {
            let came = self.leased(&account, ask.burn, asked, leased).await;
            done.push((account, came));
        }
        done
    }

    async fn leased(
        &self,
        account: &AccountId,
        burn: Credits,
        asked: Moment,
        leased: Result<Leased, LinkError>,
    ) -> Result<Option<(Box<Grant>, Timestamp)>, Away> {
        match leased {
            Ok(Leased::Granted(grant)) => {
                self.learn(asked.boottime, grant.at);
                self.known(grant.terms.version).await;
                Ok(Some((grant, asked.at)))
            }
            Ok(Leased::Unknown) => Ok(None),
            Err(why) => {
                tracing::debug!(%account, %why, "no lease");
                let _known = self.shards.visit(account, |desk| desk.slot.burn += burn);
                let learning = matches!(why, LinkError::Learning(_));
                Err(if learning { Away::Known } else { Away::Unreachable })
            }
        }
    }

    /// Makes an ask ready to be sent.
    fn number(&self, account: &AccountId, ask: &mut Ask) -> Result<(), Away> {
        let numbered = self.shards.visit(account, |desk| {
            if desk.slot.left {
                return false;
            }
            ask.totals = desk.slot.wallet.totals();
            ask.number = self.asks.fetch_add(1, Ordering::Relaxed);
            desk.slot.asked = ask.number;
            true
        });
        // One that is not in memory has nothing to tell: its asks begin anew, and rise.
        let numbered = numbered.transpose()?.unwrap_or_else(|| {
            ask.number = self.asks.fetch_add(1, Ordering::Relaxed);
            true
        });
        if numbered { Ok(()) } else { Err(Away::Known) }
    }
}
