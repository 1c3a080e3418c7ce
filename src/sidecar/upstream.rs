//! The ledger as the sidecar needs it: the real client, or one in the same process.

use std::time::Duration;

use tokio_stream::Stream;

use crate::engine::account::{RunAsk, RunReply};
use crate::grpc::lease_client::{
    Attached, DecideError, Hello, LeaseClient, Leased, LinkError, NamedRun, Report, Sender, Told, Watching,
};
use crate::lease::Ask;
use crate::types::AccountId;

pub trait Upstream: Clone + Send + Sync + 'static {
    type Watching: Stream<Item = Result<Told, LinkError>> + Unpin + Send;

    /// This start begins to act for its journal.
    fn attach(&self, hello: &Hello) -> impl Future<Output = Result<Attached, LinkError>> + Send;

    fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> impl Future<Output = Result<Leased, LinkError>> + Send;

    /// The same for several accounts, each answered on its own, in the order of the asks.
    fn lease_all(
        &self,
        who: Sender,
        asks: &[(AccountId, Ask)],
        wait: Duration,
    ) -> impl Future<Output = Vec<Result<Leased, LinkError>>> + Send;

    fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        named: &[NamedRun],
        wait: Duration,
    ) -> impl Future<Output = Result<RunReply, DecideError>> + Send;

    /// Answers the highest record that is durable there.
    fn report(&self, who: Sender, report: Report) -> impl Future<Output = Result<u64, LinkError>> + Send;

    fn watch(&self, who: Sender) -> impl Future<Output = Result<Self::Watching, LinkError>> + Send;
}

impl Upstream for LeaseClient {
    type Watching = Watching;

    async fn attach(&self, hello: &Hello) -> Result<Attached, LinkError> {
        self.introduce(hello).await
    }

    async fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Leased, LinkError> {
        Self::lease(self, who, account, ask, wait).await
    }

    async fn lease_all(
        &self,
        who: Sender,
        asks: &[(AccountId, Ask)],
        wait: Duration,
    ) -> Vec<Result<Leased, LinkError>> {
        Self::lease_all(self, who, asks, wait).await
    }

    async fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        named: &[NamedRun],
        wait: Duration,
    ) -> Result<RunReply, DecideError> {
        self.decide_naming(who, account, ask, named, wait).await
    }

    async fn report(&self, who: Sender, report: Report) -> Result<u64, LinkError> {
        self.tell(who, report).await
    }

    async fn watch(&self, who: Sender) -> Result<Watching, LinkError> {
        Self::watch(self, who).await
    }
}
