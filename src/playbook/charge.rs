//! C2, C4: what a run costs. One exact fraction, rounded once.

use std::collections::BTreeMap;
use std::fmt;

use minicbor::{Decode, Encode};
use rust_decimal::Decimal;
use thiserror::Error;

use super::action::{Partial, Terms, Trigger, Weight};
use super::meaning::CreditUnit;
use crate::types::amount::AMOUNT_MAX;
use crate::types::{Credits, Name, Percent, Quantity, Ratio, Rounding};

/// What a run used, in all.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Quantities {
    /// Units of an action that has one weight.
    #[n(0)]
    Single(#[n(0)] Quantity),
    /// Sorted by name, no name twice; zeros are kept.
    #[n(1)]
    Meters(#[n(0)] Vec<(Name, Quantity)>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum RunResult {
    #[n(0)]
    Succeeded,
    #[n(1)]
    Partial,
    #[n(2)]
    Failed,
    #[n(3)]
    Cancelled,
}

/// Why a run cannot be priced. Nothing is charged then.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChargeFault {
    #[error("the action has no meter `{meter}`; its meters are {known}")]
    UnknownMeter { meter: Name, known: Meters },
    #[error(
        "`{given}` is one quantity, and the action is metered by {known}; give `quantities` by these names"
    )]
    MetersWanted { given: Quantity, known: Meters },
    #[error("`quantities` names meters, and the action has one weight; give one `quantity`")]
    SingleWanted,
    #[error("`{value}` is negative; quantities are totals, zero or more")]
    Negative { meter: Option<Name>, value: Quantity },
    #[error("`{value}` is not a part of the run; completion is from 0 to 1")]
    CompletionOutOfRange { value: Quantity },
    #[error(
        "what this would cost is above {AMOUNT_MAX} credits, or has too many digits to be exact; give less"
    )]
    TooLarge,
}

/// The names of an action's meters, for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meters(Vec<Name>);

impl Quantities {
    /// What a call names, meter by meter.
    pub fn by_meter(meters: BTreeMap<Name, Quantity>) -> Self {
        Self::Meters(meters.into_iter().collect())
    }
}

impl RunResult {
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Partial, Self::Failed, Self::Cancelled];

    /// The word in calls, scenarios and journals.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Partial => "PARTIAL",
            Self::Failed => "FAILED",
            Self::Cancelled => "CANCELLED",
        }
    }

    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|result| result.word() == word)
    }
}

impl fmt::Display for RunResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl ChargeFault {
    /// The field of the call that is at fault, as a field violation names it.
    pub fn field(&self) -> String {
        match self {
            Self::UnknownMeter { meter, .. } | Self::Negative { meter: Some(meter), .. } => {
                format!("quantities[{meter}]")
            }
            Self::SingleWanted => "quantities".to_owned(),
            Self::CompletionOutOfRange { .. } => "completion".to_owned(),
            Self::MetersWanted { .. } | Self::Negative { meter: None, .. } | Self::TooLarge => {
                "quantity".to_owned()
            }
        }
    }
}

impl Terms {
    /// Whether the quantities fit the weight; a meter that is left out is zero.
    pub fn accepts(&self, used: &Quantities) -> Result<(), ChargeFault> {
        match (&self.weight, used) {
            (Weight::Single(_), Quantities::Single(value)) => not_negative(None, *value),
            (Weight::Single(_), Quantities::Meters(_)) => Err(ChargeFault::SingleWanted),
            (Weight::Meters(known), Quantities::Single(given)) => {
                Err(ChargeFault::MetersWanted { given: *given, known: Meters::of(known) })
            }
            (Weight::Meters(known), Quantities::Meters(meters)) => {
                meters.iter().try_for_each(|(meter, value)| {
                    if known.contains_key(meter) {
                        not_negative(Some(meter), *value)
                    } else {
                        Err(ChargeFault::UnknownMeter { meter: meter.clone(), known: Meters::of(known) })
                    }
                })
            }
        }
    }

    /// What an authorise asks for that names no quantity.
    pub fn default_quantities(&self) -> Quantities {
        match self.weight {
            Weight::Single(_) => Quantities::Single(Quantity::ONE),
            Weight::Meters(_) => Quantities::Meters(Vec::new()),
        }
    }

    /// What success is charged, and so what is reserved.
    pub fn success(&self, credit: &CreditUnit, used: &Quantities) -> Result<Credits, ChargeFault> {
        if let Some(charge) = self.plain(credit, used) {
            return Ok(charge);
        }
        rounded(self.full(used)?, credit)
    }

