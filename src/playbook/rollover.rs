//! C6: what becomes of credits that are unused at a period's end, by species.

use super::draw_order::Species;
use super::scalar::Portion;
use crate::types::Length;

/// How the unused credits of one species roll; a species without a rule does not roll.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roll {
    pub species: Species,
    /// The most that rolls at one boundary: credits, or a share of the allowance.
    pub up_to: Portion,
    pub times: Times,
    /// `None` = one period.
    pub lasts: Option<Lasts>,
}

/// How often the same credits roll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    Number(u32),
    Unlimited,
}

/// How long rolled credits live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    For(Length),
    Forever,
}

impl From<Length> for Lasts {
    fn from(length: Length) -> Self {
        Self::For(length)
    }
}

impl Times {
    /// Whether credits that rolled so often roll once more.
    pub fn allow(self, rolled: u32) -> bool {
        match self {
            Self::Number(most) => rolled < most,
            Self::Unlimited => true,
        }
    }
}
