//! A block: credits with a species, a life and a price. In every block, always:
//! `granted = available + held + spent + lapsed + withdrawn`.

use minicbor::{Decode, Encode};

use super::pool::PoolId;
use crate::playbook::draw_order::Species;
use crate::types::{BlockId, Credits, Money, Timestamp};

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Block {
    #[n(0)]
    pub id: BlockId,
    #[n(1)]
    pub pool: PoolId,
    #[n(2)]
    pub species: Species,
    /// The lower number is drawn first.
    #[n(3)]
    pub priority: i32,
    #[n(4)]
    pub effective_at: Timestamp,
    /// Exclusive: at this instant the block no longer pays.
    #[n(5)]
    pub expires_at: Option<Timestamp>,
    #[n(6)]
    pub unit_price: Option<Money>,
    /// Grows with what is drawn from it: headroom without limit.
    #[n(7)]
    pub elastic: bool,
    #[n(8)]
    pub granted: Credits,
    #[n(9)]
    pub available: Credits,
    #[n(10)]
    pub held: Credits,
    #[n(11)]
    pub spent: Credits,
    #[n(12)]
    pub lapsed: Credits,
    #[n(13)]
    pub withdrawn: Credits,
    /// How often its credits have rolled over.
    #[cbor(n(14), default)]
    pub rolls: u32,
    /// What its credits were before they rolled: they roll again by the rule of that species.
    #[n(15)]
    pub original: Option<Species>,
}

/// Where credits of a block are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Column {
    /// Not in the block: a move from here grants, a move to here takes a grant back.
    #[n(0)]
    Outside,
    #[n(1)]
    Available,
    #[n(2)]
    Held,
    #[n(3)]
    Spent,
    #[n(4)]
    Lapsed,
    #[n(5)]
    Withdrawn,
}

/// Credits of one block that change their column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Move {
    #[n(0)]
    pub block: BlockId,
    #[n(1)]
    pub from: Column,
    #[n(2)]
    pub to: Column,
    #[n(3)]
    pub amount: Credits,
}

impl Block {
    /// A block without credits yet.
    pub fn new(id: BlockId, pool: PoolId, species: Species, effective_at: Timestamp) -> Self {
        Self {
            id,
            pool,
            species,
            priority: 0,
            effective_at,
            expires_at: None,
            unit_price: None,
            elastic: false,
            granted: Credits::ZERO,
            available: Credits::ZERO,
            held: Credits::ZERO,
            spent: Credits::ZERO,
            lapsed: Credits::ZERO,
            withdrawn: Credits::ZERO,
            rolls: 0,
            original: None,
        }
    }

    /// An empty block that takes this one's credits on: same life, price and past, another id and pool.
    pub fn moved(&self, id: BlockId, pool: PoolId) -> Self {
        let mut block = Self::new(id, pool, self.species, self.effective_at);
        block.priority = self.priority;
        block.expires_at = self.expires_at;
        block.unit_price = self.unit_price;
        block.rolls = self.rolls;
        block.original = self.original;
        block
    }

    /// The species by whose rule its credits roll over.
    pub fn rolls_as(&self) -> Species {
        self.original.unwrap_or(self.species)
    }

    /// The same block with `credits` granted and available.
    pub fn with(mut self, credits: Credits) -> Self {
        self.granted += credits;
        self.available += credits;
        self
    }

    pub fn has_ended(&self, at: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| at >= end)
    }

    /// Whether it pays at this instant.
    pub fn pays(&self, at: Timestamp) -> bool {
        self.effective_at <= at && !self.has_ended(at)
    }

    /// Moves credits between two columns. An elastic block has no available column: what leaves it there is granted
    /// on the way, what returns there is taken back.
    pub fn shift(&mut self, from: Column, to: Column, amount: Credits) {
        let actual =
            |column| if self.elastic && column == Column::Available { Column::Outside } else { column };
        let (from, to) = (actual(from), actual(to));
        *self.column(from) -= amount;
        *self.column(to) += amount;
        // `granted` counts what came in from outside: the column outside is its mirror.
        if from == Column::Outside {
            self.granted += amount + amount;
        }
        if to == Column::Outside {
            self.granted -= amount + amount;
        }
    }

    fn column(&mut self, column: Column) -> &mut Credits {
        match column {
            Column::Outside => &mut self.granted,
            Column::Available => &mut self.available,
            Column::Held => &mut self.held,
            Column::Spent => &mut self.spent,
            Column::Lapsed => &mut self.lapsed,
            Column::Withdrawn => &mut self.withdrawn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shifts_keep_the_equation() {
        for elastic in [false, true] {
            let mut block = Block::new(BlockId(1), PoolId::Account, Species::OnDemand, Timestamp::default());
            block.elastic = elastic;
            if !elastic {
                block.shift(Column::Outside, Column::Available, Credits::whole(10));
                assert_eq!((block.granted, block.available), (Credits::whole(10), Credits::whole(10)));
            }
            block.shift(Column::Available, Column::Held, Credits::whole(4));
            block.shift(Column::Held, Column::Spent, Credits::whole(3));
            block.shift(Column::Held, Column::Available, Credits::whole(1));
            assert_eq!((block.held, block.spent), (Credits::ZERO, Credits::whole(3)));
            assert_eq!(block.granted, Credits::whole(if elastic { 3 } else { 10 }));
            assert_eq!(block.granted, block.available + block.held + block.spent);
        }
    }
}
