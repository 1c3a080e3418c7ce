//! The ledger as the sidecar needs it: the real client, or one in the same process.

use std::time::Duration;

use tokio_stream::Stream;

use crate::engine::account::{RunAsk, RunReply};
use crate::grpc::lease_client::{Attached, DecideError, Leased, LinkError, Reported, Sender, Told};
use crate::lease::{Ask, LeaseTotals};
use crate::types::{AccountId, SidecarId};

pub trait Upstream: Clone + Send + Sync + 'static {
    type Watching: Stream<Item = Result<Told, LinkError>> + Unpin + Send;

    /// This start begins to act for its journal.
    fn attach(
        &self,
        sidecar: SidecarId,
        start: u64,
    ) -> impl Future<Output = Result<Attached, LinkError>> + Send;

    fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> impl Future<Output = Result<Leased, LinkError>> + Send;

    fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        wait: Duration,
    ) -> impl Future<Output = Result<RunReply, DecideError>> + Send;

    /// Answers the highest record that is durable there.
    fn report(
        &self,
        who: Sender,
        records: Vec<Reported>,
        totals: Vec<(AccountId, LeaseTotals)>,
    ) -> impl Future<Output = Result<u64, LinkError>> + Send;

    fn watch(&self, who: Sender) -> impl Future<Output = Result<Self::Watching, LinkError>> + Send;
}
