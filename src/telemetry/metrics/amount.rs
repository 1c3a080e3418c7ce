//! A sum of credits that only grows. Reported as a float: exact amounts are the ledger's to tell.

use std::sync::atomic::{AtomicU64, Ordering};

use rust_decimal::prelude::ToPrimitive;

use crate::types::Credits;

#[derive(Debug, Default)]
pub struct Amount(AtomicU64);

impl Amount {
    pub fn add(&self, credits: Credits) {
        if !credits.is_positive() {
            return;
        }
        let more = float(credits);
        let added = |bits| Some((f64::from_bits(bits) + more).to_bits());
        // Never refused: it always has a next value.
        let _before = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    pub fn read(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// The nearest float.
pub fn float(credits: Credits) -> f64 {
    credits.decimal().to_f64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_what_is_positive() {
        let sum = Amount::default();
        for credits in ["1.5", "0", "2"] {
            sum.add(credits.parse().unwrap());
        }
        sum.add(-Credits::whole(5));
        assert!((sum.read() - 3.5).abs() < f64::EPSILON);
    }
}
