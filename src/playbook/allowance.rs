//! C3: what a plan grants, how often, and where its periods begin.

use crate::types::calendar::Every;
use crate::types::{Credits, Length};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    pub credits: Credits,
    pub recurs: Recurs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recurs {
    /// Never `Every::Minute`.
    Every(Every),
    /// A trial: granted once; `None` = does not end.
    Once { lasts: Option<Length> },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anchor {
    /// Periods start at the subscription's instant.
    #[default]
    Subscription,
    /// Periods are calendar windows; the first is pro-rated by time.
    Calendar,
}
