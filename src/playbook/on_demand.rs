//! C8: packs of credits, and who may buy them.

use std::collections::BTreeMap;

use crate::types::calendar::Every;
use crate::types::{Credits, Length, Money, Name};

#[derive(Clone, Debug, Default, PartialEq)]
pub struct OnDemand {
    pub packs: BTreeMap<Name, Pack>,
    pub members: Members,
    /// Where a member's purchase lands.
    pub landing: Landing,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pack {
    pub credits: Credits,
    pub price: Money,
    /// `None` = does not expire.
    pub lasts: Option<Length>,
}

/// Whether members may buy; administrators always may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Members {
    #[default]
    MayNot,
    May,
    /// Each of them so many credits per calendar window.
    UpTo(Credits, Every),
}

/// Where credits land that a member buys or is awarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Landing {
    #[default]
    Account,
    Personal,
}
