//! Which of the calls without a trace context get a span.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use rust_decimal::Decimal;
use thiserror::Error;

/// The finest share that can be said: one in a million.
const WHOLE: u32 = 1_000_000;

/// A share of calls between 0 and 1, in millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SampleRatio(u32);

#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("is not a share between `0` and `1` with at most six decimal places, such as `0.01`")]
pub struct RatioError;

/// Picks that share of calls. The choice looks random, so that it does not fall in step with callers that alternate
/// between two calls; it is a fixed sequence, so that tests can tell.
#[derive(Debug)]
pub struct Sampler {
    ratio: SampleRatio,
    calls: AtomicU64,
}

impl SampleRatio {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(WHOLE);
}

impl FromStr for SampleRatio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, RatioError> {
        let share = Decimal::from_str_exact(text).map_err(|_| RatioError)?;
        let millionths = share.checked_mul(WHOLE.into()).ok_or(RatioError)?;
        if !millionths.is_integer() {
            return Err(RatioError);
        }
        u32::try_from(millionths).ok().filter(|m| *m <= WHOLE).map(Self).ok_or(RatioError)
    }
}

impl fmt::Display for SampleRatio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Decimal::new(self.0.into(), 6).normalize(), f)
    }
}

impl Sampler {
    pub fn new(ratio: SampleRatio) -> Self {
        Self { ratio, calls: AtomicU64::new(0) }
    }

    pub fn pick(&self) -> bool {
        if self.ratio == SampleRatio::NONE {
            return false;
        }
        scattered(self.calls.fetch_add(1, Ordering::Relaxed)) % u64::from(WHOLE) < u64::from(self.ratio.0)
    }
}

/// SplitMix64: neighbouring numbers become unlike ones.
const fn scattered(number: u64) -> u64 {
    let a = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_shares() {
        for (text, shown) in
            [("0", "0"), ("1", "1"), ("0.01", "0.01"), ("0.000001", "0.000001"), ("1.0", "1")]
        {
            assert_eq!(text.parse::<SampleRatio>().unwrap().to_string(), shown);
        }
        for text in ["", "1.1", "-0.1", "1%", "0.0000001", "half", "1e-2"] {
            assert_eq!(text.parse::<SampleRatio>(), Err(RatioError), "{text}");
        }
    }

    #[test]
    fn picks_its_share_of_both_kinds_of_alternating_calls() {
        let sampler = Sampler::new("0.01".parse().unwrap());
        let mut picked = [0; 2];
        for call in 0..100_000 {
            picked[call % 2] += u32::from(sampler.pick());
        }
        assert!(picked.iter().all(|n| (400..600).contains(n)), "{picked:?}");

        let (all, none) = (Sampler::new(SampleRatio::ALL), Sampler::new(SampleRatio::NONE));
        assert!((0..1000).all(|_| all.pick() && !none.pick()));
    }
}
