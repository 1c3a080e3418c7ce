//! The ledger as its servers call it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::audit::Audit;
use super::news::News;
use super::service::Ledger;
use super::sidecars::Standing;
use super::slot::Slot;
use super::store::LedgerStore;
use super::view;
use super::writes::store_error;
use crate::credit::PoolId;
use crate::engine::Fault;
use crate::engine::account::{Account, AdminRefusal, Command, RunAsk, RunReply};
use crate::engine::handle::Handle;
use crate::grpc::LedgerApi;
use crate::grpc::ledger_api::{
    AccountView, Administered, Alert, Attached, BalanceView, Batch, Change, DiffTo, Hello, InvoiceLine,
    Leased, LedgerError, NamedRun, Sender, Usage, UsageAsk, Version,
};
use crate::lease::{Acting, Ask};
use crate::playbook::diff::Diff;
use crate::playbook::{self, Finding};
use crate::types::{AccountId, Epoch, Name, RequestId, ReservationId, Timestamp};

/// Accounts looked at in one go when a watch begins, before others get their turn.
const ACCOUNTS_AT_ONCE: usize = 256;

impl<S: LedgerStore> LedgerApi for Ledger<S> {
    type Audit = Audit<S>;

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn generation(&self) -> (u32, Option<Timestamp>) {
        let life = self.life();
        (life.generation, life.learning_until.filter(|until| *until > self.clock.now()))
    }

    async fn attach(&self, hello: Hello) -> Result<Attached, LedgerError> {
        let (sidecar, start) = (hello.sidecar, hello.start);
        // What was published at another process a moment ago is part of what the sidecar is given.
        self.renew_shelf().await.map_err(store_error)?;
        let (mut epoch, mut standing) = self.stands(&hello).await?;
        if self.is_behind(&hello, standing.taken) {
            self.renew(epoch.generation, hello.generation).await?;
            (epoch, standing) = self.stands(&hello).await?;
        }
        self.watchers.end_earlier(Sender { sidecar, epoch });
        self.durable(standing.ticket).await?;
        if S::SHARED {
            let acting = Some(hello.acting.clone());
            self.tell(News::Attached { sidecar, epoch, acting });
        }
        let identity = hello.acting.identity.as_ref().map(ToString::to_string);
        tracing::info!(%sidecar, start, identity, acknowledged = standing.taken, "a sidecar has attached");
        Ok(Attached {
            epoch,
            generation: epoch.generation,
            now: self.clock.now(),
            playbooks: self.shelf().after(0).into_iter().map(|(_, source)| source).collect(),
            acknowledged: standing.taken,
        })
    }

    async fn acting(&self, who: Sender) -> Result<Arc<Acting>, LedgerError> {
        Ok(self.sidecars.current(who, &self.store).await?.acting())
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
        named: &[NamedRun],
        wait: Duration,
    ) -> Result<RunReply, LedgerError> {
        self.decided(who, account, ask, named, wait).await
    }

    async fn report(&self, who: Sender, batch: Batch) -> Result<u64, LedgerError> {
        self.reported(who, batch).await
    }

    async fn watch(&self, who: Sender, playbook: u32) -> Result<mpsc::Receiver<Change>, LedgerError> {
        let acting = self.sidecars.current(who, &self.store).await?.acting();
        let leased = self.store.leased_to(who.sidecar).await.map_err(store_error)?;
        let (sender, receiver) = self.watchers.begin(who, acting).ok_or(LedgerError::Overloaded)?;
        let beginning = self.watchers.beginning();
        let ledger = self.clone();
        tokio::spawn(async move {
            begin_watch(ledger, who, playbook, leased, sender).await;
            drop(beginning);
        });
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

    async fn account(&self, account: &AccountId) -> Result<AccountView, LedgerError> {
        match self.seen(account, |account, _| view::account(account, false)).await {
            // What is known of a broken account is shown as such.
            Err(LedgerError::Fault(Fault::Broken(_))) => {
                let slot = self.resident(account).ok_or(AdminRefusal::AccountUnknown)?;
                let seen = slot.with(|state| view::account(&state.account, true));
                seen.ok_or_else(|| AdminRefusal::AccountUnknown.into())
            }
            other => other,
        }
    }

    async fn accounts(&self, after: Option<&str>, most: usize) -> Result<Vec<AccountView>, LedgerError> {
        let names = if S::SHARED {
            self.store.names(after, most).await.map_err(store_error)?
        } else {
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let accounts = self.accounts.read();
            accounts.range::<str, _>((from, Bound::Unbounded)).take(most).map(|(id, _)| id.clone()).collect()
        };
        let mut views = Vec::with_capacity(names.len());
        for name in names {
            views.push(self.account(&name).await?);
        }
        Ok(views)
    }

    async fn balance(&self, account: &AccountId, pool: Option<&PoolId>) -> Result<BalanceView, LedgerError> {
        let pool = pool.cloned();
        let seen = self.seen(account, move |account, at| view::balance(account, pool.as_ref(), at)).await?;
        Ok(seen?)
    }

    async fn usage(
        &self,
        account: &AccountId,
        ask: &UsageAsk,
    ) -> Result<BTreeMap<Option<Name>, Usage>, LedgerError> {
        self.used(account, ask).await
    }

    fn handle(&self, account: &AccountId, handle: &str) -> Option<(ReservationId, Timestamp)> {
        let handle = Handle::open(handle, &self.key(account)).ok()?;
        Some((handle.id, handle.expires_at))
    }

    async fn invoice_lines(&self, account: &AccountId) -> Result<Vec<InvoiceLine>, LedgerError> {
        self.seen(account, |account, _| Some(view::invoice_lines(account))).await
    }

    async fn alerts(&self, account: &AccountId) -> Result<Vec<Alert>, LedgerError> {
        self.seen(account, |account, _| Some(view::alerts(account))).await
    }

    async fn audit(&self, account: &AccountId) -> Result<Audit<S>, LedgerError> {
        self.audited(account).await
    }

    async fn publish(
        &self,
        source: &str,
        request: Option<&RequestId>,
    ) -> Result<(Version, Vec<Finding>), LedgerError> {
        self.published(source, request).await
    }

    fn diff(&self, before: u32, after: &DiffTo) -> Result<(Diff, Timestamp), LedgerError> {
        let (shelf, now) = (self.shelf(), self.clock.now());
        let known = |version| {
            let number = shelf.version(version, now).ok_or(LedgerError::PlaybookUnknown(version))?.0.version;
            shelf.playbooks.version(number).cloned().ok_or(LedgerError::PlaybookUnknown(version))
        };
        let before = known(before)?;
        let after = match after {
            DiffTo::Version(version) => known(*version)?,
            DiffTo::Source(source) => {
                let loaded = playbook::load(source);
                loaded.map_err(|report| LedgerError::PlaybookInvalid(Box::new(report)))?.into()
            }
        };
        let diff = Diff::between(&before, &after);
        let earliest = diff.earliest(before.notice, now);
        Ok((diff, earliest))
    }

    fn playbook(&self, version: u32) -> Result<(Version, String), LedgerError> {
        self.shelf().version(version, self.clock.now()).ok_or(LedgerError::PlaybookUnknown(version))
    }

    fn playbooks(&self) -> Vec<Version> {
        self.shelf().versions(self.clock.now())
    }
}

impl<S: LedgerStore> Ledger<S> {
    /// Looks at an account as it is now: what time has done, and what other processes wrote, comes first.
    async fn seen<T: Send + 'static>(
        &self,
        account: &AccountId,
        look: impl Fn(&Account, Timestamp) -> Option<T> + Clone + Send + 'static,
    ) -> Result<T, LedgerError> {
        let slot = self.slot(account).await?.ok_or(AdminRefusal::AccountUnknown)?;
        let looked = look.clone();
        let seen = match self.work(&slot, move |work| looked(work.account, work.at)).await {
            Ok(worked) => worked.answer,
            // A look costs a store of this process's own nothing: what is shown is then as of the last write.
            Err(LedgerError::Overloaded) if !S::SHARED => {
                let at = self.clock.now();
                slot.with(|state| look(&state.account, at))
            }
            Err(error) => return Err(error),
        };
        seen.ok_or_else(|| AdminRefusal::AccountUnknown.into())
    }

