//! C5: the chain tried, in order, once the other blocks are used up.

use super::cap::CapWindow;
use super::draw_order::Species;
use super::scalar::Portion;
use crate::types::{Credits, Money, Name, Ratio};

#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// Packs bought automatically.
    TopUp {
        pack: Name,
        /// Fires below so many credits; `None` = only to make a run fit.
        below: Option<Credits>,
        /// Packs per period; `None` = without limit.
        at_most: Option<u32>,
    },
    /// Part of the next period's allowance.
    Borrow { up_to: Portion },
    /// Headroom billed per credit.
    Soft {
        /// Credits per period; `None` = without limit.
        up_to: Option<Credits>,
        /// Of these, per user; runs without a user are not counted.
        per_user: Option<Credits>,
        price: Prices,
    },
    /// A degraded allowance for basic actions; `credits: None` = free of charge.
    Degraded { credits: Option<Credits>, every: CapWindow },
}

impl Link {
    /// The species of the blocks that it brings, where these last as long as the link does.
    pub fn species(&self) -> Option<Species> {
        match self {
            Self::TopUp { .. } => None,
            Self::Borrow { .. } => Some(Species::Borrowed),
            Self::Soft { .. } => Some(Species::Overage),
            Self::Degraded { .. } => Some(Species::Basic),
        }
    }
}

/// A price per credit, marginal over a period's overage: each tier's price holds for the credits inside that tier.
#[derive(Clone, Debug, PartialEq)]
pub struct Prices(pub Vec<Tier>);

#[derive(Clone, Debug, PartialEq)]
pub struct Tier {
    /// Where the tier ends, in credits from the period's start; `None` in the last tier only.
    pub up_to: Option<Credits>,
    pub at: Money,
}

impl Prices {
    pub fn flat(at: Money) -> Self {
        Self(vec![Tier { up_to: None, at }])
    }

    /// What `credits` of overage in one period cost in all; `None` if out of range.
    pub fn total(&self, credits: Credits) -> Option<Money> {
        let mut from = Credits::ZERO;
        let mut sum = Ratio::ZERO;
        for tier in &self.0 {
            let to = tier.up_to.map_or(credits, |end| end.min(credits));
            if to > from {
                sum = sum.plus(Ratio::of((to - from).decimal())?.times(tier.at.decimal())?)?;
                from = to;
            }
        }
        sum.money()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_prices_are_marginal() {
        let prices = Prices(vec![
            Tier { up_to: Some(Credits::whole(100)), at: "0.10".parse().unwrap() },
            Tier { up_to: None, at: "0.08".parse().unwrap() },
        ]);
        for (credits, total) in [(0, "0"), (100, "10"), (150, "14"), (1000, "82")] {
            assert_eq!(prices.total(Credits::whole(credits)).unwrap().to_string(), total);
        }
    }
}
