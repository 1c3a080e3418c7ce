//! What administrators and pricing teams write: accounts and playbooks, each idempotent by its request id.

use std::sync::Arc;

use super::news::News;
use super::record::Published;
use super::service::Ledger;
use super::slot::{Part, Slot};
use super::store::{LedgerStore, StoreError};
use super::view;
use crate::engine::account::{Account, AdminRefusal, Command, Reply, Work};
use crate::grpc::ledger_api::{Administered, Change, LedgerError, Version};
use crate::playbook::{Finding, Severity, check};
use crate::types::{AccountId, RequestId};

/// Accounts of one ledger at most: each is kept in memory.
const ACCOUNTS_MAX: usize = 1_000_000;

impl<S: LedgerStore> Ledger<S> {
    pub(super) async fn administered(
        &self,
        account: &AccountId,
        command: &Command,
        request: &RequestId,
    ) -> Result<Administered, LedgerError> {
        let slot = match (self.slot(account).await?, command) {
            (Some(slot), _) => slot,
            (None, Command::Subscribe { .. }) => return self.opened(account, command, request).await,
            (None, _) => return Err(AdminRefusal::AccountUnknown.into()),
        };
        let turn = slot.turn.lock().await;
        let id = request.clone();
        let looked = self.work(&slot, move |work| work.account.requests.contains_key(&id));
        let repeated = looked.await?.answer;
        if !repeated && let Command::Transfer(ask) = command {
            self.may_take(ask).await?;
        }
        if !repeated && matches!(command, Command::Void { .. }) {
            self.has_learned()?;
        }
        if !repeated && moves_credits(command) {
            let holders = slot.with(|state| state.holders(self.clock.now()));
            self.recall(&slot, &holders, self.patience(&slot)).await;
        }
        let command = self.keyed(account, command);
        let moves_on = matches!(command, Command::Transfer(_));
        let done = self.work(&slot, administering(command, request.clone())).await?;
        drop(turn);
        let administered = done.answer?;
        self.durable(done.ticket).await?;
        if moves_on {
            self.handed_over(&slot).await?;
        }
        Ok(administered)
    }

    /// Opens an account. It is known only once its first entries were taken.
    async fn opened(
        &self,
        account: &AccountId,
        command: &Command,
        request: &RequestId,
    ) -> Result<Administered, LedgerError> {
        let command = self.keyed(account, command);
        // The version in force may have been published at another process a moment ago.
        self.renew_shelf().await.map_err(store_error)?;
        let done = {
            let _turn = self.opening.lock().await;
            if self.len() >= ACCOUNTS_MAX {
                return Err(LedgerError::TooManyAccounts { most: ACCOUNTS_MAX });
            }
            // Another call may have opened it meanwhile; the account itself then says so.
            let slot =
                self.resident(account).unwrap_or_else(|| Arc::new(Slot::new(Account::new(account.clone()))));
            let act = administering(command, request.clone());
            let done = self.work_part(&slot, Part::Whole, true, act).await?;
            if done.answer.is_ok() {
                self.accounts.write().entry(account.clone()).or_insert(slot);
            }
            done
        };
        let administered = done.answer?;
        self.durable(done.ticket).await?;
        Ok(administered)
    }

    /// The ledger gives a new account its key.
    fn keyed(&self, account: &AccountId, command: &Command) -> Command {
        match command {
            Command::Subscribe { plan, zone, overlay, .. } => {
                let (plan, zone, overlay) = (plan.clone(), zone.clone(), overlay.clone());
                Command::Subscribe { plan, zone, key: self.key(account), overlay }
            }
            other => other.clone(),
        }
    }

    pub(super) async fn published(
        &self,
        source: &str,
        request: Option<&RequestId>,
    ) -> Result<(Version, Vec<Finding>), LedgerError> {
        let _turn = self.publishing.lock().await;
        self.renew_shelf().await.map_err(store_error)?;
        let shelf = self.shelf();
        let mut report = check(source);
        let warnings =
            report.findings.iter().filter(|finding| finding.severity == Severity::Warning).cloned().collect();
        if let Some((version, before)) = request.and_then(|request| shelf.answered(request, self.clock.now()))
        {
            return if before == source {
                Ok((version, warnings))
            } else {
                Err(AdminRefusal::RequestIdReused.into())
            };
        }
        let Some(playbook) = report.playbook.take() else {
            return Err(LedgerError::PlaybookInvalid(Box::new(report)));
        };
        shelf.admits(&playbook, self.clock.now())?;
        let (name, number) = (playbook.name.clone(), playbook.version);
        let Some(request) = request else {
            let version = Version {
                playbook: name,
                version: number,
                published_at: None,
                effective_at: None,
                in_force: false,
            };
            return Ok((version, warnings));
        };
        let published = Published {
            version: number,
            source: source.to_owned(),
            at: self.clock.now(),
            request: Some(request.clone()),
        };
        // No entry of an account may name a version that the store does not have yet.
        let newest = shelf.newest();
        if !self.store.publish(&published, newest).await.map_err(store_error)? {
            self.renew_shelf().await.map_err(store_error)?;
            // An answer that was lost on its way from the store: it was this very request.
            if let Some((version, before)) = self.shelf().answered(request, self.clock.now())
                && before == source
            {
                return Ok((version, warnings));
            }
            let newest = self.shelf().newest();
            return Err(LedgerError::VersionNotHigher { given: number, newest });
        }
        self.put_shelf(shelf.with(*playbook, &published));
        self.watchers.tell_all(&Change::Playbook { version: number, source: source.to_owned() });
        if S::SHARED {
            self.tell(News::Published(number));
        }
        tracing::info!(playbook = %name, version = number, request_id = %request, "a playbook was published");
        let version = self.shelf().version(number, self.clock.now());
        let (version, _) = version.ok_or(LedgerError::PlaybookUnknown(number))?;
        Ok((version, warnings))
    }
}

pub(super) fn store_error(error: StoreError) -> LedgerError {
    match error {
        StoreError::Full => LedgerError::Overloaded,
        StoreError::Away(why) => LedgerError::StoreAway(why.to_string()),
        StoreError::TooLong { .. } | StoreError::Refused(_) | StoreError::Failed(_) => {
            LedgerError::StoreFailed(error.to_string())
        }
    }
}

/// Whether a command takes credits that may be idle at sidecars. The others hold at once and are told.
fn moves_credits(command: &Command) -> bool {
    !matches!(command, Command::Subscribe { .. } | Command::Suspend | Command::Resume)
}

/// An administrator's write, and the account as it is then.
fn administering(
    command: Command,
    request: RequestId,
) -> impl FnMut(&mut Work<'_>) -> Result<Administered, AdminRefusal> + Send + 'static {
    move |work| {
        let reply = work.administer(&command, Some(&request))?;
        let ends_at = match reply {
            Reply::Granted(block) | Reply::Purchased(block, _) | Reply::Awarded(block, _) => {
                work.account.book.block(block).and_then(|block| block.expires_at)
            }
            _ => None,
        };
        let account = view::account(work.account, false).ok_or(AdminRefusal::AccountUnknown)?;
        let contract = work.account.contract.as_ref();
        let currency = contract.map(|contract| contract.playbook.credit.currency.clone()).unwrap_or_default();
        Ok(Administered { reply, account, ends_at, currency })
    }
}
