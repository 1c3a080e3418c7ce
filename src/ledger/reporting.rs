//! Taking what sidecars report: each record applied exactly once and in order; what can't be applied is kept, not lost.

use std::collections::{BTreeMap, BTreeSet};

use super::fetching::of_handle;
use super::news::News;
use super::record::{Known, Unapplied};
use super::service::Ledger;
use super::sidecars::Sidecar;
use super::slot::Part;
use super::store::{LedgerStore, Ticket};
use super::writes::store_error;
use crate::engine::Fault;
use crate::engine::account::{Report, Work};
use crate::engine::handle::Handle;
use crate::grpc::ledger_api::{Batch, LedgerError, NamedRun, Reported, Sender};
use crate::lease::{LeaseTotals, Recount, SidecarRecord, WalletEvent};
use crate::types::AccountId;

/// Bytes of a kept record that its log line shows.
const SHOWN_BYTES: usize = 64;

/// Records of one account that are one command: whole or not at all, and of a size that a journal takes.
const RECORDS_AT_ONCE: usize = 256;

/// What a report says of one account.
#[derive(Debug, Default)]
struct Share {
    records: Vec<(Report, Reported)>,
    totals: Option<LeaseTotals>,
    /// Runs that calls were passed on for: a live settler is asked for them first.
    named: Vec<NamedRun>,
}

impl<S: LedgerStore> Ledger<S> {
    /// Answers the highest record that is durable.
    ///
    /// An account's records are applied in their order, and accounts beside each other: how far a report is whole is written
    /// after all of them. An account's totals are those after its last record here, and are heard with it.
    pub(super) async fn reported(&self, who: Sender, batch: Batch) -> Result<u64, LedgerError> {
        let sidecar = self.sidecars.current(who, &self.store).await?;
        let _turn = sidecar.reporting.lock().await;
        // A later start may have attached while this one waited for its turn.
        self.sidecars.current(who, &self.store).await?;
        rising(who, &batch.records)?;
        self.knows_as_much(who, &sidecar, batch.acknowledged).await?;
        let (before, acting) = (sidecar.with(|standing| *standing), sidecar.acting());
        let last = batch.records.last().map_or(before.taken, |record| record.number).max(before.taken);
        let mut answering: BTreeSet<AccountId> = batch.totals.iter().map(|(id, _)| id.clone()).collect();
        let mut unapplied = Vec::new();
        let mut shares: BTreeMap<AccountId, Share> = BTreeMap::new();
        for record in batch.records.into_iter().filter(|record| record.number > before.taken) {
            match read(&record) {
                Ok(SidecarRecord { account, .. }) if !acting.accounts.have(&account) => {
                    let why = LedgerError::AccountNotAllowed(account).to_string();
                    unapplied.push(self.unapplied(who, &record, why));
                }
                Ok(SidecarRecord { account, event }) => {
                    if matches!(event, WalletEvent::Returned(_)) {
                        answering.insert(account.clone());
                    }
                    let share = shares.entry(account).or_default();
                    if let WalletEvent::PassedOn(passed) = &event
                        && let Ok(handle) = Handle::peek(&passed.handle)
                    {
                        share.named.push(of_handle(&handle));
                    }
                    let report = Report { epoch: record.epoch, number: record.number, event };
                    share.records.push((report, record));
                }
                Err(why) => unapplied.push(self.unapplied(who, &record, why)),
            }
        }
        for (account, totals) in batch.totals.into_iter().filter(|(account, _)| acting.accounts.have(account))
        {
            shares.entry(account).or_default().totals = Some(totals);
        }
        let (through, kept) = self.absorbed_all(who, shares).await?;
        let mut ticket = before.ticket.max(through);
        unapplied.extend(kept);
        if !unapplied.is_empty() {
            self.store.keep(unapplied).await.map_err(store_error)?;
        }
        for (account, recount) in
            batch.recounts.into_iter().filter(|(account, _)| acting.accounts.have(account))
        {
            ticket = ticket.max(self.recounted(who, &account, recount).await?);
        }
        self.heard(who, batch.recalls_seen, &answering);
        if last > before.taken {
            let now = self.clock.now();
            let (sidecar, epoch) = (who.sidecar, who.epoch);
            let known = Known { sidecar, epoch, at: now, acknowledged: Some(last), acting: None };
            self.store.stand(known).await.map_err(store_error)?.ok_or(LedgerError::Fenced)?;
        }
        self.durable(ticket).await?;
        Ok(sidecar.with(|standing| {
            standing.taken = standing.taken.max(last);
            standing.ticket = standing.ticket.max(ticket);
            standing.taken
        }))
    }

    /// Errors: `NotAttached`: the sidecar saw more acknowledged than is known here; its attach shows what that means.
    async fn knows_as_much(
        &self,
        who: Sender,
        sidecar: &Sidecar,
        acknowledged: u64,
    ) -> Result<(), LedgerError> {
        let knows = || sidecar.with(|standing| standing.taken) >= acknowledged;
        if who.epoch.generation != self.life().generation || knows() {
            return Ok(());
        }
        // It may have reported to another process.
        if let Some(known) = self.store.standing(who.sidecar).await.map_err(store_error)? {
            self.sidecars.found(known);
        }
        if knows() { Ok(()) } else { Err(LedgerError::NotAttached) }
    }