    /// A start becomes its sidecar's current one, in the ledger's present generation.
    async fn stands(&self, hello: &Hello) -> Result<(Epoch, Standing), LedgerError> {
        let epoch = Epoch { generation: self.life().generation, start: hello.start };
        let (now, acting) = (self.clock.now(), &hello.acting);
        let standing = self.sidecars.attach(hello.sidecar, epoch, acting, now, &self.store).await?;
        Ok((epoch, standing))
    }

    /// Accounts after this one that are in memory, in order; those alone of which the sidecar knows the terms.
    fn told_of(&self, who: Sender, after: Option<&AccountId>) -> (Option<AccountId>, Vec<Arc<Slot>>) {
        let accounts = self.accounts.read();
        let from = after.map_or(Bound::Unbounded, |last| Bound::Excluded(last.as_str()));
        let page: Vec<_> =
            accounts.range::<str, _>((from, Bound::Unbounded)).take(ACCOUNTS_AT_ONCE).collect();
        let last = page.last().map(|(id, _)| (*id).clone());
        let told = page.into_iter().map(|(_, slot)| slot);
        let told =
            told.filter(|slot| slot.with(|s| s.told.contains_key(&who.sidecar) || s.holds(who.sidecar)));
        (last, told.cloned().collect())
    }

    /// Tells one account's terms, as they are now.
    async fn tell_now(&self, who: Sender, slot: &Arc<Slot>, channel: &mpsc::Sender<Change>) -> Option<()> {
        if S::SHARED {
            // What it says then is what the store has; where that is away, the watch goes on with what is known here.
            let _away = self.work(slot, |_| ()).await;
        }
        // Waits for room, so that a long list does not end the watch.
        drop(channel.reserve().await.ok()?);
        slot.with(|state| match state.account.terms() {
            Some(terms) => {
                self.watchers.tell_terms(who.sidecar, &slot.id, state.account.number, &terms);
            }
            None => {
                self.watchers.tell(who.sidecar, Change::Unknown(slot.id.clone()));
            }
        });
        Some(())
    }
}

/// Tells a new watch what it may have missed: newer playbooks, and the terms of every account that it was told of or has
/// a lease of.
async fn begin_watch<S: LedgerStore>(
    ledger: Ledger<S>,
    who: Sender,
    playbook: u32,
    leased: Vec<AccountId>,
    channel: mpsc::Sender<Change>,
) {
    for (version, source) in ledger.shelf().after(playbook) {
        if channel.send(Change::Playbook { version, source }).await.is_err() {
            return;
        }
        ledger.watchers.sent(who.sidecar);
    }
    for account in leased {
        let slot = ledger.slot_of(&account);
        if ledger.tell_now(who, &slot, &channel).await.is_none() {
            return;
        }
    }
    let mut after: Option<AccountId> = None;
    loop {
        let (last, told) = ledger.told_of(who, after.as_ref());
        let Some(last) = last else { return };
        after = Some(last);
        for slot in told {
            if ledger.tell_now(who, &slot, &channel).await.is_none() {
                return;
            }
        }
        tokio::task::yield_now().await;
    }
}
