//! What overage costs: billing lines, priced marginally over each period's overage.

use minicbor::{Decode, Encode};

use crate::playbook::overage::Prices;
use crate::types::{Credits, Money, Timestamp};

/// The overage of one period.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PeriodOverage {
    #[n(0)]
    pub start: Timestamp,
    #[n(1)]
    pub spent: Credits,
    /// What it costs in all, by the prices in force.
    #[n(2)]
    pub amount: Money,
}

impl PeriodOverage {
    pub fn new(start: Timestamp) -> Self {
        Self { start, spent: Credits::ZERO, amount: Money::ZERO }
    }

    /// Counts more overage, or less where a charge was lowered.
    pub fn add(&mut self, credits: Credits, prices: &Prices) {
        self.spent += credits;
        if let Some(total) = prices.total(self.spent.or_zero()) {
            self.amount = total;
        }
    }
}