    /// Takes a slice as its sidecar counts it, after this ledger was restored from a backup.
    async fn recounted(
        &self,
        who: Sender,
        account: &AccountId,
        recount: Recount,
    ) -> Result<Ticket, LedgerError> {
        let Some(slot) = self.slot(account).await? else { return Ok(Ticket::default()) };
        let worked = match self.work(&slot, move |work| work.recount(who.sidecar, &recount)).await {
            Ok(worked) => worked,
            // It breaks nothing else, and was said when the account broke.
            Err(LedgerError::Fault(Fault::Broken(_))) => return Ok(Ticket::default()),
            Err(error) => return Err(error),
        };
        if worked.answer.is_positive() {
            tracing::error!(
                %account, sidecar = %who.sidecar, credits = %worked.answer,
                "a sidecar charged what no record explains: it is booked as one unexplained charge"
            );
        }
        Ok(worked.ticket)
    }

    /// Applies a report, its accounts beside each other. Answers what makes it durable, and records that can't be applied.
    async fn absorbed_all(
        &self,
        who: Sender,
        shares: BTreeMap<AccountId, Share>,
    ) -> Result<(Ticket, Vec<Unapplied>), LedgerError> {
        let mut absorbing = tokio::task::JoinSet::new();
        for (account, share) in shares {
            let ledger = self.clone();
            absorbing.spawn(async move { ledger.absorbed(who, account, share).await });
        }
        let (mut ticket, mut unapplied) = (Ticket::default(), Vec::new());
        for absorbed in absorbing.join_all().await {
            // What was not taken of one account is repeated with the whole report.
            let (through, kept) = absorbed?;
            ticket = ticket.max(through);
            unapplied.extend(kept);
        }
        Ok((ticket, unapplied))
    }

    /// Applies what a report says of one account. Answers what makes it durable, and records that can't be applied.
    async fn absorbed(
        &self,
        who: Sender,
        account: AccountId,
        share: Share,
    ) -> Result<(Ticket, Vec<Unapplied>), LedgerError> {
        let Share { mut records, mut totals, named } = share;
        let Some(slot) = self.slot(&account).await? else {
            let why = format!("the account `{account}` is not known here");
            let unknown = records.iter().map(|(_, record)| self.unapplied(who, record, why.clone()));
            return Ok((Ticket::default(), unknown.collect()));
        };
        // An account that is broken says so below.
        let _broken = self.fetch(&slot, who.sidecar, named, self.patience(&slot)).await;
        let mut parts = Vec::new();
        loop {
            let rest = records.split_off(records.len().min(RECORDS_AT_ONCE));
            let (reports, kept): (Vec<Report>, Vec<Reported>) = records.into_iter().unzip();
            let part = if rest.is_empty() { Part::Whole } else { Part::More };
            let totals = if rest.is_empty() { totals.take() } else { None };
            parts.push((self.work_part(&slot, part, false, absorbing(who, reports, totals)), kept));
            if rest.is_empty() {
                break;
            }
            records = rest;
        }
        let (mut ticket, mut unapplied) = (Ticket::default(), Vec::new());
        for (worked, records) in parts {
            match worked.await {
                Ok(worked) => ticket = ticket.max(worked.ticket),
                Err(LedgerError::Fault(Fault::Broken(why))) => {
                    unapplied.extend(records.iter().map(|record| self.unapplied(who, record, why.clone())));
                }
                // Totals are soft state: alerts and balances look at them, nothing rests on them.
                Err(error) if records.is_empty() => {
                    tracing::debug!(%account, %error, "totals of a lease were not taken");
                }
                Err(error) => return Err(error),
            }
        }
        Ok((ticket, unapplied))
    }

    /// A record that can't be applied now or ever by this process is kept, and that is said loudly.
    fn unapplied(&self, who: Sender, record: &Reported, why: String) -> Unapplied {
        let shown: String = record.body.iter().take(SHOWN_BYTES).map(|byte| format!("{byte:02x}")).collect();
        tracing::error!(
            sidecar = %who.sidecar, epoch = ?record.epoch, number = record.number, why, bytes = record.body.len(), shown,
            "a record that a sidecar reported could not be applied; it is kept in the ledger's store"
        );
        Unapplied {
            sidecar: who.sidecar,
            epoch: record.epoch,
            number: record.number,
            body: record.body.clone(),
            why,
            at: self.clock.now(),
        }
    }

    /// A report that gives back what is idle of an account, or tells its totals, answers the account's recalls.
    fn heard(&self, who: Sender, recall: u64, answering: &BTreeSet<AccountId>) {
        for slot in answering.iter().filter_map(|account| self.resident(account)) {
            let asked = slot.with(|state| state.answer(who.sidecar, recall));
            slot.bell.notify_waiters();
            if S::SHARED && asked {
                // Whoever asked may be another process.
                self.tell(News::Answered { account: slot.id.clone(), sidecar: who.sidecar, recall });
            }
        }
    }
}

/// Applies records and, with the last of them, the lease's running totals.
fn absorbing(
    who: Sender,
    reports: Vec<Report>,
    totals: Option<LeaseTotals>,
) -> impl FnMut(&mut Work<'_>) + Send + 'static {
    move |work| {
        let last = reports.len().saturating_sub(1);
        for (index, report) in reports.iter().enumerate() {
            if let (true, Some(totals)) = (index == last, &totals) {
                work.hear_totals(who.sidecar, totals.clone());
            }
            work.absorb(who.sidecar, report.clone());
        }
        if let (true, Some(totals)) = (reports.is_empty(), &totals) {
            work.hear_totals(who.sidecar, totals.clone());
        }
    }
}

fn read(record: &Reported) -> Result<SidecarRecord, String> {
    minicbor::decode(&record.body).map_err(|error| format!("it can't be read: {error}"))
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
