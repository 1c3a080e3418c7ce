//! Credits on their way from one account to another. Each step is one account's alone and repeats without harm, so that a
//! transfer that a crash left half-way is taken up by whoever comes by next.

use std::sync::Arc;

use super::service::Ledger;
use super::slot::Slot;
use super::store::LedgerStore;
use crate::credit::path::has_pool;
use crate::engine::account::entry_contract::{Sent, TransferId};
use crate::engine::account::{AdminRefusal, TransferAsk};
use crate::grpc::ledger_api::LedgerError;

impl<S: LedgerStore> Ledger<S> {
    /// Takes every transfer of an account to its end, earlier ones that were left half-way too.
    ///
    /// Errors: another account did not take its credits; they are back then.
    pub(super) async fn handed_over(&self, giver: &Arc<Slot>) -> Result<(), LedgerError> {
        let sent = self.work(giver, |work| work.unanswered()).await?.answer;
        let mut refused = None;
        for (id, sent) in sent {
            let taken = self.taken(&id, &sent).await?;
            let accepted = taken.is_ok();
            let answered = self.work(giver, move |work| work.transfer_answered(&id, accepted)).await?;
            self.durable(answered.ticket).await?;
            refused = refused.or(taken.err());
        }
        refused.map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// Whether the account that is to take credits could, before they leave the giver.
    pub(super) async fn may_take(&self, ask: &TransferAsk) -> Result<(), LedgerError> {
        let Some(taker) = &ask.account else { return Ok(()) };
        let slot = self.slot(taker).await?.ok_or(AdminRefusal::AccountUnknown)?;
        let to = ask.to.clone();
        let look = self.work(&slot, move |work| {
            let contract = work.account.contract.as_ref().ok_or(AdminRefusal::AccountUnknown)?;
            if contract.overlay.ended.is_some() {
                return Err(AdminRefusal::SubscriptionOver);
            }
            if has_pool(&contract.plan.pooling, &to) {
                Ok(())
            } else {
                Err(AdminRefusal::PoolUnknown(to.clone()))
            }
        });
        Ok(look.await?.answer?)
    }

    /// Has the other account take what was sent, once, durably. The inner error is its refusal.
    async fn taken(&self, id: &TransferId, sent: &Sent) -> Result<Result<(), AdminRefusal>, LedgerError> {
        let Some(taker) = self.slot(&sent.to).await? else { return Ok(Err(AdminRefusal::AccountUnknown)) };
        let (id, sent) = (id.clone(), sent.clone());
        let taken = self.work(&taker, move |work| work.receive(&id, &sent)).await?;
        self.durable(taken.ticket).await?;
        Ok(taken.answer)
    }
}
