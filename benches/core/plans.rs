//! What is decided on, from the plainest plan to one with every choice made.

use anyhow::ensure;
use bursar_core::credit::{Block, PoolId};
use bursar_core::types::{Name, Timestamp};

use super::warm::block;

const USUAL: &str = include_str!("../wire/simple.yaml");

/// Every choice of the grammar made; one cap, which is each run's own budget.
const WHOLE: &str = include_str!("../wire/whole.yaml");
const ITS_CAP: &str = "      - {name: runaway, per: run, limit: 900000000}\n";
const MORE_CAPS: &str = "      - {name: daily-account, per: account, limit: 900000000, every: day}
      - {name: daily-team, per: team, limit: 900000000, every: day}
      - {name: daily-user, per: user, limit: 900000000, every: day}
      - {name: daily-agent, per: agent, limit: 900000000, every: day}
";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One block, no cap.
    Plain,
    /// One block, five caps.
    Capped,
    /// Every choice of the grammar, twenty blocks, five caps.
    Whole,
}

impl Plan {
    pub const ALL: [Self; 3] = [Self::Plain, Self::Capped, Self::Whole];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Capped => "capped",
            Self::Whole => "whole",
        }
    }

    pub fn playbook(self) -> anyhow::Result<String> {
        if self != Self::Whole {
            return Ok(USUAL.to_owned());
        }
        let with_caps = WHOLE.replace(ITS_CAP, &format!("{ITS_CAP}{MORE_CAPS}"));
        ensure!(
            with_caps != WHOLE,
            "benches/wire/whole.yaml has no longer the cap that the others go beside"
        );
        Ok(with_caps)
    }

    /// Its name in the playbook.
    pub fn plan(self) -> &'static str {
        match self {
            Self::Plain | Self::Whole => "plain",
            Self::Capped => "capped",
        }
    }

    pub fn dimensions(self) -> impl Iterator<Item = (&'static str, &'static str)> {
        (self == Self::Whole).then_some(("model", "large")).into_iter()
    }

    /// What is leased of the account. Where pools are hybrid, each user has a block, too.
    pub fn blocks(self, users: &[Name], at: Timestamp) -> Vec<Block> {
        let all: u64 = if self == Self::Whole { 20 } else { 1 };
        let own = users.iter().filter(|_| self == Self::Whole).map(|user| PoolId::User(user.clone()));
        let pools = own.chain(std::iter::repeat(PoolId::Account));
        (1..=all).zip(pools).map(|(number, pool)| block(number, pool, at)).collect()
    }
}
