//! What processes of one ledger tell each other, and what each does with it. Where there is but one, it is done at once.
//!
//! Nothing rests on news: an account's entries say what holds, and a lease's renewal brings the terms. They make haste.

use std::sync::atomic::Ordering;
use std::time::Duration;

use minicbor::{Decode, Encode};
use tokio::sync::{mpsc, oneshot};

use super::learning::Life;
use super::record::Known;
use super::service::Ledger;
use super::shelf::Shelf;
use super::slot::Slot;
use super::store::{LedgerStore, StoreError};
use crate::grpc::ledger_api::{Change, Sender};
use crate::lease::{AccountTerms, Acting};
use crate::runtime::Backoff;
use crate::types::{AccountId, Epoch, ReservationId, SidecarId, Timestamp};

/// A shared store is asked for news this often: what a recall waits at most, besides the way to the store.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long to wait before a store that is away is asked again.
const AGAIN_FIRST: Duration = Duration::from_millis(20);
const AGAIN_MOST: Duration = Duration::from_secs(1);

/// News that one write tells at most.
const TOLD_AT_ONCE: usize = 256;

/// News that are older are for nobody.
const WRITE_WITHIN: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum News {
    /// Terms of an account, as of this entry, for these sidecars and whoever was told before.
    #[n(0)]
    Terms {
        #[n(0)]
        account: AccountId,
        #[n(1)]
        entry: u64,
        #[n(2)]
        terms: Box<AccountTerms>,
        #[n(3)]
        sidecars: Vec<SidecarId>,
    },
    /// Idle slices are wanted. The number of the news is the recall's.
    #[n(1)]
    Recall {
        #[n(0)]
        account: AccountId,
        #[n(1)]
        sidecars: Vec<SidecarId>,
    },
    /// A sidecar has answered recalls of an account through this number.
    #[n(2)]
    Answered {
        #[n(0)]
        account: AccountId,
        #[n(1)]
        sidecar: SidecarId,
        #[n(2)]
        recall: u64,
    },
    /// A start of a sidecar became its current one.
    #[n(3)]
    Attached {
        #[n(0)]
        sidecar: SidecarId,
        #[n(1)]
        epoch: Epoch,
        #[n(2)]
        acting: Option<Acting>,
    },
    /// A playbook was published.
    #[n(4)]
    Published(#[n(0)] u32),
    /// The ledger was restored from a backup: a new generation of it learns until then.
    #[n(5)]
    Renewed {
        #[n(0)]
        generation: u32,
        #[n(1)]
        learning_until: Option<Timestamp>,
    },
    /// Runs of an account are wanted of their settler. The number of the news counts with recalls.
    #[n(6)]
    Promote {
        #[n(0)]
        account: AccountId,
        #[n(1)]
        sidecar: SidecarId,
        #[n(2)]
        runs: Vec<ReservationId>,
    },
}

/// News on their way to the store.
pub type Telling = (News, Option<oneshot::Sender<u64>>);

impl<S: LedgerStore> Ledger<S> {
    /// Tells all processes, this one too, as soon as can be.
    pub(super) fn tell(&self, news: News) {
        if S::SHARED {
            self.tellings.fetch_add(1, Ordering::Relaxed);
            // The queue ends only with the process.
            let _gone = self.telling.send((news, None));
        } else {
            self.hear(self.watchers.next_number(), news);
        }
    }

    /// Tells all processes, and answers the number of the news once this process has heard it. `None`: the store is away.
    pub(super) async fn tell_numbered(&self, news: News) -> Option<u64> {
        if !S::SHARED {
            let number = self.watchers.next_number();
            self.hear(number, news);
            return Some(number);
        }
        self.tellings.fetch_add(1, Ordering::Relaxed);
        let (said, told) = oneshot::channel();
        self.telling.send((news, Some(said))).ok()?;
        told.await.ok()
    }

    /// Tells the account's terms to every sidecar that holds a lease of it or was told them before, where they are due.
    pub(super) fn tell_terms(&self, slot: &Slot) {
        let news = slot.with(|state| {
            if !std::mem::take(&mut state.untold) {
                return None;
            }
            let terms = Box::new(state.account.terms()?);
            let sidecars = state.told.keys().chain(state.account.leases.keys());
            let sidecars: std::collections::BTreeSet<_> = sidecars.copied().collect();
            let sidecars = sidecars.into_iter().collect();
            Some(News::Terms { account: slot.id.clone(), entry: state.account.number, terms, sidecars })
        });
        if let Some(news) = news {
            self.tell(news);
        }
    }

    /// Does what news ask of this process.
    fn hear(&self, number: u64, news: News) {
        match news {
            News::Terms { account, entry, terms, mut sidecars } => {
                if let (true, Some(slot)) = (S::SHARED, self.resident(&account)) {
                    slot.with(|state| sidecars.extend(state.told.keys().copied()));
                }
                sidecars.sort_unstable();
                sidecars.dedup();
                for sidecar in sidecars {
                    self.watchers.tell_terms(sidecar, &account, entry, &terms);
                }
            }
            News::Recall { account, sidecars } => {
                let change = Change::Recall { number, account: account.clone() };
                let mut told = false;
                for sidecar in sidecars {
                    told |= self.watchers.tell(sidecar, change.clone());
                }
                if S::SHARED && told {
                    self.slot_of(&account).with(|state| state.recalled = Some(number));
                }
            }
            News::Answered { account, sidecar, recall } => {
                let Some(slot) = self.resident(&account) else { return };
                slot.with(|state| {
                    state.answer(sidecar, recall);
                });
                slot.bell.notify_waiters();
            }
            News::Attached { sidecar, epoch, acting } => {
                let at = self.clock.now();
                self.sidecars.found(Known { sidecar, epoch, at, acknowledged: None, acting });
                self.watchers.end_earlier(Sender { sidecar, epoch });
            }
            News::Promote { account, sidecar, runs } => {
                let told =
                    self.watchers.tell(sidecar, Change::Promote { number, account: account.clone(), runs });
                if S::SHARED && told {
                    self.slot_of(&account).with(|state| state.recalled = Some(number));
                }
            }
            News::Renewed { generation, learning_until } => {
                self.take_life(Life { generation, learning_until })
            }
            News::Published(version) => {
                if version > self.shelf().newest() {
                    let ledger = self.clone();
                    tokio::spawn(async move {
                        if let Err(error) = ledger.renew_shelf().await {
                            tracing::warn!(%error, version, "a published playbook could not be read");
                        }
                    });
                }
            }
        }
    }

    /// Reads the playbooks of a shared store anew and tells sidecars of those that are new here.
    pub(super) async fn renew_shelf(&self) -> Result<(), StoreError> {
        if !S::SHARED {
            return Ok(());
        }
        let foundation = self.store.foundation().await?;
        if let Some(identity) = foundation.identity {
            self.take_life(Life::of(identity));
        }
        let newest = foundation.playbooks.last().map_or(0, |published| published.version);
        if newest <= self.shelf().newest() {
            return Ok(());
        }
        let shelf = Shelf::found(&foundation.playbooks).map_err(|why| StoreError::Refused(why.into()))?;
        let known = self.put_shelf(shelf.clone());
        for (version, source) in shelf.after(known) {
            self.watchers.tell_all(&Change::Playbook { version, source });
        }
        Ok(())
    }

    /// Writes and reads news of a shared store for as long as calls may be under way.
    pub async fn keep_news(self, telling: mpsc::UnboundedReceiver<Telling>, from: u64) {
        if !S::SHARED {
            return;
        }
        let (written, heard) = mpsc::unbounded_channel();
        tokio::join!(self.write_news(telling, written), self.read_news(from, heard));
    }

    async fn write_news(
        &self,
        mut telling: mpsc::UnboundedReceiver<Telling>,
        written: mpsc::UnboundedSender<(u64, oneshot::Sender<u64>)>,
    ) {
        let mut batch = Vec::new();
        while telling.recv_many(&mut batch, TOLD_AT_ONCE).await > 0 {
            let (news, answers): (Vec<News>, Vec<_>) = batch.drain(..).unzip();
            let give_up = self.clock.clock().boottime().plus(WRITE_WITHIN);
            let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
            let first = loop {
                match self.store.announce(&news).await {
                    Ok(first) => break Some(first),
                    Err(error) if self.clock.clock().boottime() >= give_up => {
                        tracing::warn!(%error, news = news.len(), "other processes of the ledger were not told");
                        break None;
                    }
                    Err(_) => tokio::time::sleep(backoff.next_wait()).await,
                }
            };
            let Some(first) = first else { continue };
            for (number, answer) in (first..).zip(answers) {
                // The reader answers once it has come so far; without a question it only wakes.
                let answer = answer.unwrap_or_else(|| oneshot::channel().0);
                let _gone = written.send((number, answer));
            }
        }
    }

    async fn read_news(
        &self,
        mut last: u64,
        mut written: mpsc::UnboundedReceiver<(u64, oneshot::Sender<u64>)>,
    ) {
        let mut own: std::collections::BTreeMap<u64, oneshot::Sender<u64>> = Default::default();
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        let mut jumped = false;
        loop {
            let asked = self.clock.clock().boottime();
            match self.store.news(Some(last)).await {
                Ok(heard) => {
                    backoff.reset();
                    let followed = self.clock.learn(asked, heard.at);
                    if !followed && !jumped {
                        tracing::error!(theirs = %heard.at, ours = %self.clock.now(),
                            "the database's clock has jumped; this process goes on by the time before");
                    }
                    jumped = !followed;
                    last = self.heard_all(last, heard, &mut own);
                }
                Err(error) => {
                    tracing::debug!(%error, "no news from other processes");
                    tokio::time::sleep(backoff.next_wait()).await;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                Some((number, answer)) = written.recv() => {
                    own.insert(number, answer);
                }
            }
            while let Ok((number, answer)) = written.try_recv() {
                own.insert(number, answer);
            }
        }
    }

    fn heard_all(
        &self,
        last: u64,
        heard: super::store::Heard,
        own: &mut std::collections::BTreeMap<u64, oneshot::Sender<u64>>,
    ) -> u64 {
        if heard.last < last {
            tracing::error!(from = last, to = heard.last, "the database was set back while this process ran");
            own.clear();
            self.was_set_back();
            return heard.last;
        }
        let first = heard.news.first().map_or(last + 1, |(number, _)| *number);
        if first > last + 1 {
            // What was missed is not known: sidecars attach again and hear everything anew.
            tracing::warn!(from = last, to = first, "news of other processes were missed");
            self.watchers.end_all();
        }
        let last = heard.news.last().map_or(last, |(number, _)| *number);
        for (number, news) in heard.news {
            self.hear(number, news);
        }
        let later = own.split_off(&(last + 1));
        for (number, answer) in std::mem::replace(own, later) {
            let _gone = answer.send(number);
        }
        last
    }
}
