//! How big a lease is: enough for about two lease times of recent burn, exact requests as the balance nears zero.

use crate::types::Credits;

/// A first lease covers this many runs like the one that asks.
const RUNS_AHEAD: i64 = 32;

/// A sidecar is never lent more than this part of what is left beyond its need, so that others find something; less where
/// there are more of them.
const PART_OF_REST: i64 = 2;

/// Room for so many of the largest recent runs of each holder is not scarce.
const RUNS_PER_HOLDER: i64 = 4;

/// Whether what `left` of a pool or cap is too little to be sliced among `holders` whose largest recent run was `largest`:
/// then the ledger decides each run by itself, and no slice lies idle where another sidecar lacks it.
pub fn is_scarce(left: Credits, largest: Credits, holders: usize) -> bool {
    let holders = i64::try_from(holders).unwrap_or(i64::MAX);
    left < scaled(largest, RUNS_PER_HOLDER.saturating_mul(holders))
}

/// What to lease for a need of `need`, when `left` is unleased, the last lease time used `burn`, and so many sidecars hold a
/// lease. Where they are many, each is lent its part: else the last of them would find nothing while the first hold much,
/// and every recall would take from all.
pub fn size(need: Credits, burn: Credits, left: Credits, holders: usize) -> Credits {
    let runs = scaled(need, RUNS_AHEAD);
    let wanted = runs.max(burn + burn).max(need);
    let spare = left.saturating_sub(need);
    let parts = i64::try_from(holders).unwrap_or(i64::MAX).max(PART_OF_REST);
    let shared = Credits::computed((spare.decimal() / rust_decimal::Decimal::from(parts)).trunc());
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
            (c(1), c(100), c(1000), 2, c(200)),
            (c(1), c(100), c(1001), 100, c(11)),
            (c(1), c(0), c(3), 1, c(2)),
            (c(1), c(0), c(1), 1, c(1)),
            (c(10), c(0), c(5), 1, c(10)),
            (c(0), c(0), c(100), 1, c(0)),
        ] {
            assert_eq!(size(need, burn, left, holders), size_, "{need} {burn} {left} {holders}");
        }
    }
}
