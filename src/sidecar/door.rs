//! What the service asks: whatever core is in place, or why there is none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;

use super::core::Core;
use super::ids::Ids;
use super::upstream::Upstream;
use crate::credit::PoolId;
use crate::engine::answer::{AuthorizeAnswer, ProgressAnswer, RunAnswer};
use crate::grpc::entitlement_api::{
    Answered, AuthorizeQuestion, BalanceView, CommitQuestion, Entitlements, Given, ListQuestion, Lookup,
    ProgressQuestion, RecordQuestion, Refused, RunView,
};
use crate::playbook::{Plan, Playbook};
use crate::types::{AccountId, Timestamp};

#[derive(Debug)]
pub struct Door<U> {
    core: ArcSwapOption<Core<U>>,
    /// The journal has failed and is being read again.
    failed: AtomicBool,
    ids: Ids,
}

impl<U: Upstream> Door<U> {
    pub fn new(ids: Ids) -> Self {
        Self { core: ArcSwapOption::empty(), failed: AtomicBool::new(false), ids }
    }

    pub fn open(&self, core: Arc<Core<U>>) {
        self.core.store(Some(core));
        self.failed.store(false, Ordering::Release);
    }

    /// From now on nobody is let in.
    pub fn close(&self, failed: bool) {
        self.failed.store(failed, Ordering::Release);
        self.core.store(None);
    }

    /// The core in place.
    pub fn core(&self) -> Result<Arc<Core<U>>, Refused> {
        self.core.load_full().ok_or_else(|| {
            if self.failed.load(Ordering::Acquire) {
                Refused::JournalFailed
            } else {
                Refused::NotReady("the sidecar starts or stops; try again")
            }
        })
    }
}

impl<U: Upstream> Entitlements for Door<U> {
    async fn authorize(
        &self,
        question: &AuthorizeQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<AuthorizeAnswer>, Refused> {
        self.core()?.authorize(question, patience).await
    }

    async fn progress(
        &self,
        question: ProgressQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<ProgressAnswer>, Refused> {
        self.core()?.progress(question, patience).await
    }

    async fn commit(
        &self,
        question: CommitQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        self.core()?.commit(question, patience).await
    }

    async fn release(
        &self,
        handle: Given,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        self.core()?.release(handle, patience).await
    }

    async fn record(
        &self,
        question: RecordQuestion,
        patience: Option<Duration>,
    ) -> Result<Answered<RunAnswer>, Refused> {
        self.core()?.record(question, patience).await
    }

    async fn reservation(&self, lookup: Lookup, patience: Option<Duration>) -> Result<RunView, Refused> {
        self.core()?.reservation(lookup, patience).await
    }

    async fn reservations(&self, question: ListQuestion) -> Result<Vec<RunView>, Refused> {
        self.core()?.reservations(question).await
    }

    async fn balance(
        &self,
        account: AccountId,
        pool: Option<PoolId>,
        patience: Option<Duration>,
    ) -> Result<BalanceView, Refused> {
        self.core()?.balance(&account, pool, patience).await
    }

    fn changes(&self, account: &AccountId) -> Option<tokio::sync::watch::Receiver<()>> {
        let core = self.core.load_full()?;
        core.shards.visit(account, |desk| desk.slot.watch())?.ok()
    }

    async fn plan(
        &self,
        account: AccountId,
        patience: Option<Duration>,
    ) -> Result<(Arc<Plan>, Arc<Playbook>), Refused> {
        self.core()?.plan(&account, patience).await
    }

    fn online(&self) -> bool {
        self.core.load().as_ref().is_some_and(|core| core.link.is_online())
    }

    fn now(&self) -> Timestamp {
        self.core.load().as_ref().map_or_else(Timestamp::default, |core| core.shards.clock.now())
    }

    fn next_number(&self) -> [u8; 16] {
        self.ids.next()
    }
}
