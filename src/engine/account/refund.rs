//! C9: a charge, or a part of it, is given back: its draws unwind in reverse, debt first.

use super::administer::AdminRefusal;
use super::apply_contract::priced;
use super::entry::{Reply, Source, What};
use super::entry_contract::{PurchaseRefunded, Refunded};
use super::work::Work;
use crate::credit::hold::{self, Draw};
use crate::credit::invoice::{Line, LineKind};
use crate::credit::path::debtor;
use crate::credit::{Block, Column, Final, Move, PoolId, State};
use crate::engine::commit::late_caps;
use crate::playbook::draw_order::Species;
use crate::playbook::refund::{PaidAs, Reissue};
use crate::types::{BlockId, Credits, Money, ReservationId, Rounding, Timestamp, calendar};

impl Work<'_> {
    /// Gives back `credits` of what a run was charged; all of it where none are named.
    pub(super) fn refund(
        &self,
        run: ReservationId,
        credits: Option<Credits>,
        expires_at: Option<Timestamp>,
    ) -> Result<(Vec<What>, Reply), AdminRefusal> {
        let contract = self.contract()?;
        let known = self.account.book.finals.get(&run).filter(|ended| ended.provisional.is_none());
        // What ended so long ago that it is forgotten can be refunded by no plan.
        let forgotten = expires_at.is_some_and(|end| self.account.kept(end) <= self.at);
        let missing =
            if forgotten { AdminRefusal::RefundWindowClosed } else { AdminRefusal::ChargeNotReported };
        let ended = known.ok_or(missing)?;
        let rule = contract.plan.refunds.charges.ok_or(AdminRefusal::RefundWindowClosed)?;
        if self.at >= calendar::plus(ended.ended_at, rule.within, &contract.zone) {
            return Err(AdminRefusal::RefundWindowClosed);
        }
        let credits = credits.unwrap_or_else(|| ended.charged());
        if credits > ended.charged() || credits.is_negative() {
            return Err(AdminRefusal::RefundExceedsCharge { charged: ended.charged() });
        }
        let debt = credits.min(ended.debt);
        let (parts, _) = hold::last(&ended.spent, credits - debt);
        let mut moves: Vec<Move> = Vec::new();
        let mut reissued: Vec<Block> = Vec::new();
        for part in &parts {
            self.unwind(part, rule.reissue, (&mut moves, &mut reissued));
        }
        // Repaid debt goes back to the blocks that repaid it.
        let pool = debtor(&self.account.path(&ended.run.subject));
        let open = self.open_debt(ended, &pool);
        let unbilled = self.debt_unbilled(&pool, debt.saturating_sub(open));
        let billed = unbilled.as_ref().map_or(Credits::ZERO, |(_, part)| *part);
        let repaid = self.repaid(&pool, debt.saturating_sub(open + billed));
        for part in &repaid {
            self.unwind(part, rule.reissue, (&mut moves, &mut reissued));
        }
        let unpaid = repaid.iter().map(|part| (part.block, part.amount)).collect();
        let counters = self.uncounted(ended, credits);
        let refunded = Refunded { run, credits, moves, debt, debt_pool: pool, counters, unpaid };
        let mut entries: Vec<What> = unbilled.into_iter().map(|(what, _)| what).collect();
        entries.push(What::Refunded(Box::new(refunded)));
        entries.extend(
            reissued
                .into_iter()
                .map(|block| What::Granted { block: Box::new(block), source: Source::Refund }),
        );
        Ok((entries, Reply::Refunded { credits, amount: Money::ZERO }))
    }

    /// Credits go back to a block that lives; of one that has ended they lapse, or a new block has them.
    fn unwind(
        &self,
        part: &Draw,
        reissue: Option<Reissue>,
        (moves, reissued): (&mut Vec<Move>, &mut Vec<Block>),
    ) {
        let mut give = |to: Column| {
            moves.push(Move { block: part.block, from: Column::Spent, to, amount: part.amount });
        };
        let Some(block) = self.account.book.block(part.block) else { return };
        if !block.has_ended(self.at) {
            return give(Column::Available);
        }
        // Overage and degraded use were not paid in advance: the bill is lower, and no credits are owed.
        let lent = part.species == Species::Borrowed && self.lender_lives(part.block);
        let postpaid = lent || matches!(part.species, Species::Overage | Species::Basic | Species::Emergency);
        let reissue = match reissue {
            _ if postpaid => return give(Column::Withdrawn),
            Some(Reissue::Never) => return give(Column::Lapsed),
            Some(Reissue::For(length)) => Some(length),
            None => None,
        };
        give(Column::Withdrawn);
        let expires_at = reissue.map(|length| calendar::plus(self.at, length, &self.zone()));
        let known = reissued.iter_mut().find(|new| new.pool == block.pool);
        match known {
            Some(known) => *known = known.clone().with(part.amount),
            None => {
                let id = BlockId(self.account.next_block + reissued.len() as u64);
                let mut new = Block::new(id, block.pool.clone(), Species::Refund, self.at);
                new.expires_at = expires_at;
                new.unit_price = block.unit_price;
                reissued.push(new.with(part.amount));
            }
        }
    }

    /// Whether what was borrowed in a block comes back as the allowance that it was taken from.
    fn lender_lives(&self, borrowed: BlockId) -> bool {
        let by = self.account.covered.get(&borrowed).and_then(|covered| covered.by);
        by.and_then(|by| self.account.book.block(by)).is_some_and(|block| !block.has_ended(self.at))
    }

    /// Gives back what is unused of a purchase, by the plan's rule.
    pub(super) fn refund_purchase(&self, block: BlockId) -> Result<(Vec<What>, Reply), AdminRefusal> {
        let contract = self.contract()?;
        let purchase = self.account.purchases.get(&block).ok_or(AdminRefusal::GrantUnknown(block))?;
        let rule = contract.plan.refunds.purchases.ok_or(AdminRefusal::RefundWindowClosed)?;
        if self.at >= calendar::plus(purchase.at, rule.within, &contract.zone) {
            return Err(AdminRefusal::RefundWindowClosed);
        }
        let bought = self.account.book.block(block).filter(|block| block.pays(self.at));
        let unused = bought.map_or(Credits::ZERO, |block| block.available);
        if unused < rule.minimum || unused.is_zero() {
            return Err(AdminRefusal::RefundBelowMinimum { minimum: rule.minimum, unused });
        }
        let (from, to) = (Column::Available, Column::Withdrawn);
        let moves = vec![Move { block, from, to, amount: unused }];
        let share = |amount: rust_decimal::Decimal| rule.rate.ratio()?.times(amount);
        if rule.paid_as == PaidAs::Credit {
            let credit = &contract.playbook.credit;
            let back = share(unused.decimal()).and_then(|back| back.credits(credit.scale, Rounding::Down));
            let refunded = PurchaseRefunded { block, moves, line: None };
            let mut new = Block::new(
                BlockId(self.account.next_block),
                bought.map_or(PoolId::Account, |block| block.pool.clone()),
                Species::Refund,
                self.at,
            );
            new.expires_at = match contract.plan.refunds.charges.and_then(|rule| rule.reissue) {
                Some(Reissue::For(length)) => Some(calendar::plus(self.at, length, &contract.zone)),
                _ => None,
            };
            let new = Box::new(new.with(back.unwrap_or_default()));
            let entries = vec![
                What::PurchaseRefunded(Box::new(refunded)),
                What::Granted { block: new, source: Source::Refund },
            ];
            return Ok((entries, Reply::Refunded { credits: unused, amount: Money::ZERO }));
        }
        let paid = self.discounted(priced(purchase, unused));
        let amount = share(paid.decimal()).and_then(|back| back.money()).unwrap_or_default();
        let line = Line {
            kind: LineKind::Refund,
            at: self.at,
            credits: unused,
            amount,
            from: purchase.at,
            to: None,
            what: Some(purchase.pack.clone()),
        };
        let refunded = PurchaseRefunded { block, moves, line: Some(line) };
        let entries = vec![What::PurchaseRefunded(Box::new(refunded))];
        Ok((entries, Reply::Refunded { credits: unused, amount }))
    }

    /// What is still owed of a charge's debt, at the most.
    fn open_debt(&self, ended: &Final, pool: &PoolId) -> Credits {
        let pool = self.account.book.pool(pool);
        pool.map_or(Credits::ZERO, |pool| {
            if ended.observed { pool.observed_debt } else { pool.debt - pool.observed_debt }
        })
    }

    /// The last draws that repaid debt, so many credits of them.
    fn repaid(&self, pool: &PoolId, amount: Credits) -> Vec<Draw> {
        let mut left = amount;
        let mut draws = Vec::new();
        for (id, paid) in self.account.repaid.iter().rev() {
            let part = (*paid).min(left);
            let block =
                self.account.book.block(*id).filter(|block| part.is_positive() && block.pool == *pool);
            if let Some(block) = block {
                draws.push(Draw { block: *id, species: block.species, amount: part });
                left -= part;
            }
        }
        draws
    }

    /// What is given back counts no more in the windows that the run was made in.
    fn uncounted(&self, ended: &Final, credits: Credits) -> Vec<(crate::credit::CapKey, Credits)> {
        let Some(frame) = self.frame().filter(|_| credits.is_positive()) else { return Vec::new() };
        if ended.state == State::Released {
            return Vec::new();
        }
        let spent =
            |key: &crate::credit::CapKey| self.account.book.counters.get(key).map(|counter| counter.spent);
        late_caps(&frame, ended, credits)
            .into_iter()
            .filter_map(|flow| Some((flow.key.clone(), flow.amount.min(spent(&flow.key)?))))
            .collect()
    }
}
