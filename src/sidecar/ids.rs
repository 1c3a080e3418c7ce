//! Ids that nobody else draws, without asking the machine for randomness each time.

use std::sync::atomic::{AtomicU64, Ordering};

/// Drawn at random once; a counter does the rest.
#[derive(Debug)]
pub struct Ids {
    base: u64,
    key: u64,
    next: AtomicU64,
}

impl Ids {
    /// Errors: the machine has no randomness to give.
    pub fn new() -> Result<Self, getrandom::Error> {
        Ok(Self { base: getrandom::u64()?, key: getrandom::u64()?, next: AtomicU64::new(0) })
    }

    /// A number that this process gives once, and that no other process is likely to give.
    pub fn next(&self) -> [u8; 16] {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = [0; 16];
        let (base, count) = id.split_at_mut(8);
        base.copy_from_slice(&self.base.to_be_bytes());
        count.copy_from_slice(&mixed(number.wrapping_add(self.key)).to_be_bytes());
        id
    }
}

/// A bijection of 64 bits (the finaliser of SplitMix64): different numbers stay different, and look unalike.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_are_alike() {
        let (one, two) = (Ids::new().unwrap(), Ids::new().unwrap());
        let drawn: BTreeSet<_> = (0..1000).flat_map(|_| [one.next(), two.next()]).collect();
        assert_eq!(drawn.len(), 2000);
    }
}
