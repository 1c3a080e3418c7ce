//! Taking what sidecars report: each record applied exactly once and in order; what can't be applied is kept, not lost.

use super::record::{LedgerRecord, Unapplied};
use super::service::Ledger;
use super::sidecars::Sidecar;
use super::store::{LedgerStore, Ticket};
use super::writes::store_error;
use crate::engine::Fault;
use crate::engine::account::Report;
use crate::grpc::ledger_api::{Batch, LedgerError, Reported, Sender};
use crate::lease::{LeaseTotals, SidecarRecord, WalletEvent};
use crate::types::AccountId;

/// Bytes of a kept record that its log line shows.
const SHOWN_BYTES: usize = 64;

impl<S: LedgerStore> Ledger<S> {
    /// Answers the highest record that is durable.
    pub(super) async fn reported(&self, who: Sender, batch: Batch) -> Result<u64, LedgerError> {
        let sidecar = self.sidecars.current(who)?;
        let _turn = sidecar.reporting.lock().await;
        // A later start may have attached while this one waited for its turn.
        self.sidecars.current(who)?;
        rising(who, &batch.records)?;
        for record in batch.records {
            self.take(who, &sidecar, record, batch.recalls_seen)?;
        }
        for (account, totals) in batch.totals {
            self.total(who, &account, totals, batch.recalls_seen);
        }
        let standing = sidecar.with(|standing| *standing);
        self.durable(standing.ticket).await?;
        Ok(standing.taken)
    }

    fn take(
        &self,
        who: Sender,
        sidecar: &Sidecar,
        record: Reported,
        recalls: u64,
    ) -> Result<(), LedgerError> {
        if record.number <= sidecar.with(|standing| standing.taken) {
            return Ok(());
        }
        let ticket = match self.absorb(who, &record, recalls) {
            Ok(ticket) => ticket,
            // Nothing was taken: the report is repeated.
            Err(Unabsorbed::Unavailable(error)) => return Err(error),
            Err(Unabsorbed::Never(why)) => self.keep(who, &record, why)?,
        };
        sidecar.with(|standing| {
            standing.taken = record.number;
            standing.ticket = standing.ticket.max(ticket);
        });
        Ok(())
    }

    fn absorb(&self, who: Sender, record: &Reported, recalls: u64) -> Result<Ticket, Unabsorbed> {
        let SidecarRecord { account, event } = minicbor::decode(&record.body)
            .map_err(|error| Unabsorbed::Never(format!("it can't be read: {error}")))?;
        let slot = self
            .slot(&account)
            .ok_or_else(|| Unabsorbed::Never(format!("the account `{account}` is not known here")))?;
        let answers = matches!(event, WalletEvent::Returned(_));
        let report = Report { epoch: record.epoch, number: record.number, event };
        let worked =
            self.work(&slot, |work| work.absorb(who.sidecar, report)).map_err(|error| match error {
                LedgerError::Fault(Fault::Broken(why)) => Unabsorbed::Never(why),
                other => Unabsorbed::Unavailable(other),
            })?;
        slot.with(|state| {
            state.silent.remove(&who.sidecar);
            if answers {
                state.answered.insert(who.sidecar, recalls);
            }
        });
        if answers {
            slot.bell.notify_waiters();
        }
        Ok(worked.ticket)
    }

    /// Keeps a record that can't be applied now or ever by this process, and says so loudly.
    fn keep(&self, who: Sender, record: &Reported, why: String) -> Result<Ticket, LedgerError> {
        let shown: String = record.body.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
        tracing::error!(
            sidecar = %who.sidecar, epoch = ?record.epoch, number = record.number, why, bytes = record.body.len(), shown,
            "a record that a sidecar reported could not be applied; it is kept in the ledger's journal"
        );
        let unapplied = Unapplied {
            sidecar: who.sidecar,
            epoch: record.epoch,
            number: record.number,
            body: record.body.clone(),
            why,
            at: self.clock.now(),
        };
        self.store.append(&LedgerRecord::Unapplied(unapplied)).map_err(store_error)
    }

    /// Totals are soft state: alerts and balances look at them, nothing rests on them.
    fn total(&self, who: Sender, account: &AccountId, totals: LeaseTotals, recalls: u64) {
        let Some(slot) = self.slot(account) else { return };
        let told = self.work(&slot, |work| {
            if let Some(lease) = work.account.leases.get_mut(&who.sidecar) {
                lease.totals = totals;
            }
        });
        if let Err(error) = told {
            tracing::debug!(%account, %error, "totals of a lease were not taken");
        }
        slot.with(|state| {
            state.silent.remove(&who.sidecar);
            state.answered.insert(who.sidecar, recalls);
        });
        slot.bell.notify_waiters();
    }
}

/// Why a record was not applied.
enum Unabsorbed {
    /// A repeated report may succeed.
    Unavailable(LedgerError),
    /// It never will.
    Never(String),
}

/// Numbers rise, and no record comes from a start that has not been.
fn rising(who: Sender, records: &[Reported]) -> Result<(), LedgerError> {
    let invalid =
        |what: String| Err(LedgerError::Invalid { field: "records", reason: "INVALID_RECORDS", what });
    let mut last = 0;
    for record in records {
        if record.number <= last {
            return invalid(format!("record {} comes after record {last}; numbers rise", record.number));
        }
        if record.epoch > who.epoch {
            return invalid(format!("record {} is of a later epoch than its sender", record.number));
        }
        last = record.number;
    }
    Ok(())
}
