//! Shares written as percentages, `15%`; zero or more, with up to nine decimals.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;

use super::amount::{AmountError, parse_decimal};
use super::credits::Credits;
use super::ratio::Ratio;

/// A percentage: `15%` is `Percent(15)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Percent(Decimal);

impl Percent {
    pub const FULL: Self = Self(Decimal::ONE_HUNDRED);

    pub fn ratio(self) -> Option<Ratio> {
        let mut hundredth = self.0.normalize();
        hundredth.set_scale(hundredth.scale() + 2).ok()?;
        Ratio::of(hundredth)
    }

    /// This share of an amount, not rounded.
    pub fn of(self, amount: Credits) -> Option<Ratio> {
        self.ratio()?.times(amount.decimal())
    }
}

impl FromStr for Percent {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let number = text.strip_suffix('%').ok_or_else(|| AmountError::NotANumber(text.to_owned()))?;
        let value = Credits::new(parse_decimal(number)?)?;
        if value.is_negative() {
            return Err(AmountError::Negative(text.to_owned()));
        }
        Ok(Self(value.decimal()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0.normalize())
    }
}
