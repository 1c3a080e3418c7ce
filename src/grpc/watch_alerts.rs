//! Alerts as a stream. Each watcher looks for itself, at its own reader's pace.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::account_wire::wire_alert;
use super::ledger_api::{LedgerApi, LedgerError};
use super::ledger_status;
use super::proto::ledger_v1 as wire;
use crate::runtime::Shutdown;
use crate::types::AccountId;

/// How often an account is looked at: alerts are for people and their pagers.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub(super) type Alerts = ReceiverStream<Result<wire::WatchAlertsResponse, Status>>;

/// Who watches what, and what it was told last.
pub(super) struct Watcher<L> {
    pub ledger: L,
    pub account: AccountId,
    pub after: u64,
    pub shutdown: Shutdown,
}

impl<L: LedgerApi> Watcher<L> {
    /// Begins with the alerts that there are. `held` is let go when the watch ends.
    ///
    /// Errors: the account is not known.
    pub async fn begin(mut self, held: impl Send + 'static) -> Result<Alerts, Status> {
        let first = self.look().await?;
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let shutdown = self.shutdown.clone();
            tokio::select! {
                () = self.watch(first, &sender) => {}
                () = shutdown.requested() => {}
                () = sender.closed() => {}
            }
            drop(held);
        });
        Ok(ReceiverStream::new(receiver))
    }

    async fn watch(
        &mut self,
        first: Vec<wire::Alert>,
        sender: &mpsc::Sender<Result<wire::WatchAlertsResponse, Status>>,
    ) {
        let mut alerts = first;
        loop {
            for alert in alerts {
                self.after = alert.number;
                if sender.send(Ok(wire::WatchAlertsResponse { alert: Some(alert) })).await.is_err() {
                    return;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
            alerts = match self.look().await {
                Ok(alerts) => alerts,
                Err(status) => {
                    // Where nobody listens any more, nobody is told.
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            };
        }
    }

    async fn look(&self) -> Result<Vec<wire::Alert>, Status> {
        match self.ledger.alerts(&self.account).await {
            Ok(alerts) => {
                Ok(alerts.iter().filter(|alert| alert.number > self.after).map(wire_alert).collect())
            }
            // It passes; the next look is in a second.
            Err(LedgerError::Overloaded | LedgerError::StoreAway(_)) => Ok(Vec::new()),
            Err(error) => Err(ledger_status::of(&error)),
        }
    }
}
