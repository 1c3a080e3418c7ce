//! Credits: a whole number of billionths. Sums and comparisons are those of integers, and no amount has two forms.

#![expect(
    clippy::expect_used,
    reason = "amounts are bounded at every door: an overflow is a bug, contained to the account"
)]

use std::fmt;
use std::ops::{Add, Neg, Sub};

use rust_decimal::Decimal;

use super::amount::{AmountError, SCALE_MAX, amount, within, write_decimal};

/// Billionths of one credit.
const UNIT: i128 = 1_000_000_000;
const UNIT_SMALL: i64 = 1_000_000_000;

/// Powers of ten, by the places that they shift.
const POWERS: [i128; SCALE_MAX as usize + 1] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, UNIT];

/// An amount of credits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Credits(i128);

impl Credits {
    pub const ZERO: Self = Self(0);
    pub const ONE: Self = Self(UNIT);

    /// One more does not fit.
    #[cfg(test)]
    pub const MAX: Self = Self(i128::MAX);

    /// A whole number of credits.
    pub fn whole(units: i64) -> Self {
        Self(i128::from(units) * UNIT)
    }

    /// Accepts a decimal within `AMOUNT_MAX` and `SCALE_MAX`.
    pub fn new(value: Decimal) -> Result<Self, AmountError> {
        within(value, || value.to_string()).map(Self::computed)
    }

    /// A value that the core computed from amounts already accepted.
    pub(crate) fn computed(value: Decimal) -> Self {
        Self::of(value).expect("amount out of range")
    }

    /// `None` where it is finer than billionths, or too large.
    fn of(value: Decimal) -> Option<Self> {
        let value = if value.scale() > SCALE_MAX { value.normalize() } else { value };
        let places = usize::try_from(SCALE_MAX.checked_sub(value.scale())?).ok()?;
        value.mantissa().checked_mul(*POWERS.get(places)?).map(Self)
    }

    /// The same number, without zeros at its end.
    pub fn decimal(self) -> Decimal {
        if let Some(whole) = self.as_whole() {
            return Decimal::from(whole);
        }
        let (mut mantissa, mut places) = (self.0, SCALE_MAX);
        while places > 0 && mantissa % 10 == 0 {
            (mantissa, places) = (mantissa / 10, places - 1);
        }
        Decimal::try_from_i128_with_scale(mantissa, places).expect("amount out of range")
    }

    /// Whole credits, where there is nothing beside them; by 64 bits where these are enough, which costs a tenth.
    fn as_whole(self) -> Option<i64> {
        match i64::try_from(self.0) {
            Ok(small) => (small % UNIT_SMALL == 0).then_some(small / UNIT_SMALL),
            Err(_) if self.0 % UNIT == 0 => i64::try_from(self.0 / UNIT).ok(),
            Err(_) => None,
        }
    }

    /// So many times as much.
    pub fn times(self, factor: i64) -> Self {
        Self(self.0.checked_mul(i128::from(factor)).expect("amount out of range"))
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    pub fn is_negative(self) -> bool {
        self.0 < 0
    }
}

amount!(Credits);

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.as_whole() {
            Some(whole) => fmt::Display::fmt(&whole, f),
            None => write_decimal(self.decimal(), f),
        }
    }
}

impl Add for Credits {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).expect("amount out of range"))
    }
}

impl Sub for Credits {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0.checked_sub(other.0).expect("amount out of range"))
    }
}

impl Neg for Credits {
    type Output = Self;

    fn neg(self) -> Self {
        Self(-self.0)
    }
}

/// On disk a whole number where it is one that fits 64 bits, else a decimal's 16 bytes.
impl<C> minicbor::Encode<C> for Credits {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self.as_whole() {
            Some(whole) => e.i64(whole)?,
            None => e.bytes(&self.decimal().serialize())?,
        };
        Ok(())
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Credits {
    fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
        match d.datatype()? {
            minicbor::data::Type::Bytes => Self::of(super::amount::decode_decimal(d, c)?).ok_or_else(|| {
                minicbor::decode::Error::message("finer than billionths of a credit, or too large")
            }),
            _ => Ok(Self::whole(d.i64()?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    const SOME: [(i64, u32); 11] = [
        (0, 0),
        (0, 9),
        (7, 2),
        (-7, 2),
        (1, 9),
        (-10, 1),
        (10, 2),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (i64::MAX, 9),
        (123_456, 3),
    ];

    #[test]
    fn is_the_decimal_that_it_was_made_of() {
        for (mantissa, places) in SOME {
            let decimal = Decimal::new(mantissa, places);
            let credits = Credits::computed(decimal);
            assert_eq!(credits.decimal(), decimal);
            assert_eq!(credits.decimal().scale(), decimal.normalize().scale());
            assert_eq!(credits.to_string(), decimal.normalize().to_string());
            assert_eq!(format!("{credits:>40}"), format!("{:>40}", decimal.normalize()));
            assert_eq!(
                (credits.is_zero(), credits.is_positive(), credits.is_negative()),
                (mantissa == 0, mantissa > 0, mantissa < 0)
            );
        }
        assert_eq!(Credits::of(Decimal::new(1, 10)), None);
        assert_eq!(Credits::of(Decimal::new(10, 10)), Some(Credits(1)));
    }

    #[test]
    fn sums_are_those_of_decimals() {
        for ((a, p), (b, q)) in SOME.iter().flat_map(|a| SOME.iter().map(move |b| (*a, *b))) {
            let (a, b) = (Decimal::new(a, p), Decimal::new(b, q));
            let of = Credits::computed;
            assert_eq!(of(a) + of(b), of(a + b));
            assert_eq!(of(a) - of(b), of(a - b));
            assert_eq!(of(a).cmp(&of(b)), a.cmp(&b));
        }
    }

    #[test]
    fn round_trips_on_disk() {
        for text in ["0", "1", "-7", "0.000000001", "1000000000000000", "999999999999999.999999999", "2.5"] {
            let amount = Credits::from_str(text).unwrap();
            let bytes = minicbor::to_vec(amount).unwrap();
            assert_eq!(minicbor::decode::<Credits>(&bytes).unwrap(), amount);
        }
    }

    /// As credits were written while they were decimals, which knew `2.50` and `2.5`.
    #[test]
    fn reads_decimals_of_any_form() {
        for (mantissa, places, text) in
            [(250, 2, "2.5"), (-2_500_000_000, 9, "-2.5"), (30, 1, "3"), (0, 4, "0")]
        {
            let mut bytes = Vec::new();
            minicbor::Encoder::new(&mut bytes).bytes(&Decimal::new(mantissa, places).serialize()).unwrap();
            assert_eq!(minicbor::decode::<Credits>(&bytes).unwrap().to_string(), text);
        }
        let mut bytes = Vec::new();
        minicbor::Encoder::new(&mut bytes).bytes(&Decimal::new(1, 10).serialize()).unwrap();
        assert!(minicbor::decode::<Credits>(&bytes).is_err());
    }
}
