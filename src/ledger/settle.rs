//! The ledger under a test's clock: does what is due, and says when nothing is on its way any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::news::News;
use super::service::Ledger;
use super::store::LedgerStore;
use crate::runtime::test_clock::{Settled, Settles};

/// Accounts whose time has come that are looked at in one go.
const DUE_AT_ONCE: usize = 256;

/// A ledger, and what it has done as the test counts.
#[derive(Debug)]
pub struct Settling<S> {
    ledger: Ledger<S>,
    passed: AtomicU64,
    heard: AtomicU64,
}

impl<S> Settling<S> {
    pub fn new(ledger: Ledger<S>) -> Self {
        Self { ledger, passed: AtomicU64::new(0), heard: AtomicU64::new(0) }
    }
}

impl<S: LedgerStore> Settles for Settling<S> {
    async fn settle(&self, _online: bool) -> Result<Settled, String> {
        let ledger = &self.ledger;
        loop {
            let due = ledger.timers.take(ledger.clock.now(), DUE_AT_ONCE);
            if due.is_empty() {
                break;
            }
            for account in due {
                self.passed.fetch_add(1, Ordering::Relaxed);
                ledger.pass_time(&account).await;
            }
        }
        while ledger.watchers.is_beginning() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let tellings = ledger.tellings.load(Ordering::Relaxed);
        if self.heard.load(Ordering::Relaxed) < tellings {
            // News are heard in their order: with this one, which says nothing, all before it are.
            let told = ledger.tell_numbered(News::Published(0)).await;
            told.ok_or("the store did not take the news")?;
            self.heard.store(tellings + 1, Ordering::Relaxed);
        }
        let watches = ledger.watchers.counts();
        Ok(Settled {
            done: self.passed.load(Ordering::Relaxed) + self.heard.load(Ordering::Relaxed),
            next: ledger.timers.first(),
            watches: watches.into_iter().map(|(sidecar, sent)| (sidecar.to_string(), sent)).collect(),
        })
    }
}
