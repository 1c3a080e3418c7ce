//! How an input is made from others.

/// Numbers that lie at the ends of something.
const ENDS: [u64; 8] = [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, u64::MAX];

/// An input is no longer than this.
const BYTES_MAX: usize = 64 << 10;

/// Numbers that look random, the same for the same seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    /// Below `end`; 0 where that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { usize::try_from(self.next() % end as u64).unwrap_or(0) }
    }
}

/// One of the corpus, harmed a few times.
pub fn harmed(corpus: &[Vec<u8>], words: &[&str], dice: &mut Dice) -> Vec<u8> {
    let mut input = corpus[dice.below(corpus.len())].clone();
    for _ in 0..=dice.below(4) {
        harm(&mut input, corpus, words, dice);
    }
    input.truncate(BYTES_MAX);
    input
}

fn harm(input: &mut Vec<u8>, corpus: &[Vec<u8>], words: &[&str], dice: &mut Dice) {
    let at = dice.below(input.len() + 1);
    let to = (at + dice.below(32)).min(input.len());
    match dice.below(9) {
        0 if at < input.len() => input[at] ^= 1 << dice.below(8),
        1 if at < input.len() => input[at] = u8::try_from(dice.below(256)).unwrap_or(0),
        2 => input.truncate(at),
        3 => drop(input.drain(at..to)),
        4 => {
            // Again, and again.
            let part: Vec<u8> = input[at..to].repeat(1 + dice.below(20));
            input.splice(at..at, part);
        }
        5 => {
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            let part = other[from..(from + dice.below(200)).min(other.len())].to_vec();
            input.splice(at..to, part);
        }
        6 => {
            let number = ENDS[dice.below(ENDS.len())];
            input.splice(at..to, number.to_be_bytes()[dice.below(8)..].to_vec());
        }
        7 => {
            let digits = ENDS[dice.below(ENDS.len())].to_string();
            input.splice(at..to, digits.into_bytes());
        }
        _ if !words.is_empty() => {
            let word = words[dice.below(words.len())];
            input.splice(at..to, word.bytes());
        }
        _ => {}
    }
}