    /// What a run is charged that ended with `result`. `completion` counts for a partial run only; left out it is 0 there.
    pub fn charge(
        &self,
        credit: &CreditUnit,
        used: &Quantities,
        result: RunResult,
        completion: Option<Quantity>,
    ) -> Result<Credits, ChargeFault> {
        if let Some(value) = completion
            && (value.is_negative() || value > Quantity::ONE)
        {
            return Err(ChargeFault::CompletionOutOfRange { value });
        }
        match result {
            RunResult::Succeeded => self.success(credit, used),
            RunResult::Failed => self.share(credit, used, self.failure),
            RunResult::Cancelled => self.share(credit, used, self.cancelled),
            RunResult::Partial => self.part(credit, used, completion.unwrap_or(Quantity::ZERO)),
        }
    }

    /// What `progress` charges for the totals so far: no minimum yet, rounded down, and nothing before an outcome.
    pub fn instalment(&self, credit: &CreditUnit, used: &Quantities) -> Result<Credits, ChargeFault> {
        let sum = self.sum(used)?;
        if self.trigger == Trigger::Outcome {
            return Ok(Credits::ZERO);
        }
        sum.credits(credit.scale, Rounding::Down).ok_or(ChargeFault::TooLarge)
    }

    /// What a run costs that nobody settled in time.
    pub fn lapse_charge(&self, credit: &CreditUnit, used: &Quantities) -> Result<Credits, ChargeFault> {
        self.share(credit, used, self.lapse)
    }

    fn share(&self, credit: &CreditUnit, used: &Quantities, share: Percent) -> Result<Credits, ChargeFault> {
        if share == Percent::FULL {
            return self.success(credit, used);
        }
        let share = share.ratio().ok_or(ChargeFault::TooLarge)?;
        rounded(self.full(used)?.multiplied(share).ok_or(ChargeFault::TooLarge)?, credit)
    }

    fn part(
        &self,
        credit: &CreditUnit,
        used: &Quantities,
        completion: Quantity,
    ) -> Result<Credits, ChargeFault> {
        let all = match self.partial {
            Partial::Prorate => {
                let part = self.full(used)?.times(completion.decimal()).ok_or(ChargeFault::TooLarge)?;
                return rounded(part, credit);
            }
            Partial::AllOrNothing => completion == Quantity::ONE,
            Partial::Threshold(least) => Ratio::of(completion.decimal())
                .zip(least.ratio())
                .and_then(|(done, least)| done.at_least(least))
                .ok_or(ChargeFault::TooLarge)?,
        };
        if all { self.success(credit, used) } else { self.accepts(used).map(|()| Credits::ZERO) }
    }

    /// The full charge: the sum, and at least the minimum where it is above zero.
    fn full(&self, used: &Quantities) -> Result<Ratio, ChargeFault> {
        let sum = self.sum(used)?;
        if self.minimum.is_zero() || !sum.is_positive() {
            return Ok(sum);
        }
        Ratio::of(self.minimum.decimal()).and_then(|least| sum.max(least)).ok_or(ChargeFault::TooLarge)
    }

    /// Σ quantity × weight ÷ per.
    fn sum(&self, used: &Quantities) -> Result<Ratio, ChargeFault> {
        self.accepts(used)?;
        let sum = match (&self.weight, used) {
            (Weight::Single(weight), Quantities::Single(value)) => {
                Ratio::of(value.decimal()).and_then(|units| units.times(*weight))
            }
            (Weight::Meters(weights), Quantities::Meters(meters)) => {
                meters.iter().try_fold(Ratio::ZERO, |sum, (meter, value)| {
                    let weight = weights.get(meter)?;
                    sum.plus(Ratio::of(value.decimal())?.times(*weight)?)
                })
            }
            _ => None,
        };
        let sum = sum.ok_or(ChargeFault::TooLarge)?;
        if self.per == Decimal::ONE { Ok(sum) } else { sum.divide(self.per).ok_or(ChargeFault::TooLarge) }
    }

