//! What a damaged journal still held that was acknowledged: it goes to the ledger in the name of the journal that is gone.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::entry::{self, Found};
use super::upstream::Upstream;
use crate::grpc::lease_client::{Hello, LinkError, Report, Reported, Sender};
use crate::runtime::{Backoff, Shutdown};
use crate::storage::SetAside;
use crate::types::{Epoch, SidecarId};

/// Records of one report.
const BATCH_RECORDS: usize = 256;

const AGAIN_FIRST: Duration = Duration::from_millis(200);
const AGAIN_MOST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub struct Salvage {
    sidecar: SidecarId,
    /// A start after the last of the journal that is gone.
    start: u64,
    /// Number, start and body of each record that the ledger is told.
    records: Vec<(u64, u64, Vec<u8>)>,
}

impl Salvage {
    /// Says loudly what was found; `None` where nothing can be reported.
    pub fn of(set_aside: SetAside) -> Option<Self> {
        let SetAside { path, why, id, salvaged } = set_aside;
        let start = salvaged.last().map_or(0, |record| record.start) + 1;
        let records: Vec<_> = salvaged
            .into_iter()
            .filter_map(|stored| match entry::read(&stored.payload) {
                Ok(Found::Record(record)) if record.event.is_reported() => {
                    Some((stored.number, stored.start, stored.payload.get(1..)?.to_vec()))
                }
                _ => None,
            })
            .collect();
        tracing::error!(
            kept = %path.display(),
            %why,
            salvaged = records.len(),
            "the journal was damaged: it is set aside, and this sidecar starts as a new one; \
             what followed the damage is only in the store that was set aside"
        );
        let sidecar = SidecarId(id?);
        (!records.is_empty()).then_some(Self { sidecar, start, records })
    }
}

impl<U: Upstream> Core<U> {
    /// Reports what was salvaged, until the ledger has it or the sidecar stops.
    pub async fn report_salvage(self: Arc<Self>, salvage: Arc<Salvage>, shutdown: Shutdown) {
        let mut backoff = Backoff::new(AGAIN_FIRST, AGAIN_MOST);
        loop {
            let sent = tokio::select! {
                () = shutdown.requested() => return,
                sent = self.send_salvage(&salvage) => sent,
            };
            match sent {
                Ok(()) => {
                    tracing::warn!(records = salvage.records.len(), sidecar = %salvage.sidecar, "salvaged records are at the ledger");
                    return;
                }
                Err(why) => tracing::warn!(%why, "salvaged records are not at the ledger yet"),
            }
            tokio::select! {
                () = shutdown.requested() => return,
                () = tokio::time::sleep(backoff.next_wait()) => {}
            }
        }
    }

    async fn send_salvage(&self, salvage: &Salvage) -> Result<(), LinkError> {
        self.link.up().await;
        // What that journal saw acknowledged is not known: its records are all sent.
        let hello = Hello { sidecar: salvage.sidecar, start: salvage.start, ..self.hello() };
        let hello = Hello { generation: 0, acknowledged: 0, ..hello };
        let attached = self.upstream.attach(&hello).await?;
        let who = Sender { sidecar: salvage.sidecar, epoch: attached.epoch };
        let missing: Vec<_> =
            salvage.records.iter().filter(|(number, ..)| *number > attached.acknowledged).collect();
        for batch in missing.chunks(BATCH_RECORDS) {
            let records = batch
                .iter()
                .map(|(number, start, body)| Reported {
                    number: *number,
                    epoch: Epoch { generation: attached.epoch.generation, start: *start },
                    body: body.clone(),
                })
                .collect();
            self.upstream.report(who, Report { records, ..Report::default() }).await?;
        }
        Ok(())
    }
}
