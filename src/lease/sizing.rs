//! How big a lease is: enough for about two lease times of recent burn, exact requests as the balance nears zero.

use crate::types::Credits;

/// A first lease covers this many runs like the one that asks.
const RUNS_AHEAD: i64 = 32;

/// A sidecar is never lent more than this part of what is left beyond its need, so that others find something.
const PART_OF_REST: i64 = 2;

/// What to lease for a need of `need`, when `left` is unleased and the last lease time used `burn`.
pub fn size(need: Credits, burn: Credits, left: Credits) -> Credits {
    let runs = scaled(need, RUNS_AHEAD);
    let wanted = runs.max(burn + burn).max(need);
    let spare = left.saturating_sub(need);
    let shared = Credits::computed((spare.decimal() / rust_decimal::Decimal::from(PART_OF_REST)).trunc());
    need + wanted.saturating_sub(need).min(shared)
}

fn scaled(amount: Credits, factor: i64) -> Credits {
    let product = amount.decimal().checked_mul(rust_decimal::Decimal::from(factor));
    product.map_or(amount, Credits::computed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinks_to_exact_requests_near_zero() {
        let c = Credits::whole;
        for (need, burn, left, size_) in [
            (c(1), c(0), c(1000), c(32)),
            (c(1), c(100), c(1000), c(200)),
            (c(1), c(0), c(3), c(2)),
            (c(1), c(0), c(1), c(1)),
            (c(10), c(0), c(5), c(10)),
            (c(0), c(0), c(100), c(0)),
        ] {
            assert_eq!(size(need, burn, left), size_, "{need} {burn} {left}");
        }
    }
}
