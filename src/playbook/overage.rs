//! C5: the chain tried, in order, once the other blocks are used up.

use super::cap::CapWindow;
use super::draw_order::Species;
use crate::types::{Credits, Money, Ratio};

#[derive(Clone, Debug, PartialEq)]
pub enum Link {
    /// Headroom billed per credit.
    Soft {
        /// Credits per period; `None` = without limit.
        up_to: Option<Credits>,
        price: Prices,
    },
    /// A degraded allowance for basic actions; `credits: None` = free of charge.
    Degraded { credits: Option<Credits>, every: CapWindow },
}

impl Link {
    /// The species of the blocks that it brings, where these last as long as the link does.
    pub fn species(&self) -> Option<Species> {
        match self {
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
