//! The sidecars that listen: a bounded channel each, so that a slow one costs nobody else anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::grpc::ledger_api::{Change, Sender};
use crate::lease::{AccountTerms, Acting};
use crate::types::{AccountId, SidecarId};

/// Changes that wait for one sidecar. One that is further behind has its watch ended: it attaches again and hears
/// everything anew.
const CHANGES_MAX: usize = 4096;

/// Sidecars that watch at once.
const WATCHERS_MAX: usize = 10_000;

#[derive(Debug)]
pub struct Watchers {
    watching: Mutex<HashMap<SidecarId, Watcher>>,
    numbers: AtomicU64,
    /// Held by each watch that has not been told yet what it may have missed.
    beginning: Arc<()>,
}

#[derive(Debug)]
struct Watcher {
    who: Sender,
    /// It hears nothing of other accounts.
    acting: Arc<Acting>,
    channel: mpsc::Sender<Change>,
    /// Which entry the terms of each account were told of: nobody hears older terms last.
    told: HashMap<AccountId, u64>,
    /// Changes put on their way over this watch.
    sent: u64,
}

impl Watchers {
    /// `numbers`: where those of news begin; above all that an earlier process of this ledger gave.
    pub fn new(numbers: u64) -> Self {
        Self { watching: Mutex::default(), numbers: AtomicU64::new(numbers), beginning: Arc::default() }
    }

    /// Begins a watch; an earlier one of the same sidecar ends. `None` where too many watch.
    pub fn begin(
        &self,
        who: Sender,
        acting: Arc<Acting>,
    ) -> Option<(mpsc::Sender<Change>, mpsc::Receiver<Change>)> {
        let mut watching = self.watching.lock();
        watching.retain(|_, watcher| !watcher.channel.is_closed());
        if watching.len() >= WATCHERS_MAX && !watching.contains_key(&who.sidecar) {
            return None;
        }
        let (sender, receiver) = mpsc::channel(CHANGES_MAX);
        let watcher = Watcher { who, acting, channel: sender.clone(), told: HashMap::new(), sent: 0 };
        watching.insert(who.sidecar, watcher);
        Some((sender, receiver))
    }

    /// Ends the watch of a process that is no longer the sidecar's current one.
    pub fn end_earlier(&self, who: Sender) {
        let mut watching = self.watching.lock();
        if watching.get(&who.sidecar).is_some_and(|before| before.who.epoch < who.epoch) {
            watching.remove(&who.sidecar);
        }
    }

    /// Whether the change is on its way: false where the sidecar does not listen.
    pub fn tell(&self, sidecar: SidecarId, change: Change) -> bool {
        self.tell_if(sidecar, change, |_| true)
    }

    /// Tells terms, as of this entry of the account, unless newer ones were told.
    pub fn tell_terms(&self, sidecar: SidecarId, account: &AccountId, entry: u64, terms: &AccountTerms) {
        self.tell_if(sidecar, Change::Terms(account.clone(), Box::new(terms.clone())), |watcher| {
            let told = watcher.told.entry(account.clone()).or_default();
            let newer = entry >= *told;
            *told = entry.max(*told);
            newer
        });
    }

    fn tell_if(&self, sidecar: SidecarId, change: Change, due: impl FnOnce(&mut Watcher) -> bool) -> bool {
        let mut watching = self.watching.lock();
        let Some(watcher) = watching.get_mut(&sidecar) else { return false };
        let account = match &change {
            Change::Terms(account, _)
            | Change::Unknown(account)
            | Change::Recall { account, .. }
            | Change::Promote { account, .. } => Some(account),
            Change::Playbook { .. } => None,
        };
        if account.is_some_and(|account| !watcher.acting.accounts.have(account)) {
            return false;
        }
        if !due(watcher) {
            return true;
        }
        if watcher.channel.try_send(change).is_ok() {
            watcher.sent += 1;
            return true;
        }
        Self::dropped(&mut watching, sidecar)
    }

    fn dropped(watching: &mut HashMap<SidecarId, Watcher>, sidecar: SidecarId) -> bool {
        tracing::warn!(%sidecar, "a sidecar reads its watch too slowly, or is gone: the watch is ended");
        watching.remove(&sidecar);
        false
    }

    /// A change was put on its way past `tell`.
    pub fn sent(&self, sidecar: SidecarId) {
        if let Some(watcher) = self.watching.lock().get_mut(&sidecar) {
            watcher.sent += 1;
        }
    }

    /// Whoever tells a watch what it may have missed keeps this until that is done.
    pub fn beginning(&self) -> Arc<()> {
        Arc::clone(&self.beginning)
    }

    /// Whether a watch is still to be told what it may have missed.
    #[cfg(debug_assertions)]
    pub fn is_beginning(&self) -> bool {
        Arc::strong_count(&self.beginning) > 1
    }

    /// How many changes each watch was given.
    #[cfg(debug_assertions)]
    pub fn counts(&self) -> Vec<(SidecarId, u64)> {
        self.watching.lock().iter().map(|(sidecar, watcher)| (*sidecar, watcher.sent)).collect()
    }

    /// Whether a sidecar listens here.
    pub fn is_watching(&self, sidecar: SidecarId) -> bool {
        self.watching.lock().contains_key(&sidecar)
    }

    /// Ends every watch: sidecars attach again and hear everything anew.
    pub fn end_all(&self) {
        self.watching.lock().clear();
    }

    /// How many sidecars listen.
    pub fn len(&self) -> usize {
        self.watching.lock().len()
    }

    pub fn tell_all(&self, change: &Change) {
        let all: Vec<SidecarId> = self.watching.lock().keys().copied().collect();
        for sidecar in all {
            self.tell(sidecar, change.clone());
        }
    }

    /// The number of the next news; higher = later.
    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::AcqRel) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Epoch;

    fn who(start: u64) -> Sender {
        Sender { sidecar: SidecarId([1; 16]), epoch: Epoch { generation: 1, start } }
    }

    #[tokio::test]
    async fn a_second_watch_ends_the_first() {
        let watchers = Watchers::new(0);
        let change = Change::Unknown(AccountId::parse("a").unwrap());
        assert!(!watchers.tell(who(1).sidecar, change.clone()));
        let mut first = watchers.begin(who(1), Arc::default()).unwrap().1;
        let mut second = watchers.begin(who(2), Arc::default()).unwrap().1;
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
        let mut slow = watchers.begin(who(1), Arc::default()).unwrap().1;
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
