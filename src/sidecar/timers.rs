//! What time does at a sidecar: runs lapse, are promoted, leases come due for renewal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::core::Core;
use super::pace::Pace;
use super::upstream::Upstream;
use crate::grpc::lease_client::LEASES_MAX;
use crate::runtime::Shutdown;

/// How exactly time is kept where no call looks: a lapse may be noticed so much later.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Renewals under way at once: a ledger that comes back is not flooded.
const RENEWALS_MAX: usize = 64;

impl<U: Upstream> Core<U> {
    /// Watches the clock until the shutdown.
    pub async fn keep_time(self: Arc<Self>, shutdown: Shutdown) {
        if self.shards.clock.clock().is_manual() {
            return shutdown.requested().await;
        }
        let room = Arc::new(Semaphore::new(RENEWALS_MAX));
        while !shutdown.is_requested() {
            self.look().await;
            for accounts in self.shards.renewals().chunks(LEASES_MAX) {
                let (core, room, shutdown) = (Arc::clone(&self), Arc::clone(&room), shutdown.clone());
                let accounts = accounts.to_vec();
                tokio::spawn(async move {
                    tokio::select! {
                        () = shutdown.requested() => {}
                        () = core.renew_all(accounts, &room) => {}
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
    pub(super) async fn look(&self) {
        if self.shards.journal.ended().is_some() {
            self.shards.parted.notify_one();
        }
        if !self.shards.clock.is_learned() || self.shards.door().is_err() {
            return;
        }
        let mut pace = Pace::default();
        for account in self.shards.due(self.shards.clock.now()) {
            pace.step().await;
            // A visit does what is due.
            let _known = self.shards.visit(&account, |_| ());
        }
    }
}
