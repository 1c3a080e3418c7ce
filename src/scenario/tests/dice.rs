//! What chance does in a random test.

/// A small generator: the same seed rolls the same.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// From 0 on, below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub fn one_in(&mut self, times: u64) -> bool {
        self.roll(times) == 0
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.roll(length as u64)).unwrap()
    }

    pub fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.index(from.len())]
    }
}

/// How often a test plays: `BURSAR_SEED` picks one world alone, `BURSAR_RANDOM_WORLDS` says how many there are.
pub fn seeds(usual: u64) -> std::ops::RangeInclusive<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("BURSAR_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=number("BURSAR_RANDOM_WORLDS").unwrap_or(usual),
    }
}
