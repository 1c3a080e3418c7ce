//! Credits that go from pool to pool keep their species, life and price. Administrators allocate them; a user who is first
//! seen in the period takes a seat's share.

use super::administer::AdminRefusal;
use super::entry::{Reply, What};
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::{Block, Column, Move, PoolId, Subject};
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Ratio, Rounding};

impl Work<'_> {
    pub(super) fn allocate(
        &self,
        from: &PoolId,
        to: &PoolId,
        credits: Credits,
    ) -> Result<(What, Reply), AdminRefusal> {
        let (moves, blocks) = self.between_pools(from, to, credits)?;
        Ok((What::Allocated { moves, blocks }, Reply::Done))
    }

    /// What takes `credits` out of one pool, in draw order, and the blocks that they go on in.
    pub(super) fn between_pools(
        &self,
        from: &PoolId,
        to: &PoolId,
        credits: Credits,
    ) -> Result<(Vec<Move>, Vec<Block>), AdminRefusal> {
        self.known_pool(from)?;
        self.known_pool(to)?;
        let (moves, blocks, missing) = self.taken_out(from, to, credits);
        if missing.is_positive() {
            return Err(AdminRefusal::CreditsExhausted);
        }
        if from == to {
            return Ok((Vec::new(), Vec::new()));
        }
        self.room_for_blocks(blocks.len())?;
        Ok((moves, blocks))
    }

    pub(super) fn taken_out(
        &self,
        from: &PoolId,
        to: &PoolId,
        credits: Credits,
    ) -> (Vec<Move>, Vec<Block>, Credits) {
        let path = std::slice::from_ref(from);
        let drawn = draw::draw(&self.account.book.pools, credits, Limits::late(path, self.at));
        let (mut moves, mut blocks, mut taken) = (Vec::new(), Vec::new(), Credits::ZERO);
        for draw in drawn.draws.iter().filter(|draw| !draw.species.is_last_resort()) {
            let Some(source) = self.account.book.block(draw.block) else { continue };
            let id = BlockId(self.account.next_block + blocks.len() as u64);
            moves.push(taken_from(source, draw.amount));
            blocks.push(source.moved(id, to.clone()).with(draw.amount));
            taken += draw.amount;
        }
        (moves, blocks, credits - taken)
    }

    /// A user who is first seen in the period takes a seat's share, while there is one.
    pub(super) fn first_seen(&mut self, subject: &Subject) {
        let Some(user) = subject.user.as_ref() else { return };
        let Some(seats) = self.account.book.pool(&PoolId::Seats) else { return };
        let free = |block: &&Block| block.available.is_positive() && block.pays(self.at);
        let Some(block) = seats.blocks.iter().find(free) else { return };
        if self.account.seated.contains(user) {
            return;
        }
        let share = self.account.seat_shares.get(&block.id).copied().unwrap_or_default();
        let amount = share.min(block.available);
        let moves = if amount.is_positive() { vec![taken_from(block, amount)] } else { Vec::new() };
        let id = BlockId(self.account.next_block);
        let own = block.moved(id, PoolId::User(user.clone())).with(amount);
        let blocks = if amount.is_positive() { vec![own] } else { Vec::new() };
        self.emit(What::SeatTaken { user: user.clone(), moves, blocks });
    }

    /// So many more seats: each is set aside its share of what is left of the period, out of what is left of the allowance.
    pub(super) fn more_seats(&self, added: u32) -> Option<What> {
        let contract = self.account.contract.as_ref()?;
        let period = self.account.period;
        let allowance = contract.plan.allowances.first()?;
        let (share, _) = self.set_aside(allowance.credits);
        let left = (period.end.micros_since(self.at), period.end.micros_since(period.start));
        let share = Ratio::of(share.decimal())?.share(left.0, left.1)?;
        let share = share.credits(contract.playbook.credit.scale, Rounding::Down)?;
        let all = share.decimal().checked_mul(added.into()).and_then(|all| Credits::new(all).ok())?;
        let pool = self.account.book.pool(&PoolId::Account)?;
        let fresh =
            |block: &&Block| block.species == Species::Subscription && block.expires_at == Some(period.end);
        let (mut moves, mut blocks, mut missing) = (Vec::new(), Vec::new(), all);
        for block in pool.blocks.iter().filter(fresh) {
            let amount = block.available.min(missing);
            if amount.is_positive() {
                let id = BlockId(self.account.next_block + blocks.len() as u64);
                moves.push(taken_from(block, amount));
                blocks.push(block.moved(id, PoolId::Seats).with(amount));
                missing -= amount;
            }
        }
        (!blocks.is_empty()).then_some(What::SeatsAdded { moves, blocks, share })
    }

    /// What of an allowance of `credits` is set aside for seats: the share of each, and all of them.
    pub(super) fn set_aside(&self, credits: Credits) -> (Credits, Credits) {
        let none = (Credits::ZERO, Credits::ZERO);
        let Some(contract) = &self.account.contract else { return none };
        let seats = rust_decimal::Decimal::from(contract.seats().unwrap_or(0));
        let Some(personal) = contract.plan.pooling.personal.filter(|_| !seats.is_zero()) else { return none };
        let scale = contract.playbook.credit.scale;
        let equal = Ratio::of(credits.decimal()).and_then(|all| all.divide(seats));
        let share = match personal {
            crate::playbook::Portion::Credits(credits) => credits,
            crate::playbook::Portion::Share(share) => share
                .ratio()
                .and_then(|share| equal?.multiplied(share)?.credits(scale, Rounding::Down))
                .unwrap_or_default(),
        };
        let all = share.decimal().checked_mul(seats).and_then(|all| Credits::new(all).ok());
        (share, all.unwrap_or(credits).min(credits))
    }
}

fn taken_from(block: &Block, amount: Credits) -> Move {
    Move { block: block.id, from: Column::Available, to: Column::Withdrawn, amount }
}
