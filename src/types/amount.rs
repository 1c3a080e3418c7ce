//! Amounts: exact decimals that never become floats and never leave their range.

use std::fmt;
use std::ops::{Add, Neg, Sub};

use rust_decimal::Decimal;
use thiserror::Error;

/// The most decimal places an amount may have: the largest `credit.scale` of a playbook.
pub const SCALE_MAX: u32 = 9;

/// The largest amount accepted at any door: 10^15. With nine decimals it has 24 digits, so that tens of thousands of the
/// largest amounts still add up within the 28 digits that a decimal holds exactly.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// An amount of money in the playbook's currency.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(Decimal);

/// How much was used of what an action meters: units, tokens, minutes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(Decimal);

/// Why a text or a number is not an amount.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AmountError {
    #[error("`{0}` is not a decimal number such as `12.50`")]
    NotANumber(String),
    #[error("`{0}` is negative")]
    Negative(String),
    #[error("`{0}` is larger than {AMOUNT_MAX}")]
    TooLarge(String),
    #[error("`{value}` has more than {places} decimal places")]
    TooFine { value: String, places: u32 },
}

/// Reads a decimal number exactly: digits, one point, an optional sign; no exponent, no spaces, nothing rounded.
pub fn parse_decimal(text: &str) -> Result<Decimal, AmountError> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
        && digits.bytes().any(|b| b.is_ascii_digit());
    let shown = || text.chars().take(64).collect::<String>();
    if !plain {
        return Err(AmountError::NotANumber(shown()));
    }
    Decimal::from_str_exact(text).map_err(|_| {
        let whole = digits.split('.').next().unwrap_or_default();
        if whole.trim_start_matches('0').len() > 15 {
            AmountError::TooLarge(shown())
        } else {
            AmountError::TooFine { value: shown(), places: SCALE_MAX }
        }
    })
}

pub(super) fn within(value: Decimal, shown: impl FnOnce() -> String) -> Result<Decimal, AmountError> {
    if value.abs() > Decimal::from(AMOUNT_MAX) {
        return Err(AmountError::TooLarge(shown()));
    }
    let value = value.normalize();
    if value.scale() > SCALE_MAX {
        return Err(AmountError::TooFine { value: shown(), places: SCALE_MAX });
    }
    Ok(value)
}

/// Writes a number of few digits without the detours that one of 96 bits needs.
fn write_fraction(mantissa: i64, places: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // 28 places, the point, and a digit before it.
    let mut text = [0_u8; 30];
    let (mut rest, mut length) = (mantissa.unsigned_abs(), 0_u32);
    for byte in text.iter_mut().rev() {
        if length == places {
            *byte = b'.';
        } else {
            *byte = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
        }
        length += 1;
        if rest == 0 && length > places + 1 {
            break;
        }
    }
    let written = text.len().saturating_sub(length as usize);
    let digits = text.get(written..).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default();
    f.pad_integral(mantissa >= 0, "", digits)
}

/// Writes a decimal that has no zeros at its end.
pub(super) fn write_decimal(value: Decimal, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match i64::try_from(value.mantissa()) {
        // Most amounts are whole, and shorter to write.
        Ok(whole) if value.scale() == 0 => fmt::Display::fmt(&whole, f),
        Ok(mantissa) => write_fraction(mantissa, value.scale(), f),
        Err(_) => fmt::Display::fmt(&value, f),
    }
}

