//! A pool: a set of blocks in draw order, and the pool's debt.

use std::cmp::Reverse;
use std::fmt;

use minicbor::{Decode, Encode};

use super::block::{Block, Move};
use crate::playbook::Plan;
use crate::playbook::draw_order::{DrawOrder, Species};
use crate::playbook::overage::Link;
use crate::types::{BlockId, Credits, Name, Timestamp};

/// Whose credits a pool holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum PoolId {
    #[n(0)]
    Account,
    #[n(1)]
    Team(#[n(0)] Name),
    #[n(2)]
    User(#[n(0)] Name),
    /// Shares set aside for seats that nobody has taken in this period.
    #[n(3)]
    Seats,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub id: PoolId,
    /// In draw order.
    pub blocks: Vec<Block>,
    /// What was consumed here but no block could pay.
    pub debt: Credits,
    /// The part of such debt that was booked in observe mode: nothing repays it.
    pub observed_debt: Credits,
}

/// The place of a block in a plan's draw order; the smaller is drawn first.
type Place = (u8, i32, usize, Timestamp, Reverse<u64>, u64);

/// How blocks sort under a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sorting {
    order: DrawOrder,
    /// The last resorts, in the order in which the plan's chain names them.
    chain: Vec<Species>,
}

impl Sorting {
    pub fn of(plan: &Plan) -> Self {
        let chain = plan.overage.iter().filter_map(Link::species).collect();
        Self { order: plan.draw_order.clone(), chain }
    }

    fn place(&self, block: &Block) -> Place {
        let last_resort = block.species.is_last_resort().then(|| {
            // A species that the chain does not name (emergency) comes after those that it names.
            let named = self.chain.iter().position(|species| *species == block.species);
            1 + named.unwrap_or(self.chain.len()).min(100)
        });
        let rank = u8::try_from(last_resort.unwrap_or(0)).unwrap_or(u8::MAX);
        let ends = block.expires_at.unwrap_or(Timestamp::from_micros(i64::MAX));
        let none = Timestamp::default();
        let (species, ends, newest) = match &self.order {
            DrawOrder::Fefo => (0, ends, 0),
            DrawOrder::Fifo => (0, none, 0),
            DrawOrder::Lifo => (0, none, block.id.0),
            DrawOrder::Species(list) => {
                (list.iter().position(|s| *s == block.species).unwrap_or(list.len()), ends, 0)
            }
        };
        (rank, block.priority, species, ends, Reverse(newest), block.id.0)
    }
}

impl Pool {
    pub fn new(id: PoolId) -> Self {
        Self { id, blocks: Vec::new(), debt: Credits::ZERO, observed_debt: Credits::ZERO }
    }

    /// Adds a block at its place in the draw order.
    pub fn insert(&mut self, block: Block, sorting: &Sorting) {
        let place = sorting.place(&block);
        let index = self.blocks.partition_point(|other| sorting.place(other) < place);
        self.blocks.insert(index, block);
    }

    pub fn sort(&mut self, sorting: &Sorting) {
        self.blocks.sort_by_key(|block| sorting.place(block));
    }

    pub fn block(&self, id: BlockId) -> Option<&Block> {
        self.blocks.iter().find(|block| block.id == id)
    }

    pub fn block_mut(&mut self, id: BlockId) -> Option<&mut Block> {
        self.blocks.iter_mut().find(|block| block.id == id)
    }

    /// Applies a move if its block is here.
    pub fn apply(&mut self, step: &Move) -> bool {
        match self.block_mut(step.block) {
            Some(block) => {
                block.shift(step.from, step.to, step.amount);
                true
            }
            None => false,
        }
    }
}

impl PoolId {
    /// `account`, `team:T` or `user:U`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None => (text == "account").then_some(Self::Account),
            Some(("team", name)) => Name::parse(name).ok().map(Self::Team),
            Some(("user", name)) => Name::parse(name).ok().map(Self::User),
            Some(_) => None,
        }
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("account"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::User(name) => write!(f, "user:{name}"),
            Self::Seats => f.write_str("seats"),
        }
    }
}
