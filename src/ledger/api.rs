//! The ledger as its servers call it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::service::Ledger;
use super::slot::{Slot, State};
use super::store::LedgerStore;
use super::view;
use crate::engine::account::{AdminRefusal, Command, RunAsk, RunReply};
use crate::grpc::LedgerApi;
use crate::grpc::ledger_api::{
    AccountView, Administered, Alert, Attached, BalanceView, Batch, Change, InvoiceLine, Leased, LedgerError,
    Sender, Version,
};
use crate::lease::Ask;
use crate::playbook::Finding;
use crate::types::{AccountId, Epoch, RequestId, SidecarId, Timestamp};

/// Accounts looked at in one go when a watch begins, before others get their turn.
const ACCOUNTS_AT_ONCE: usize = 256;

impl<S: LedgerStore> LedgerApi for Ledger<S> {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    async fn attach(&self, sidecar: SidecarId, start: u64) -> Result<Attached, LedgerError> {
        let epoch = Epoch { generation: self.identity.generation, start };
        let standing = self.sidecars.attach(sidecar, epoch, self.clock.now(), &self.store)?;
        self.watchers.end_earlier(Sender { sidecar, epoch });
        self.durable(standing.ticket).await?;
        tracing::info!(%sidecar, start, acknowledged = standing.taken, "a sidecar has attached");
        Ok(Attached {
            epoch,
            generation: self.identity.generation,
            now: self.clock.now(),
            playbooks: self.shelf().after(0).into_iter().map(|(_, source)| source).collect(),
            acknowledged: standing.taken,
        })
    }

    async fn lease(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &Ask,
        wait: Duration,
    ) -> Result<Leased, LedgerError> {
        self.leased(who, account, ask, wait).await
    }

    async fn decide(
        &self,
        who: Sender,
        account: &AccountId,
        ask: &RunAsk,
        wait: Duration,
    ) -> Result<RunReply, LedgerError> {
        self.decided(who, account, ask, wait).await
    }

    async fn report(&self, who: Sender, batch: Batch) -> Result<u64, LedgerError> {
        self.reported(who, batch).await
    }

    fn watch(&self, who: Sender, playbook: u32) -> Result<mpsc::Receiver<Change>, LedgerError> {
        self.sidecars.current(who)?;
        let (sender, receiver) = self.watchers.begin(who).ok_or(LedgerError::Overloaded)?;
        tokio::spawn(begin_watch(self.clone(), who, playbook, sender));
        Ok(receiver)
    }

    async fn administer(
        &self,
        account: &AccountId,
        command: &Command,
        request: &RequestId,
    ) -> Result<Administered, LedgerError> {
        self.administered(account, command, request).await
    }

    fn account(&self, account: &AccountId) -> Result<AccountView, LedgerError> {
        self.seen(account, view::account)
    }

    fn accounts(&self, after: Option<&str>, most: usize) -> Vec<AccountView> {
        let accounts = self.accounts.read();
        let from = after.map_or(std::ops::Bound::Unbounded, std::ops::Bound::Excluded);
        let later = accounts.range::<str, _>((from, std::ops::Bound::Unbounded)).map(|(_, slot)| slot);
        later.filter_map(|slot| slot.with(|state| view::account(state))).take(most).collect()
    }

    fn balance(&self, account: &AccountId) -> Result<BalanceView, LedgerError> {
        self.passed(account)?;
        let at = self.clock.now();
        self.seen(account, |state| view::balance(&state.account, at))
    }

    fn invoice_lines(&self, account: &AccountId) -> Result<Vec<InvoiceLine>, LedgerError> {
        self.passed(account)?;
        self.seen(account, |state| Some(view::invoice_lines(&state.account)))
    }

    fn alerts(&self, account: &AccountId) -> Result<Vec<Alert>, LedgerError> {
        self.passed(account)?;
        self.seen(account, |state| Some(view::alerts(&state.account)))
    }

    async fn publish(
        &self,
        source: &str,
        request: Option<&RequestId>,
    ) -> Result<(Version, Vec<Finding>), LedgerError> {
        self.published(source, request).await
    }

    fn playbook(&self, version: u32) -> Result<(Version, String), LedgerError> {
        self.shelf().version(version).ok_or(LedgerError::PlaybookUnknown(version))
    }

    fn playbooks(&self) -> Vec<Version> {
        self.shelf().versions()
    }
}

impl<S: LedgerStore> Ledger<S> {
    fn seen<T>(&self, account: &AccountId, look: impl FnOnce(&State) -> Option<T>) -> Result<T, LedgerError> {
        let slot = self.slot(account).ok_or(AdminRefusal::AccountUnknown)?;
        let seen = slot.with(|state| look(state));
        seen.ok_or_else(|| AdminRefusal::AccountUnknown.into())
    }

    /// What time has done until now is done first, so that nobody is shown what has ended.
    fn passed(&self, account: &AccountId) -> Result<(), LedgerError> {
        let slot = self.slot(account).ok_or(AdminRefusal::AccountUnknown)?;
        match self.work(&slot, |_| ()) {
            // A look costs the store nothing: what is shown is then as of the last write.
            Ok(_) | Err(LedgerError::Overloaded) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Tells a new watch what it may have missed: newer playbooks, and the terms of every account that it was told of. Each
/// waits for room in the channel first and is read under the account's lock, so that nothing newer overtakes it.
async fn begin_watch<S: LedgerStore>(
    ledger: Ledger<S>,
    who: Sender,
    playbook: u32,
    channel: mpsc::Sender<Change>,
) {
    for (version, source) in ledger.shelf().after(playbook) {
        if channel.send(Change::Playbook { version, source }).await.is_err() {
            return;
        }
    }
    let mut after: Option<AccountId> = None;
    loop {
        let page: Vec<Arc<Slot>> = {
            let accounts = ledger.accounts.read();
            let from = after
                .as_ref()
                .map_or(std::ops::Bound::Unbounded, |last| std::ops::Bound::Excluded(last.as_str()));
            let later = accounts.range::<str, _>((from, std::ops::Bound::Unbounded));
            later.take(ACCOUNTS_AT_ONCE).map(|(_, slot)| Arc::clone(slot)).collect()
        };
        let Some(last) = page.last() else { return };
        after = Some(last.id.clone());
        for slot in page
            .iter()
            .filter(|slot| slot.with(|s| s.told.contains_key(&who.sidecar) || s.holds(who.sidecar)))
        {
            let Ok(room) = channel.reserve().await else { return };
            slot.with(|state| {
                let terms = state.account.terms().map(Box::new);
                room.send(match terms {
                    Some(terms) => Change::Terms(slot.id.clone(), terms),
                    None => Change::Unknown(slot.id.clone()),
                });
            });
        }
        tokio::task::yield_now().await;
    }
}
