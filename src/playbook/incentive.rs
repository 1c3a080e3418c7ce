//! C13: credits awarded for behaviour.

use super::on_demand::Landing;
use crate::types::{Credits, Length};

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Incentive {
    pub credits: Credits,
    /// `None` = does not expire.
    pub lasts: Option<Length>,
    /// Awards to one user, ever.
    pub per_user: Option<u32>,
    /// Credits over all users in one period; the award that would pass it is cut to what is left.
    pub per_period: Option<Credits>,
    pub landing: Landing,
}