    /// The common case, without fractions of 128 bits: units × one weight, per one. `None` where it is not that.
    fn plain(&self, credit: &CreditUnit, used: &Quantities) -> Option<Credits> {
        let (Weight::Single(weight), Quantities::Single(value)) = (&self.weight, used) else {
            return None;
        };
        let units = value.decimal();
        let places = units.scale() + weight.scale();
        if units.is_sign_negative()
            || self.per != Decimal::ONE
            || self.minimum.decimal().scale() > credit.scale
            || credit.rounding != Rounding::Up && places > credit.scale
        {
            return None;
        }
        let product =
            u64::try_from(units.mantissa()).ok()?.checked_mul(u64::try_from(weight.mantissa()).ok()?)?;
        // A digit too many is dropped here, and a part of a credit costs a whole one.
        let surplus = places.saturating_sub(credit.scale);
        let (mut mantissa, mut scale) = (product.div_ceil(10_u64.checked_pow(surplus)?), places - surplus);
        while scale > 0 && mantissa.is_multiple_of(10) {
            (mantissa, scale) = (mantissa / 10, scale - 1);
        }
        let limit = u64::try_from(AMOUNT_MAX).ok()?.saturating_mul(10_u64.checked_pow(scale)?);
        if mantissa > limit {
            return None;
        }
        let charge = Credits::computed(Decimal::new(i64::try_from(mantissa).ok()?, scale));
        Some(if product == 0 { charge } else { charge.max(self.minimum) })
    }
}

impl Meters {
    fn of(weights: &BTreeMap<Name, Decimal>) -> Self {
        Self(weights.keys().cloned().collect())
    }
}