/// What all amounts have in common.
macro_rules! amount {
    ($name:ident) => {
        impl $name {
            /// `self - other`, or zero where that is below zero.
            pub fn saturating_sub(self, other: Self) -> Self {
                if other >= self { Self::ZERO } else { self - other }
            }

            /// The amount, or zero where it is below zero.
            pub fn or_zero(self) -> Self {
                if self.is_negative() { Self::ZERO } else { self }
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::types::AmountError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new($crate::types::amount::parse_decimal(text)?)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl std::ops::AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl std::ops::SubAssign for $name {
            fn sub_assign(&mut self, other: Self) {
                *self = *self - other;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, std::ops::Add::add)
            }
        }
    };
}

pub(super) use amount;

/// Amounts that are rare on the way of a call, and may be finer than credits.
macro_rules! decimal_amount {
    ($name:ident) => {
        impl $name {
            pub const ZERO: Self = Self(Decimal::ZERO);
            pub const ONE: Self = Self(Decimal::ONE);

            /// A whole number of units.
            pub fn whole(units: i64) -> Self {
                Self(Decimal::from(units))
            }

            /// Accepts a decimal within `AMOUNT_MAX` and `SCALE_MAX`.
            pub fn new(value: Decimal) -> Result<Self, AmountError> {
                within(value, || value.to_string()).map(Self)
            }

            pub fn decimal(self) -> Decimal {
                self.0
            }

            pub fn is_zero(self) -> bool {
                self.0.is_zero()
            }

            pub fn is_positive(self) -> bool {
                self.0.is_sign_positive() && !self.0.is_zero()
            }

            pub fn is_negative(self) -> bool {
                self.0.is_sign_negative() && !self.0.is_zero()
            }
        }

        amount!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_decimal(self.0.normalize(), f)
            }
        }

        // Amounts are bounded at every door: an overflow is a bug, contained to the account.
        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0.checked_add(other.0).expect("amount out of range"))
            }
        }

        impl Sub for $name {
            type Output = Self;

            fn sub(self, other: Self) -> Self {
                Self(self.0.checked_sub(other.0).expect("amount out of range"))
            }
        }

        impl Neg for $name {
            type Output = Self;

            fn neg(self) -> Self {
                Self(-self.0)
            }
        }

        impl<C> minicbor::Encode<C> for $name {
            fn encode<W: minicbor::encode::Write>(
                &self,
                e: &mut minicbor::Encoder<W>,
                _: &mut C,
            ) -> Result<(), minicbor::encode::Error<W::Error>> {
                encode_decimal(self.0, e)
            }
        }

        impl<'b, C> minicbor::Decode<'b, C> for $name {
            fn decode(d: &mut minicbor::Decoder<'b>, c: &mut C) -> Result<Self, minicbor::decode::Error> {
                decode_decimal(d, c).map(Self)
            }
        }
    };
}

decimal_amount!(Money);
decimal_amount!(Quantity);

impl Money {
    /// A value that the core computed from amounts already accepted.
    pub(crate) fn computed(value: Decimal) -> Self {
        Self(value)
    }
}

/// On disk a decimal is a whole number where it is one that fits 64 bits, else its 16 bytes.
fn encode_decimal<W: minicbor::encode::Write>(
    value: Decimal,
    e: &mut minicbor::Encoder<W>,
) -> Result<(), minicbor::encode::Error<W::Error>> {
    if value.scale() == 0
        && let Ok(whole) = i64::try_from(value.mantissa())
    {
        e.i64(whole)?;
    } else {
        e.bytes(&value.serialize())?;
    }
    Ok(())
}

pub(super) fn decode_decimal<C>(
    d: &mut minicbor::Decoder<'_>,
    _: &mut C,
) -> Result<Decimal, minicbor::decode::Error> {
    if d.datatype()? == minicbor::data::Type::Bytes {
        let bytes = <[u8; 16]>::try_from(d.bytes()?)
            .map_err(|_| minicbor::decode::Error::message("a decimal has 16 bytes"))?;
        Ok(Decimal::deserialize(bytes))
    } else {
        Ok(Decimal::from(d.i64()?))
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    #[test]
    fn reads_exact_decimals_only() {
        for (text, shown) in [
            ("0.10", "0.1"),
            ("12.50", "12.5"),
            ("-3", "-3"),
            ("1000000000000000", "1000000000000000"),
            (".5", "0.5"),
        ] {
            assert_eq!(Quantity::from_str(text).map(|q| q.to_string()), Ok(shown.to_owned()), "{text}");
        }
        for text in [
            "",
            "-",
            ".",
            "1e3",
            " 1",
            "1_000",
            "0x1",
            "NaN",
            "+1",
            "1.2.3",
            "1000000000000001",
            "0.0000000001",
            "99999999999999999999999999999999",
        ] {
            assert!(Quantity::from_str(text).is_err(), "{text}");
        }
    }

    #[test]
    fn is_written_as_a_decimal_is() {
        for (mantissa, places) in [
            (0, 0),
            (0, 9),
            (1, 9),
            (-1, 9),
            (10, 1),
            (-10, 2),
            (123_456, 3),
            (i64::MAX, 9),
            (i64::MIN, 9),
            (5, 28),
            (i64::MAX, 28),
        ] {
            let decimal = Decimal::new(mantissa, places);
            assert_eq!(Money(decimal).to_string(), decimal.normalize().to_string());
            assert_eq!(format!("{:>40}", Money(decimal)), format!("{:>40}", decimal.normalize()));
        }
    }

    #[test]
    fn round_trips_on_disk() {
        for text in ["0", "1", "-7", "0.000000001", "1000000000000000", "999999999999999.999999999", "2.5"] {
            let amount = Quantity::from_str(text).unwrap();
            let bytes = minicbor::to_vec(amount).unwrap();
            assert_eq!(minicbor::decode::<Quantity>(&bytes).unwrap(), amount);
        }
    }
}
