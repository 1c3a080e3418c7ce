//! What overage costs: billing lines, priced marginally over each period's overage.

use minicbor::{Decode, Encode};

use crate::playbook::billing::discounted;
use crate::playbook::overage::Prices;
use crate::types::{Credits, Money, Percent, Timestamp};

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
    /// How many billing lines there were when the period's first overage was spent.
    #[cbor(n(3), default)]
    pub lines: usize,
}

impl PeriodOverage {
    pub fn new(start: Timestamp) -> Self {
        Self { start, spent: Credits::ZERO, amount: Money::ZERO, lines: 0 }
    }

    /// Counts more overage, or less where a charge was lowered, by the prices in force now: what was billed before stays
    /// as it was. Answers what that costs.
    pub fn add(&mut self, credits: Credits, prices: &Prices, discount: Percent, lines: usize) -> Money {
        if self.spent.is_zero() {
            self.lines = lines;
        }
        let before = prices.total(self.spent.or_zero());
        self.spent += credits;
        let after = prices.total(self.spent.or_zero());
        let more = before.zip(after).and_then(|(before, after)| discounted(after - before, discount));
        let more = if self.spent.is_zero() { -self.amount } else { more.unwrap_or_default() };
        self.amount += more;
        more
    }
}
