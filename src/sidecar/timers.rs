//! What time does at a sidecar: runs lapse, are promoted, leases are renewed.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::calls::{Away, take_in};
use super::core::Core;
use super::upstream::Upstream;
use crate::runtime::Shutdown;
use crate::types::AccountId;

/// How exactly time is kept where no call looks: a lapse may be noticed so much later.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Renewals under way at once: a ledger that comes back is not flooded.
const RENEWALS_MAX: usize = 64;

/// A renewal that takes longer is tried again.
const RENEW_WITHIN: Duration = Duration::from_secs(5);

impl<U: Upstream> Core<U> {
    /// Watches the clock until the shutdown.
    pub async fn keep_time(self: Arc<Self>, shutdown: Shutdown) {
        if self.shards.clock.clock().is_manual() {
            return shutdown.requested().await;
        }
        let room = Arc::new(Semaphore::new(RENEWALS_MAX));
        while !shutdown.is_requested() {
            self.look();
            for account in self.shards.renewals() {
                let (core, room, shutdown) = (Arc::clone(&self), Arc::clone(&room), shutdown.clone());
                tokio::spawn(async move {
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = core.renew(&account, &room) => {}
                    }
                });
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = self.shards.renewing.notified() => {}
            }
        }
    }

    /// Does what is due. Before the ledger's clock is known in this boot, nothing is; nor where the journal takes no more.
    pub(super) fn look(&self) {
        if self.shards.journal.ended().is_some() {
            self.shards.parted.notify_one();
        }
        if !self.shards.clock.is_learned() || self.shards.door().is_err() {
            return;
        }
        for account in self.shards.due(self.shards.clock.now()) {
            // A visit does what is due.
            let _known = self.shards.visit(&account, |_| ());
        }
    }

    /// Asks for more time, once; where that fails, the wallet says when it is tried again.
    pub(super) async fn renew(&self, account: &AccountId, room: &Semaphore) {
        let renewed = async {
            let _room = room.acquire().await;
            self.renew_once(account).await
        };
        let renewed = matches!(tokio::time::timeout(RENEW_WITHIN, renewed).await, Ok(Ok(())));
        let _known = self.shards.visit(account, |desk| {
            desk.slot.renewing = false;
            if !renewed {
                desk.slot.wallet.renewal_failed(desk.here, desk.tape);
            }
        });
    }

    async fn renew_once(&self, account: &AccountId) -> Result<(), Away> {
        if !self.link.is_online() {
            return Err(Away::Unreachable);
        }
        let Some(turn) = self.shards.visit(account, |desk| desk.slot.turn()) else { return Ok(()) };
        let turn = turn?;
        let _held = turn.lock().await;
        let ask = self.shards.visit(account, |desk| {
            let wallet = &mut desk.slot.wallet;
            wallet.lease.as_ref()?;
            let more = wallet.wants_more(desk.here.at);
            let mut ask = if more { wallet.growth(desk.here.at) } else { wallet.renewal(desk.here.at) };
            ask.burn += std::mem::take(&mut desk.slot.burn);
            Some(ask)
        });
        let Some(Ok(Some(ask))) = ask else { return Ok(()) };
        match self.exchange(account, ask, RENEW_WITHIN).await? {
            Some((grant, asked_at)) => {
                let taken = self.shards.visit(account, |desk| take_in(desk, &grant, asked_at));
                taken.transpose()?;
            }
            None => {
                let _known = self.shards.visit(account, |desk| desk.slot.wallet.closed());
            }
        }
        Ok(())
    }
}
