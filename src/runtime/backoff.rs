//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double up to a limit. Each is drawn from the upper half of its step, so that sidecars that lost the
/// ledger together do not come back together, and none comes back at once.
#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    step: Duration,
}

impl Backoff {
    pub const fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, step: first }
    }

    /// The next wait. `random` is any number; each of its values is as likely as another.
    pub fn wait(&mut self, random: u32) -> Duration {
        let step = self.step.min(self.most);
        self.step = step.saturating_mul(2).min(self.most);
        let half = step / 2;
        let share = half.as_micros().saturating_mul(u128::from(random)) / u128::from(u32::MAX);
        half.saturating_add(Duration::from_micros(u64::try_from(share).unwrap_or(u64::MAX)))
    }

    /// The next wait, by chance. Where the machine has no randomness to give, the longest of the step.
    pub fn next_wait(&mut self) -> Duration {
        self.wait(getrandom::u32().unwrap_or(u32::MAX))
    }

    /// It worked: the next failure starts anew.
    pub fn reset(&mut self) {
        self.step = self.first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_its_limit_within_the_upper_half() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for (random, want) in [(0, 50), (u32::MAX, 200), (0, 175), (u32::MAX, 350), (u32::MAX, 350)] {
            assert_eq!(backoff.wait(random), Duration::from_millis(want));
        }
        backoff.reset();
        assert_eq!(backoff.wait(u32::MAX), Duration::from_millis(100));
        assert!(backoff.next_wait() >= Duration::from_millis(100));
    }
}
