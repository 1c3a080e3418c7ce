//! The sidecars that listen: a bounded channel each, so that a slow one costs nobody else anything.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::grpc::ledger_api::{Change, Sender};
use crate::types::SidecarId;

/// Changes that wait for one sidecar. One that is further behind has its watch ended: it attaches again and hears
/// everything anew.
const CHANGES_MAX: usize = 4096;

/// Sidecars that watch at once.
const WATCHERS_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Watchers {
    watching: Mutex<HashMap<SidecarId, (Sender, mpsc::Sender<Change>)>>,
    recalls: AtomicU64,
}

impl Watchers {
    /// `recalls`: where their numbers begin; above all that an earlier process of this ledger gave.
    pub fn new(recalls: u64) -> Self {
        Self { watching: Mutex::default(), recalls: AtomicU64::new(recalls) }
    }

    /// Begins a watch; an earlier one of the same sidecar ends. `None` where too many watch.
    pub fn begin(&self, who: Sender) -> Option<(mpsc::Sender<Change>, mpsc::Receiver<Change>)> {
        let mut watching = self.watching.lock();
        watching.retain(|_, (_, channel)| !channel.is_closed());
        if watching.len() >= WATCHERS_MAX && !watching.contains_key(&who.sidecar) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        watching.insert(who.sidecar, (who, sender.clone()));
        Some((sender, receiver))
    }

    /// Ends the watch of a process that is no longer the sidecar's current one.
    pub fn end_earlier(&self, who: Sender) {
        let mut watching = self.watching.lock();
        if watching.get(&who.sidecar).is_some_and(|(before, _)| before.epoch < who.epoch) {
            watching.remove(&who.sidecar);
        }
    }

    /// Whether the change is on its way: false where the sidecar does not listen.
    pub fn tell(&self, sidecar: SidecarId, change: Change) -> bool {
        let mut watching = self.watching.lock();
        let Some((_, channel)) = watching.get(&sidecar) else { return false };
        if channel.try_send(change).is_ok() {
            return true;
        }
        tracing::warn!(%sidecar, "a sidecar reads its watch too slowly, or is gone: the watch is ended");
        watching.remove(&sidecar);
        false
    }

    pub fn tell_all(&self, change: &Change) {
        let all: Vec<SidecarId> = self.watching.lock().keys().copied().collect();
        for sidecar in all {
            self.tell(sidecar, change.clone());
        }
    }

    /// The number of a new recall; higher = later.
    pub fn next_recall(&self) -> u64 {
        self.recalls.fetch_add(1, Ordering::AcqRel) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{AccountId, Epoch};

    fn who(start: u64) -> Sender {
        Sender { sidecar: SidecarId([1; 16]), epoch: Epoch { generation: 1, start } }
    }

    #[tokio::test]
    async fn a_second_watch_ends_the_first() {
        let watchers = Watchers::new(0);
        let change = Change::Unknown(AccountId::parse("a").unwrap());
        assert!(!watchers.tell(who(1).sidecar, change.clone()));
        let mut first = watchers.begin(who(1)).unwrap().1;
        let mut second = watchers.begin(who(2)).unwrap().1;
        assert_eq!(first.recv().await, None);
        assert!(watchers.tell(who(1).sidecar, change.clone()));
        assert_eq!(second.recv().await, Some(change));
        watchers.end_earlier(who(2));
        assert!(!second.is_closed());
        watchers.end_earlier(who(3));
        assert_eq!(second.recv().await, None);
    }

    #[tokio::test]
    async fn a_slow_one_is_dropped() {
        let watchers = Watchers::new(0);
        let mut slow = watchers.begin(who(1)).unwrap().1;
        let change = Change::Unknown(AccountId::parse("a").unwrap());
        for _ in 0..CHANGES_MAX {
            assert!(watchers.tell(who(1).sidecar, change.clone()));
        }
        assert!(!watchers.tell(who(1).sidecar, change.clone()));
        let mut heard = 0;
        while slow.recv().await.is_some() {
            heard += 1;
        }
        assert_eq!(heard, CHANGES_MAX, "then the channel closes");
    }
}