impl fmt::Display for Meters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, name) in self.0.iter().enumerate() {
            write!(f, "{}`{name}`", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

fn not_negative(meter: Option<&Name>, value: Quantity) -> Result<(), ChargeFault> {
    if value.is_negative() { Err(ChargeFault::Negative { meter: meter.cloned(), value }) } else { Ok(()) }
}

fn rounded(charge: Ratio, credit: &CreditUnit) -> Result<Credits, ChargeFault> {
    charge.credits(credit.scale, credit.rounding).ok_or(ChargeFault::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::{Length, Money};

    fn credit(scale: u32, rounding: Rounding) -> CreditUnit {
        CreditUnit { scale, rounding, price: Money::ONE, currency: "USD".to_owned() }
    }

    fn terms(weight: Weight) -> Terms {
        Terms {
            weight,
            per: Decimal::ONE,
            trigger: Trigger::Output,
            failure: Percent::default(),
            cancelled: Percent::FULL,
            partial: Partial::Prorate,
            lapse: Percent::default(),
            retries: None,
            ttl: Length::minutes(15),
            longest: Length::hours(24),
            outcome_ttl: Length::days(14),
            minimum: Credits::ZERO,
            basic: false,
            value: None,
        }
    }

    fn single(weight: &str) -> Terms {
        terms(Weight::Single(weight.parse().unwrap()))
    }

    fn tokens() -> Terms {
        let weights = [("input_tokens", "0.25"), ("output_tokens", "1.25")];
        Terms {
            per: Decimal::ONE_THOUSAND,
            minimum: Credits::ONE,
            ..terms(Weight::Meters(weights.into_iter().map(|(m, w)| (name(m), w.parse().unwrap())).collect()))
        }
    }

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn one(value: &str) -> Quantities {
        Quantities::Single(value.parse().unwrap())
    }

    fn meters(pairs: &[(&str, i64)]) -> Quantities {
        Quantities::by_meter(pairs.iter().map(|(m, q)| (name(m), Quantity::whole(*q))).collect())
    }

    fn share(text: &str) -> Percent {
        text.parse().unwrap()
    }

    #[test]
    fn a_success_is_charged_in_full_and_rounded_once() {
        for (weight, scale, rounding, quantity, charge) in [
            ("1", 0, Rounding::Up, "3", "3"),
            ("10", 0, Rounding::Up, "1", "10"),
            ("0.125", 2, Rounding::Up, "7", "0.88"),
            ("0.125", 2, Rounding::Down, "7", "0.87"),
            ("0.125", 2, Rounding::HalfEven, "7", "0.88"),
            ("0.125", 2, Rounding::HalfEven, "1", "0.12"),
            ("0.5", 0, Rounding::Up, "0.5", "1"),
            ("0", 0, Rounding::Up, "1000000000000000", "0"),
            ("0.000000001", 0, Rounding::Up, "1000000000000000", "1000000"),
            ("0.000000001", 9, Rounding::Up, "1", "0.000000001"),
            ("1", 9, Rounding::Up, "999999999999999.999999999", "999999999999999.999999999"),
            ("1000000000000000", 9, Rounding::Up, "1", "1000000000000000"),
        ] {
            let got = single(weight).success(&credit(scale, rounding), &one(quantity)).unwrap();
            assert_eq!(got.to_string(), charge, "{quantity} × {weight}, scale {scale}, {rounding:?}");
        }
    }

    #[test]
    fn a_result_takes_its_share_of_the_full_charge() {
        let whole = credit(0, Rounding::Up);
        let base = single("10");
        let partial = |partial| Terms { partial, ..single("10") };
        let floor = Terms { minimum: "50".parse().unwrap(), failure: share("10%"), ..single("10") };
        for (terms, result, completion, charge) in [
            (base.clone(), RunResult::Failed, None, "0"),
            (Terms { failure: share("15%"), ..base.clone() }, RunResult::Failed, None, "2"),
            (Terms { failure: share("100%"), ..base.clone() }, RunResult::Failed, None, "10"),
            (base.clone(), RunResult::Cancelled, None, "10"),
            (Terms { cancelled: share("33%"), ..base.clone() }, RunResult::Cancelled, None, "4"),
            (base.clone(), RunResult::Partial, None, "0"),
            (base.clone(), RunResult::Partial, Some("0.4"), "4"),
            (base.clone(), RunResult::Partial, Some("0.41"), "5"),
            (base.clone(), RunResult::Succeeded, Some("0.4"), "10"),
            (partial(Partial::Threshold(share("50%"))), RunResult::Partial, Some("0.49"), "0"),
            (partial(Partial::Threshold(share("50%"))), RunResult::Partial, Some("0.5"), "10"),
            (partial(Partial::Threshold(share("0%"))), RunResult::Partial, None, "10"),
            (partial(Partial::AllOrNothing), RunResult::Partial, Some("0.99"), "0"),
            (partial(Partial::AllOrNothing), RunResult::Partial, Some("1"), "10"),
            (floor.clone(), RunResult::Succeeded, None, "50"),
            (floor.clone(), RunResult::Failed, None, "5"),
            (floor, RunResult::Partial, Some("0.5"), "25"),
        ] {
            let completion = completion.map(|c| c.parse().unwrap());
            let got = terms.charge(&whole, &one("1"), result, completion).unwrap();
            assert_eq!(got.to_string(), charge, "{result} {completion:?} of {terms:?}");
        }
    }

    #[test]
    fn the_minimum_waits_until_something_was_used() {
        let fine = credit(2, Rounding::Up);
        let terms = Terms { minimum: "0.5".parse().unwrap(), ..single("0.125") };
        for (quantity, charge) in [("0", "0"), ("1", "0.5"), ("4", "0.5"), ("7", "0.88")] {
            assert_eq!(terms.success(&fine, &one(quantity)).unwrap().to_string(), charge, "{quantity}");
        }
    }

    #[test]
    fn meters_add_up_before_anything_is_rounded() {
        let whole = credit(0, Rounding::Up);
        let terms = tokens();
        for (output, instalment) in [(100, "1"), (700, "1"), (900, "2"), (1000, "2")] {
            let used = meters(&[("input_tokens", 4000), ("output_tokens", output)]);
            assert_eq!(terms.instalment(&whole, &used).unwrap().to_string(), instalment, "{output}");
        }
        let used = meters(&[("input_tokens", 4000), ("output_tokens", 1000)]);
        assert_eq!(terms.charge(&whole, &used, RunResult::Cancelled, None).unwrap().to_string(), "3");
        assert_eq!(terms.success(&whole, &meters(&[("input_tokens", 100)])).unwrap().to_string(), "1");
        assert_eq!(terms.success(&whole, &terms.default_quantities()).unwrap(), Credits::ZERO);
    }

    #[test]
    fn an_instalment_has_no_minimum_and_comes_after_the_outcome() {
        let whole = credit(0, Rounding::Up);
        let floor = Terms { minimum: "5".parse().unwrap(), ..single("0.5") };
        assert_eq!(floor.instalment(&whole, &one("3")).unwrap(), Credits::ONE);
        let outcome = Terms { trigger: Trigger::Outcome, ..single("20") };
        assert_eq!(outcome.instalment(&whole, &one("3")).unwrap(), Credits::ZERO);
        assert!(outcome.instalment(&whole, &one("-3")).is_err());
    }

    #[test]
    fn a_lapse_costs_its_share() {
        let whole = credit(0, Rounding::Up);
        for (lapse, charge) in [("0%", "0"), ("25%", "3"), ("100%", "10")] {
            let terms = Terms { lapse: share(lapse), ..single("10") };
            assert_eq!(terms.lapse_charge(&whole, &one("1")).unwrap().to_string(), charge, "{lapse}");
        }
    }

    #[test]
    fn what_does_not_fit_the_weight_is_refused_by_name() {
        let whole = credit(0, Rounding::Up);
        let largest = one("1000000000000000");
        let completion = |text: &str| {
            single("1").charge(&whole, &one("1"), RunResult::Partial, Some(text.parse().unwrap()))
        };
        for (got, field, message) in [
            (
                tokens().success(&whole, &meters(&[("image_tokens", 1)])),
                "quantities[image_tokens]",
                "the action has no meter `image_tokens`; its meters are `input_tokens`, `output_tokens`",
            ),
            (
                tokens().success(&whole, &one("2")),
                "quantity",
                "`2` is one quantity, and the action is metered by `input_tokens`, `output_tokens`; give `quantities` by these names",
            ),
            (
                single("1").success(&whole, &meters(&[])),
                "quantities",
                "`quantities` names meters, and the action has one weight; give one `quantity`",
            ),
            (
                single("1").success(&whole, &one("-1")),
                "quantity",
                "`-1` is negative; quantities are totals, zero or more",
            ),
            (
                tokens().instalment(&whole, &meters(&[("input_tokens", -5)])),
                "quantities[input_tokens]",
                "`-5` is negative; quantities are totals, zero or more",
            ),
            (
                completion("1.000000001"),
                "completion",
                "`1.000000001` is not a part of the run; completion is from 0 to 1",
            ),
            (completion("-0.1"), "completion", "`-0.1` is not a part of the run; completion is from 0 to 1"),
            (
                single("1.1").success(&whole, &largest),
                "quantity",
                "what this would cost is above 1000000000000000 credits, or has too many digits to be exact; give less",
            ),
        ] {
            let fault = got.unwrap_err();
            assert_eq!((fault.field().as_str(), fault.to_string().as_str()), (field, message));
        }
    }

    #[test]
    fn round_trips_on_disk() {
        for quantities in [one("0"), one("12.5"), meters(&[]), meters(&[("a", 0), ("b", 7)])] {
            let bytes = minicbor::to_vec(&quantities).unwrap();
            assert_eq!(minicbor::decode::<Quantities>(&bytes).unwrap(), quantities);
        }
        for result in RunResult::ALL {
            assert_eq!(RunResult::from_word(result.word()), Some(result));
            let bytes = minicbor::to_vec(result).unwrap();
            assert_eq!(minicbor::decode::<RunResult>(&bytes).unwrap(), result);
        }
    }

    fn amount() -> impl Strategy<Value = Decimal> {
        let largest = i128::from(AMOUNT_MAX);
        prop_oneof![
            (0_i128..=1_000_000, 0_u32..=9),
            (0_i128..=largest, 0_u32..=9),
            (0_i128..=largest * 1_000_000_000, Just(9)),
        ]
        .prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa, scale).normalize())
    }

    fn rounding() -> impl Strategy<Value = Rounding> {
        prop_oneof![Just(Rounding::Up), Just(Rounding::HalfEven), Just(Rounding::Down)]
    }

    proptest! {
        /// The short way and the long way agree, and neither panics.
        #[test]
        fn the_common_case_is_the_general_case(
            weight in amount(), quantity in amount(), minimum in amount(), scale in 0_u32..=9, rounding in rounding(),
        ) {
            let minimum = Credits::new(minimum).unwrap();
            let terms = Terms { minimum, ..terms(Weight::Single(weight)) };
            let credit = credit(scale, rounding);
            let used = Quantities::Single(Quantity::new(quantity).unwrap());
            let general = terms.full(&used).and_then(|full| rounded(full, &credit));
            // A minimum that is too fine to be compared as a fraction may still be compared the short way.
            if general.is_ok() || minimum.is_zero() {
                prop_assert_eq!(terms.success(&credit, &used), general);
            }
        }

        #[test]
        fn no_share_costs_more_than_all_of_it(
            weight in amount(), quantity in amount(), minimum in amount(), per in amount(),
            percent in 0_u32..=100, thousandth in 0_i64..=1000, scale in 0_u32..=9, rounding in rounding(),
        ) {
            prop_assume!(!per.is_zero());
            let percent = share(&format!("{percent}%"));
            let terms = Terms {
                per, minimum: Credits::new(minimum).unwrap(), failure: percent, cancelled: percent, lapse: percent,
                ..terms(Weight::Single(weight))
            };
            let credit = credit(scale, rounding);
            let used = Quantities::Single(Quantity::new(quantity).unwrap());
            let completion = Quantity::new(Decimal::new(thousandth, 3)).unwrap();
            if let Ok(full) = terms.success(&credit, &used) {
                for result in RunResult::ALL {
                    if let Ok(charge) = terms.charge(&credit, &used, result, Some(completion)) {
                        prop_assert!(charge <= full && !charge.is_negative());
                    }
                }
                if let Ok(charge) = terms.instalment(&credit, &used) {
                    prop_assert!(charge <= full);
                }
            }
        }
    }
}
