//! Credits that go from pool to pool keep their species, life and price. Administrators allocate them; a user who is first
//! seen in the period takes a seat's share.

use super::administer::AdminRefusal;
use super::entry::{Reply, What};
use super::work::Work;
use crate::credit::draw::{self, Limits};
use crate::credit::{Block, Column, Move, PoolId, Subject};
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
            let step = (Column::Available, Column::Withdrawn);
            moves.push(Move { block: draw.block, from: step.0, to: step.1, amount: draw.amount });
            blocks.push(source.moved(id, to.clone()).with(draw.amount));
            taken += draw.amount;
        }
        (moves, blocks, credits - taken)
    }

    /// A user who is first seen in the period takes a seat's share, while there is one.
    pub(super) fn first_seen(&mut self, subject: &Subject) {
        let Some(user) = subject.user.as_ref() else { return };
        let left = self.account.book.pool(&PoolId::Seats).is_some_and(|pool| {
            pool.blocks.iter().any(|block| block.available.is_positive() && block.pays(self.at))
        });
        if !left || self.account.seated.contains(user) {
            return;
        }
        let own = PoolId::User(user.clone());
        let (moves, blocks, _) = self.taken_out(&PoolId::Seats, &own, self.account.seat_share);
        self.emit(What::SeatTaken { user: user.clone(), moves, blocks });
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
