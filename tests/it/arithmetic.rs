//! Arithmetic at the edges: the exact result or a clear error, whatever the digits. Nothing panics, nothing wraps.

use bursar::scenario::{Outcome, run_source};
use proptest::prelude::*;

/// The largest amount, as the documents name it.
const MOST: u128 = 1_000_000_000_000_000;

/// A playbook whose overage has no limit, so that whatever can be priced can be held.
fn scenario(scale: u32, rounding: &str, weight: &str, per: &str, steps: &str) -> String {
    format!(
        "scenario: s\nplaybook: |\n  bursar: 1\n  playbook: p\n  version: 1\n  \
         credit: {{unit: output, scale: {scale}, rounding: {rounding}, price: 0.10, currency: USD}}\n  \
         actions: {{draft: {{weight: {weight}, per: {per}}}}}\n  plans: {{basic: {{overage: [{{soft: {{}}}}]}}}}\n\
         steps:\n  - subscribe: {{account: acme, plan: basic}}\n{steps}"
    )
}

fn played(source: &str) -> Vec<Outcome> {
    run_source("s.yaml", source, &|path| Err(path.to_owned()))
}

#[track_caller]
fn passes(source: &str) {
    for outcome in played(source) {
        if let Err(failure) = outcome.result {
            panic!("{failure}\n{source}");
        }
    }
}

/// A decimal with so many places, as people write it.
fn written(mantissa: u128, places: u32) -> String {
    let power = 10_u128.pow(places);
    match places {
        0 => mantissa.to_string(),
        _ => format!("{}.{:0width$}", mantissa / power, mantissa % power, width = places as usize),
    }
}

/// `weight × quantity ÷ per`, rounded to so many places: in whole numbers, independently of the code under test.
fn reference(weight: (u128, u32), quantity: (u128, u32), per: u128, scale: u32, rounding: &str) -> u128 {
    let numerator = weight.0 * quantity.0 * 10_u128.pow(scale);
    let denominator = per * 10_u128.pow(weight.1 + quantity.1);
    let (whole, rest) = (numerator / denominator, numerator % denominator);
    let up = match rounding {
        "up" => rest > 0,
        "half_even" => rest * 2 > denominator || (rest * 2 == denominator && whole % 2 == 1),
        _ => false,
    };
    whole + u128::from(up)
}

fn places() -> impl Strategy<Value = u32> {
    0_u32..=9
}

