//! Incentives: credits awarded for behaviour, within their limits.

use super::administer::AdminRefusal;
use super::entry::{Reply, What};
use super::work::Work;
use crate::credit::path::has_pool;
use crate::credit::{Block, PoolId};
use crate::playbook::draw_order::Species;
use crate::playbook::on_demand::Landing;
use crate::types::{BlockId, Name, calendar};

impl Work<'_> {
    pub(super) fn award(&self, user: &Name, name: &Name) -> Result<(What, Reply), AdminRefusal> {
        let contract = self.account.contract.as_ref().ok_or(AdminRefusal::AccountUnknown)?;
        let unknown = || AdminRefusal::IncentiveUnknown(name.clone());
        let incentive = contract.plan.incentives.get(name).ok_or_else(unknown)?;
        let had = self.account.awards.get(&(name.clone(), user.clone())).copied().unwrap_or_default();
        if incentive.per_user.is_some_and(|most| had >= most) {
            return Err(AdminRefusal::IncentiveLimit(name.clone()));
        }
        let mut credits = incentive.credits;
        if let Some(most) = incentive.per_period {
            let awarded = self.account.awarded.get(name).copied().unwrap_or_default();
            credits = credits.min(most.saturating_sub(awarded));
            if !credits.is_positive() {
                return Err(AdminRefusal::IncentiveLimit(name.clone()));
            }
        }
        self.room_for_blocks(1)?;
        let own = PoolId::User(user.clone());
        let personal = incentive.landing == Landing::Personal && has_pool(&contract.plan.pooling, &own);
        let pool = if personal { own } else { PoolId::Account };
        let id = BlockId(self.account.next_block);
        let mut block = Block::new(id, pool, Species::Incentive, self.at);
        block.expires_at = incentive.lasts.map(|lasts| calendar::plus(self.at, lasts, &contract.zone));
        let what = What::Awarded {
            block: Box::new(block.with(credits)),
            incentive: name.clone(),
            user: user.clone(),
        };
        Ok((what, Reply::Awarded(id, credits)))
    }
}
