//! Exact fractions. A price is computed as one fraction and rounded once, by a named rule.

use rust_decimal::Decimal;

use super::amount::{AMOUNT_MAX, Money};
use super::credits::Credits;

/// How the last digit is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// Away from zero: a part of a credit costs a whole one.
    #[default]
    Up,
    HalfEven,
    Down,
}

/// A fraction of two whole numbers, the denominator above zero. Every operation is exact or `None` (out of range).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ratio {
    numerator: i128,
    denominator: i128,
}

impl Ratio {
    pub const ZERO: Self = Self { numerator: 0, denominator: 1 };

    pub fn of(value: Decimal) -> Option<Self> {
        let value = value.normalize();
        Some(Self { numerator: value.mantissa(), denominator: 10_i128.checked_pow(value.scale())? })
    }

    pub fn plus(self, other: Self) -> Option<Self> {
        if self.denominator == other.denominator {
            return Some(Self { numerator: self.numerator.checked_add(other.numerator)?, ..self });
        }
        let common = gcd(self.denominator, other.denominator);
        let left = self.numerator.checked_mul(other.denominator / common)?;
        let right = other.numerator.checked_mul(self.denominator / common)?;
        Some(
            Self {
                numerator: left.checked_add(right)?,
                denominator: (self.denominator / common).checked_mul(other.denominator)?,
            }
            .reduced(),
        )
    }

    pub fn times(self, factor: Decimal) -> Option<Self> {
        self.multiplied(Self::of(factor)?)
    }

    pub fn multiplied(self, other: Self) -> Option<Self> {
        // Crosswise first, so that intermediate products stay as small as the result allows.
        let a = Self { numerator: self.numerator, denominator: other.denominator }.reduced();
        let b = Self { numerator: other.numerator, denominator: self.denominator }.reduced();
        Some(Self {
            numerator: a.numerator.checked_mul(b.numerator)?,
            denominator: a.denominator.checked_mul(b.denominator)?,
        })
    }

    /// `None` for a divisor of zero or less, too: shares and units are above zero.
    pub fn divide(self, divisor: Decimal) -> Option<Self> {
        let by = Self::of(divisor)?;
        if by.numerator <= 0 {
            return None;
        }
        self.multiplied(Self { numerator: by.denominator, denominator: by.numerator })
    }

    /// A share of time, `part` out of `whole`.
    pub fn share(self, part: i64, whole: i64) -> Option<Self> {
        if whole <= 0 {
            return None;
        }
        self.multiplied(Self { numerator: part.into(), denominator: whole.into() })
    }

    pub fn is_positive(self) -> bool {
        self.numerator > 0
    }

    pub fn max(self, other: Self) -> Option<Self> {
        let less =
            self.numerator.checked_mul(other.denominator)? < other.numerator.checked_mul(self.denominator)?;
        Some(if less { other } else { self })
    }

    pub fn at_least(self, other: Self) -> Option<bool> {
        Some(
            self.numerator.checked_mul(other.denominator)?
                >= other.numerator.checked_mul(self.denominator)?,
        )
    }

    /// The nearest decimal with `scale` places, by `rounding`; `None` beyond `AMOUNT_MAX`.
    pub fn round(self, scale: u32, rounding: Rounding) -> Option<Decimal> {
        let scaled = self.reduced();
        let power = 10_i128.checked_pow(scale)?;
        let common = gcd(power, scaled.denominator);
        let numerator = scaled.numerator.checked_mul(power / common)?;
        let denominator = scaled.denominator / common;
        let (quotient, rest) = (numerator / denominator, numerator % denominator);
        let away = match rounding {
            Rounding::Down => false,
            Rounding::Up => rest != 0,
            Rounding::HalfEven => {
                let left = denominator - rest.abs();
                rest.abs() > left || (rest.abs() == left && quotient % 2 != 0)
            }
        };
        let whole = if away { quotient.checked_add(numerator.signum())? } else { quotient };
        let value = Decimal::try_from_i128_with_scale(whole, scale).ok()?;
        (value.abs() <= Decimal::from(AMOUNT_MAX)).then(|| value.normalize())
    }

    pub fn credits(self, scale: u32, rounding: Rounding) -> Option<Credits> {
        self.round(scale, rounding).map(Credits::computed)
    }

    /// Money is kept to nine places: a billing system rounds its own totals.
    pub fn money(self) -> Option<Money> {
        self.round(super::amount::SCALE_MAX, Rounding::HalfEven).map(Money::computed)
    }

    fn reduced(self) -> Self {
        let common = gcd(self.numerator, self.denominator);
        if common <= 1 {
            self
        } else {
            Self { numerator: self.numerator / common, denominator: self.denominator / common }
        }
    }
}

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    // Most denominators are 1 or small powers of ten: 64-bit division is several times faster than 128-bit.
    while b != 0 {
        (a, b) = match (u64::try_from(a), u64::try_from(b)) {
            (Ok(x), Ok(y)) => (u128::from(y), u128::from(x % y)),
            _ => (b, a % b),
        };
    }
    i128::try_from(a).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(text: &str) -> Ratio {
        Ratio::of(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn rounds_once_by_a_named_rule() {
        for (n, d, up, half, down) in [
            ("1.5", "1", "2", "2", "1"),
            ("2.5", "1", "3", "2", "2"),
            ("1", "3", "1", "0", "0"),
            ("2", "3", "1", "1", "0"),
            ("4", "2", "2", "2", "2"),
            ("0", "7", "0", "0", "0"),
            ("-1.5", "1", "-2", "-2", "-1"),
        ] {
            let r = ratio(n).divide(d.parse().unwrap()).unwrap();
            for (rule, want) in [(Rounding::Up, up), (Rounding::HalfEven, half), (Rounding::Down, down)] {
                assert_eq!(r.credits(0, rule).unwrap().to_string(), want, "{n}/{d} {rule:?}");
            }
        }
    }

    #[test]
    fn is_exact_at_the_edges_or_says_no() {
        let large = ratio("999999999999999.999999999");
        assert_eq!(large.credits(9, Rounding::Up).unwrap().to_string(), "999999999999999.999999999");
        assert_eq!(large.times("1000".parse().unwrap()).unwrap().credits(0, Rounding::Up), None);
        let product = ratio("1000000000000000").times("0.000000001".parse().unwrap()).unwrap();
        assert_eq!(product.credits(0, Rounding::Up).unwrap().to_string(), "1000000");
    }
}