/// Small, large, and round numbers, up to so much.
fn mantissa(most: u128) -> impl Strategy<Value = u128> {
    prop_oneof![
        0..=most,
        0..=most.min(1000),
        (0..=most.ilog10()).prop_map(|power| 10_u128.pow(power)),
        Just(most)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_charge_is_exact_or_refused(
        weight in (mantissa(MOST), places()),
        quantity in (mantissa(10_000_000_000_000), places()),
        per in 1_u128..=1_000_000,
        scale in places(),
        rounding in prop_oneof![Just("up"), Just("half_even"), Just("down")],
    ) {
        let want = reference(weight, quantity, per, scale, rounding);
        let expect = if want > MOST * 10_u128.pow(scale) {
            "error: INVALID_QUANTITY".to_owned()
        } else {
            format!("held: \"{0}\"", written(want, scale))
        };
        let quantity = written(quantity.0, quantity.1);
        let steps = format!(
            "  - {{authorize: {{as: r, account: acme, action: draft, quantity: \"{quantity}\"}}, expect: {{{expect}}}}}\n"
        );
        let weight = written(weight.0, weight.1);
        let source = scenario(scale, rounding, &weight, &per.to_string(), &steps);
        for outcome in played(&source) {
            prop_assert!(outcome.result.is_ok(), "{:?}\n{source}", outcome.result);
        }
    }

    /// What is charged in parts adds up to what it is charged at once, to the last digit.
    #[test]
    fn progress_adds_up(first in 0_u64..=1_000_000_000_000, second in 0_u64..=1_000_000_000_000, scale in places()) {
        let total = u128::from(first) + u128::from(second);
        let want = written(reference((123_456_789, 9), (total, 3), 7, scale, "up"), scale);
        let (first, total) = (written(first.into(), 3), written(total, 3));
        let steps = format!(
            "  - {{authorize: {{as: r, account: acme, action: draft, quantity: 0}}, expect: {{held: 0}}}}\n  \
             - progress: {{run: r, quantity: \"{first}\"}}\n  \
             - {{commit: {{run: r, quantity: \"{total}\"}}, expect: {{charged: \"{want}\"}}}}\n"
        );
        let source = scenario(scale, "up", "0.123456789", "7", &steps);
        for outcome in played(&source) {
            prop_assert!(outcome.result.is_ok(), "{:?}\n{source}", outcome.result);
        }
    }

    /// Whatever stands where a number should: an answer, never a panic.
    #[test]
    fn any_text_is_a_number_or_an_error(text in "[-+0-9.eExX_, ]{0,40}|\\PC{0,12}") {
        let quoted = serde_json::to_string(&text).expect("a text");
        let steps = format!(
            "  - {{authorize: {{as: r, account: acme, action: draft, quantity: {quoted}}}}}\n  \
             - {{record: {{as: q, account: acme, action: draft, quantity: {quoted}}}}}\n"
        );
        let failed = played(&scenario(9, "up", "1", "1", &steps)).into_iter().find_map(|outcome| outcome.result.err());
        if let Some(failure) = failed {
            prop_assert!(failure.to_string().contains("INVALID_QUANTITY"), "{text:?}: {failure}");
        }
        let document = format!(
            "bursar: 1\nplaybook: p\nversion: 1\ncredit: {{unit: output, price: {quoted}, currency: USD}}\n\
             actions: {{a: {{weight: {quoted}}}}}\nplans: {{p: {{allowance: {{credits: {quoted}, every: month}}}}}}\n"
        );
        let _ = bursar::playbook::check(&document);
    }
}

#[test]
fn every_edge_has_one_answer() {
    // Text, and what it holds at nine decimal places; `None`: refused.
    let digits_28 = "9".repeat(28);
    let fine_28 = format!("0.{}1", "0".repeat(27));
    for (text, held) in [
        ("0", Some("0")),
        ("-0", Some("0")),
        ("0.000000000", Some("0")),
        ("0.000000001", Some("0.000000001")),
        ("1000000000000000", Some("1000000000000000")),
        ("1000000000000000.000000000", Some("1000000000000000")),
        ("999999999999999.999999999", Some("999999999999999.999999999")),
        ("00012.50", Some("12.5")),
        ("1000000000000000.000000001", None),
        ("1000000000000001", None),
        ("0.0000000001", None),
        (&digits_28, None),
        (&fine_28, None),
        ("79228162514264337593543950335", None),
        ("79228162514264337593543950336", None),
        ("-1", None),
        ("-0.000000001", None),
        ("", None),
        ("lots", None),
        ("1e3", None),
        ("0x10", None),
        ("1,000", None),
        ("1_000", None),
        ("+1", None),
        (" 1", None),
        ("１", None),
        ("NaN", None),
        (".inf", None),
        ("1.2.3", None),
        ("--1", None),
    ] {
        let expect = held.map_or("error: INVALID_QUANTITY".to_owned(), |held| format!("held: \"{held}\""));
        let steps = format!(
            "  - {{authorize: {{as: r, account: acme, action: draft, quantity: \"{text}\"}}, expect: {{{expect}}}}}\n"
        );
        passes(&scenario(9, "up", "1", "1", &steps));
    }
}

#[test]
fn the_largest_amounts_add_up_and_do_not_wrap() {
    let mut steps = String::new();
    for run in 0..50 {
        steps += &format!(
            "  - {{record: {{as: r{run}, account: acme, action: draft, quantity: \"999999999999999.999999999\"}}, \
             expect: {{charged: \"999999999999999.999999999\"}}}}\n"
        );
    }
    steps += "  - {balance: {account: acme}, expect: {spent: \"49999999999999999.99999995\"}}\n";
    passes(&scenario(9, "up", "1", "1", &steps));
}

#[test]
fn what_costs_too_much_is_refused_before_anything_moves() {
    let steps = "  - {authorize: {as: r, account: acme, action: draft, quantity: 2}, expect: {error: INVALID_QUANTITY}}\n  \
                 - {record: {as: q, account: acme, action: draft, quantity: \"1000000000000000\"}, expect: {error: INVALID_QUANTITY}}\n  \
                 - {authorize: {as: s, account: acme, action: draft, quantity: 1}, expect: {held: 1000000000000000}}\n  \
                 - {progress: {run: s, quantity: 3}, expect: {error: INVALID_QUANTITY}}\n  \
                 - {commit: {run: s, quantity: 2}, expect: {error: INVALID_QUANTITY}}\n  \
                 - {commit: {run: s, quantity: 1}, expect: {charged: 1000000000000000}}\n  \
                 - {balance: {account: acme}, expect: {held: 0, spent: 1000000000000000}}\n";
    passes(&scenario(0, "up", "1000000000000000", "1", steps));
}
