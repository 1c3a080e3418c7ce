//! How big a lease is: enough for about two lease times of recent burn, exact requests as the balance nears zero.

use crate::types::Credits;

/// A first lease covers this many runs like the one that asks.
const RUNS_AHEAD: i64 = 32;

/// What was not used before, a sidecar is never lent more of than this part of what is left beyond its need, so that others
/// find something; less where there are more of them.
const PART_OF_REST: i64 = 2;

/// What it used before it is lent twice, but of what is left only this part: else the first hold much while the last find
/// nothing, and every recall takes from all.
const PART_OF_PROVEN: i64 = 8;

/// Room for so many of the largest recent runs of each holder is not scarce.
const RUNS_PER_HOLDER: i64 = 4;

/// Whether what `left` of a pool or cap is too little to be sliced among `holders` whose largest recent run was `largest`:
/// then the ledger decides each run by itself, and no slice lies idle where another sidecar lacks it.
pub fn is_scarce(left: Credits, largest: Credits, holders: usize) -> bool {
    let holders = i64::try_from(holders).unwrap_or(i64::MAX);
    left < scaled(largest, RUNS_PER_HOLDER.saturating_mul(holders))
}

/// What to lease for a need of `need`, when `left` is unleased, `burn` was used since the last request, and so many sidecars
/// hold a lease.
pub fn size(need: Credits, burn: Credits, left: Credits, holders: usize) -> Credits {
    let spare = left.saturating_sub(need);
    let part = |parts: i64| Credits::computed((spare.decimal() / rust_decimal::Decimal::from(parts)).trunc());
    let holders = i64::try_from(holders).unwrap_or(i64::MAX);
    let hoped = scaled(need, RUNS_AHEAD).saturating_sub(need).min(part(holders.max(PART_OF_REST)));
    let proven = (burn + burn).saturating_sub(need).min(part(PART_OF_PROVEN));
    need + hoped.max(proven).max(Credits::ZERO)
}

fn scaled(amount: Credits, factor: i64) -> Credits {
    let product = amount.decimal().checked_mul(rust_decimal::Decimal::from(factor));
    product.map_or(amount, Credits::computed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_is_not_sliced() {
        let c = Credits::whole;
        for (left, largest, holders, scarce) in [
            (c(100), c(10), 2, false),
            (c(79), c(10), 2, true),
            (c(4), c(1), 1, false),
            (c(0), c(1), 1, true),
            (c(0), c(0), 9, false),
        ] {
            assert_eq!(is_scarce(left, largest, holders), scarce, "{left} {largest} {holders}");
        }
    }

    #[test]
    fn shrinks_to_exact_requests_near_zero() {
        let c = Credits::whole;
        for (need, burn, left, holders, size_) in [
            (c(1), c(0), c(1000), 1, c(32)),
            (c(1), c(100), c(10_000), 2, c(200)),
            (c(1), c(0), c(1001), 100, c(11)),
            (c(1), c(100), c(1001), 100, c(126)),
            (c(1), c(0), c(3), 1, c(2)),
            (c(1), c(0), c(1), 1, c(1)),
            (c(10), c(0), c(5), 1, c(10)),
            (c(0), c(0), c(100), 1, c(0)),
        ] {
            assert_eq!(size(need, burn, left, holders), size_, "{need} {burn} {left} {holders}");
        }
    }
}
