//! Taking what sidecars report: each record applied exactly once and in order; what can't be applied is kept, not lost.

use std::collections::{BTreeMap, BTreeSet};

use super::record::{LedgerRecord, Unapplied};
use super::service::Ledger;
use super::slot::Part;
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
    ///
    /// Records are applied in their order, whatever their accounts: what is durable is then always a prefix of what the
    /// sidecar reported. An account's totals are those after its last record here, and are heard with it.
    pub(super) async fn reported(&self, who: Sender, batch: Batch) -> Result<u64, LedgerError> {
        let sidecar = self.sidecars.current(who)?;
        let _turn = sidecar.reporting.lock().await;
        // A later start may have attached while this one waited for its turn.
        self.sidecars.current(who)?;
        rising(who, &batch.records)?;
        let taken = sidecar.with(|standing| standing.taken);
        let new = batch.records.into_iter().filter(|record| record.number > taken);
        let records: Vec<_> = new.map(|record| (read(&record), record)).collect();
        let mut answering: BTreeSet<AccountId> = batch.totals.iter().map(|(id, _)| id.clone()).collect();
        let mut last: BTreeMap<AccountId, u64> = BTreeMap::new();
        for (SidecarRecord { account, event }, record) in
            records.iter().filter_map(|(e, r)| Some((e.as_ref().ok()?, r)))
        {
            last.insert(account.clone(), record.number);
            if matches!(event, WalletEvent::Returned(_)) {
                answering.insert(account.clone());
            }
        }
        let mut totals: BTreeMap<AccountId, LeaseTotals> = batch.totals.into_iter().collect();
        for (event, record) in records {
            let ends = event.as_ref().is_ok_and(|event| last.get(&event.account) == Some(&record.number));
            let totals = event.as_ref().ok().filter(|_| ends).and_then(|event| totals.remove(&event.account));
            let part = if ends { Part::Whole } else { Part::More };
            let reported = event.and_then(|event| self.absorb(who, &record, event, part, totals));
            let ticket = match reported {
                Ok(ticket) => ticket,
                // Nothing was taken: the report is repeated.
                Err(Unabsorbed::Unavailable(error)) => return Err(error),
                Err(Unabsorbed::Never(why)) => self.keep(who, &record, why)?,
            };
            sidecar.with(|standing| {
                standing.taken = record.number;
                standing.ticket = standing.ticket.max(ticket);
            });
        }
        for (account, totals) in totals {
            self.total(who, &account, totals);
        }
        self.heard(who, batch.recalls_seen, &answering);
        let standing = sidecar.with(|standing| *standing);
        self.durable(standing.ticket).await?;
        Ok(standing.taken)
    }

    fn absorb(
        &self,
        who: Sender,
        record: &Reported,
        event: SidecarRecord,
        part: Part,
        totals: Option<LeaseTotals>,
    ) -> Result<Ticket, Unabsorbed> {
        let SidecarRecord { account, event } = event;
        let unknown = || Unabsorbed::Never(format!("the account `{account}` is not known here"));
        let slot = self.slot(&account).ok_or_else(unknown)?;
        let report = Report { epoch: record.epoch, number: record.number, event };
        let worked = self.work_part(&slot, part, |work| {
            totals.into_iter().for_each(|totals| work.hear_totals(who.sidecar, totals));
            work.absorb(who.sidecar, report);
        });
        match worked {
            Ok(worked) => Ok(worked.ticket),
            Err(LedgerError::Fault(Fault::Broken(why))) => Err(Unabsorbed::Never(why)),
            Err(other) => Err(Unabsorbed::Unavailable(other)),
        }
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
    fn total(&self, who: Sender, account: &AccountId, totals: LeaseTotals) {
        let Some(slot) = self.slot(account) else { return };
        if let Err(error) = self.work(&slot, |work| work.hear_totals(who.sidecar, totals)) {
            tracing::debug!(%account, %error, "totals of a lease were not taken");
        }
    }

    /// A report that gives back what is idle of an account, or tells its totals, answers the account's recalls.
    fn heard(&self, who: Sender, recalls: u64, answering: &BTreeSet<AccountId>) {
        for slot in answering.iter().filter_map(|account| self.slot(account)) {
            slot.with(|state| {
                state.silent.remove(&who.sidecar);
                state.answered.insert(who.sidecar, recalls);
            });
            slot.bell.notify_waiters();
        }
    }
}
/// Why a record was not applied.
enum Unabsorbed {
    /// A repeated report may succeed.
    Unavailable(LedgerError),
    /// It never will.
    Never(String),
}

fn read(record: &Reported) -> Result<SidecarRecord, Unabsorbed> {
    minicbor::decode(&record.body).map_err(|error| Unabsorbed::Never(format!("it can't be read: {error}")))
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
