//! The sidecar under a test's clock: does what is due, and says when nothing is on its way any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::core::{Core, Standing};
use super::upstream::Upstream;
use crate::grpc::lease_client::LEASES_MAX;
use crate::runtime::test_clock::{Settled, Settles};

/// What has not come to rest after so long never will.
const REST_WITHIN: Duration = Duration::from_secs(20);

impl<U: Upstream> Settles for Arc<Core<U>> {
    async fn settle(&self, online: bool) -> Result<Settled, String> {
        let rest = async {
            self.stands(online).await;
            self.do_due().await;
            self.durable(self.shards.journal.stats().last).await.map_err(|error| error.to_string())?;
            if online {
                self.told_all().await;
            }
            Ok::<(), String>(())
        };
        let late =
            |_| format!("it has not come to rest in {REST_WITHIN:?} (online: {online}, is: {:?})", self.link);
        tokio::time::timeout(REST_WITHIN, rest).await.map_err(late)??;
        let (reports, heard) =
            (self.pulse.reports.load(Ordering::Relaxed), self.pulse.heard.load(Ordering::Relaxed));
        Ok(Settled {
            done: self.shards.journal.stats().last + reports,
            next: self.shards.next_due(),
            watches: vec![(self.id.to_string(), heard)],
        })
    }
}

impl<U: Upstream> Core<U> {
    /// Waits until the link is what the test has made of it.
    async fn stands(&self, online: bool) {
        let mut now = self.link.changes();
        let as_arranged = |standing: &Standing| match standing {
            Standing::Up(_) => online,
            Standing::Down => !online,
            Standing::Trying => false,
        };
        // The sender lives as long as the link.
        let _gone = now.wait_for(as_arranged).await;
    }

    async fn do_due(&self) {
        let room = Semaphore::new(1);
        loop {
            self.look().await;
            let renewals = self.shards.renewals();
            if renewals.is_empty() {
                return;
            }
            for part in renewals.chunks(LEASES_MAX) {
                self.renew_all(part.to_vec(), &room).await;
            }
        }
    }

    /// Waits until the ledger has every record and every total. A look that began before the bell is not enough.
    async fn told_all(&self) {
        self.shards.outbox.flushed().await;
        for _ in 0..2 {
            let looks = self.pulse.looks.load(Ordering::Relaxed);
            while self.pulse.looks.load(Ordering::Relaxed) == looks {
                self.shards.outbox.ring();
                tokio::time::sleep(Duration::from_micros(200)).await;
            }
        }
        self.shards.outbox.flushed().await;
    }
}
