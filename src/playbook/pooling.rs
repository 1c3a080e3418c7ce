//! C7: who shares what.

use super::scalar::Portion;

/// The most seats of an account: far more than people in one customer, and still a factor that no share overflows by.
pub const SEATS_MAX: u32 = 1_000_000;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pooling {
    pub scope: PoolScope,
    /// What is set aside for each seat: credits, or a share of an equal share; `None` = nothing.
    pub personal: Option<Portion>,
    pub spend: Spend,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PoolScope {
    /// One pool for all.
    #[default]
    Account,
    /// A team's runs draw on their team's pool alone.
    Team,
    /// A user's own pool, the team's, and the account's.
    Hybrid,
}

/// Which end of a hybrid path is used up first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Spend {
    #[default]
    PersonalFirst,
    PoolFirst,
}
