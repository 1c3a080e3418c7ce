//! C11: who may move credits, how many, and how far.

use crate::types::Credits;
use crate::types::calendar::Every;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Transfers {
    pub between: Between,
    /// Members too; administrators always, where transfers are allowed at all.
    pub by_member: bool,
    /// Credits that the account may give in each window.
    pub limit: Option<(Credits, Every)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Between {
    #[default]
    None,
    /// Of one account.
    Pools,
    /// Other accounts too, pools included.
    Accounts,
}
