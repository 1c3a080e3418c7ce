//! How the account evolves by credits that are bought, awarded or moved, and what of overage is counted.

use super::entry::{Buyer, Purchase, What};
use super::state::Account;
use crate::credit::invoice::{Line, LineKind};
use crate::credit::price::PeriodOverage;
use crate::credit::{Block, Move};
use crate::playbook::billing::discounted;
use crate::playbook::overage::{Link, Prices};
use crate::types::{BlockId, Credits, Name, Percent, ReservationId};

impl Account {
    pub(super) fn apply_credits(&mut self, what: &What) {
        match what {
            What::Allocated { moves, blocks } => self.allocated(moves, blocks),
            What::Purchased { block, purchase } => self.purchased(block, purchase),
            What::Awarded { block, incentive, user } => self.awarded(block, incentive, user),
            What::SeatTaken { user, moves, blocks } => {
                self.seated.insert(user.clone());
                self.allocated(moves, blocks);
            }
            What::SeatsAdded { moves, blocks, share } => {
                self.allocated(moves, blocks);
                self.seat_shares.extend(blocks.iter().map(|block| (block.id, *share)));
            }
            What::Rolled(rolled) => self.rolled(rolled),
            What::Covered { block, by, amount } => self.covered(*block, *by, *amount),
            // Applied before it came here.
            What::Subscribed { .. }
            | What::Suspended
            | What::Resumed
            | What::OverageLimited(_)
            | What::PeriodStarted { .. }
            | What::Granted { .. }
            | What::Lapsed(_)
            | What::Voided(_)
            | What::Repaid { .. }
            | What::Leased(_)
            | What::GrantLost { .. }
            | What::Reclaimed { .. }
            | What::Absorbed(_)
            | What::Run(_)
            | What::Started { .. }
            | What::Unsealed { .. }
            | What::Raised(_)
            | What::Cleared(_)
            | What::Unpaid(_)
            | What::Reconciled { .. }
            | What::Unexplained(_)
            | What::Recounted(_)
            | What::Overlaid(_)
            | What::PlanMoved(_)
            | What::Billed(_)
            | What::Pended(_)
            | What::Ended
            | What::TermStarted { .. }
            | What::CommitmentStarted { .. }
            | What::Refunded(_)
            | What::TransferSent(_)
            | What::TransferReceived(_)
            | What::TransferAnswered { .. }
            | What::DebtBilled { .. }
            | What::Reduced(_)
            | What::PoolsMerged(_)
            | What::PurchaseRefunded(_) => {}
        }
    }

    /// Who causes a run, if a user does.
    pub(super) fn user_of(&self, id: ReservationId) -> Option<Name> {
        let open = self.book.runs.get(&id).map(|run| &run.run);
        let run = open.or_else(|| self.book.finals.get(&id).map(|ended| &ended.run))?;
        run.subject.user.clone()
    }

    /// Credits that left one pool go on in another.
    pub(super) fn allocated(&mut self, moves: &[Move], blocks: &[Block]) {
        self.shift_all(moves);
        for block in blocks {
            self.next_block = self.next_block.max(block.id.0 + 1);
            self.book.insert(block.clone());
        }
    }

    pub(super) fn purchased(&mut self, block: &Block, purchase: &Purchase) {
        self.allocated(&[], std::slice::from_ref(block));
        self.topped_up += u32::from(purchase.by == Buyer::TopUp);
        self.purchases.insert(block.id, purchase.clone());
        let amount = discounted(purchase.price, self.discount()).unwrap_or(purchase.price);
        self.billed(&Line {
            kind: LineKind::Pack,
            at: purchase.at,
            credits: purchase.credits,
            amount,
            from: purchase.at,
            to: None,
            what: Some(purchase.pack.clone()),
        });
    }

    pub(super) fn awarded(&mut self, block: &Block, incentive: &Name, user: &Name) {
        self.allocated(&[], std::slice::from_ref(block));
        *self.awards.entry((incentive.clone(), user.clone())).or_default() += 1;
        *self.awarded.entry(incentive.clone()).or_default() += block.granted;
    }

    pub(super) fn note_overage(&mut self, block: BlockId, amount: Credits, user: Option<&Name>) {
        let Some(found) = self.book.block(block) else { return };
        let (start, current) = (found.effective_at, found.effective_at >= self.period.start);
        if let Some(user) = user.filter(|_| current) {
            *self.book.overage_by.entry(user.clone()).or_default() += amount;
        }
        let prices = self.contract.as_ref().map_or_else(
            || Prices(Vec::new()),
            |contract| {
                let soft = contract.plan.overage.iter().find_map(|link| match link {
                    Link::Soft { price, .. } => Some(price.clone()),
                    _ => None,
                });
                soft.unwrap_or_else(|| Prices::flat(contract.plan.price))
            },
        );
        let index = self.overage.iter().position(|period| period.start == start).unwrap_or_else(|| {
            self.overage.push(PeriodOverage::new(start));
            self.overage.len() - 1
        });
        let discount = self.discount();
        let lines = self.lines.len();
        if let Some(period) = self.overage.get_mut(index) {
            let more = period.add(amount, &prices, discount, lines);
            self.count_committed(more);
        }
    }

    /// What a commitment takes off prices.
    pub(super) fn discount(&self) -> Percent {
        let commitment = self.contract.as_ref().and_then(|contract| contract.plan.commitment);
        commitment.map_or_else(Default::default, |commitment| commitment.discount)
    }
}
