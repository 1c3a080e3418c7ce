//! C9: what of a charge, or of a purchase, comes back.

use crate::types::{Credits, Length, Percent};

/// Without a rule nothing is refunded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Refunds {
    pub charges: Option<ChargeRefunds>,
    pub purchases: Option<PurchaseRefunds>,
}

/// A refunded charge goes back to the blocks that paid it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChargeRefunds {
    /// Counted from the run's end.
    pub within: Length,
    /// What becomes of it where those blocks have ended; `None` = a new block that does not expire.
    pub reissue: Option<Reissue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reissue {
    /// A new block that lasts so long.
    For(Length),
    /// It lapses at once.
    Never,
}

impl From<Length> for Reissue {
    fn from(length: Length) -> Self {
        Self::For(length)
    }
}

/// Unused credits of one purchase go back to the shop.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PurchaseRefunds {
    /// Counted from the purchase.
    pub within: Length,
    /// Of what the unused credits cost.
    pub rate: Percent,
    /// Unused credits below this are not refunded.
    pub minimum: Credits,
    pub paid_as: PaidAs,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaidAs {
    #[default]
    Money,
    /// A new `refund` block of the refunded share of the credits.
    Credit,
}
