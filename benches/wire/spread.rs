//! What was measured over the rounds, and what lies between the least and the most of it.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::burst::{Burst, histogram};

/// CPU time is told for so many calls.
const CALLS: f64 = 100_000.0;

/// What was done in one round.
#[derive(Clone, Debug, Default)]
struct Round {
    calls: u64,
    took: Duration,
    cpu: Duration,
}

impl Round {
    fn rate(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }

    fn cpu(&self) -> f64 {
        self.cpu.as_secs_f64() / self.calls as f64 * CALLS
    }
}

/// One thing, measured in every round.
#[derive(Clone, Debug)]
pub struct Tally {
    rounds: Vec<Round>,
    /// Nanoseconds, of all rounds.
    latency: Histogram<u64>,
}

impl Tally {
    pub fn new(rounds: usize) -> anyhow::Result<Self> {
        Ok(Self { rounds: vec![Round::default(); rounds], latency: histogram()? })
    }

    pub fn add(&mut self, round: usize, burst: &Burst) -> anyhow::Result<()> {
        self.latency.add(&burst.latency)?;
        if let Some(round) = self.rounds.get_mut(round) {
            round.calls += burst.answers.len() as u64;
            round.took += burst.took;
            round.cpu += burst.cpu;
        }
        Ok(())
    }

    /// Calls per second.
    pub fn rate(&self) -> Spread {
        Spread::of(self.rounds.iter().map(Round::rate))
    }

    /// CPU seconds of the server per 100,000 calls.
    pub fn cpu(&self) -> Spread {
        Spread::of(self.rounds.iter().map(Round::cpu))
    }

    /// In multiples of another's, made within each round.
    pub fn rate_ratio(&self, other: &Self) -> Spread {
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(own, other)| own.rate() / other.rate()))
    }

    pub fn cpu_ratio(&self, other: &Self) -> Spread {
        Spread::of(self.rounds.iter().zip(&other.rounds).map(|(own, other)| own.cpu() / other.cpu()))
    }

    /// Microseconds.
    pub fn quantile(&self, quantile: f64) -> f64 {
        Duration::from_nanos(self.latency.value_at_quantile(quantile)).as_secs_f64() * 1e6
    }
}

/// A median and what it lies between.
pub struct Spread {
    pub median: f64,
    least: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (half, last) = (values.len() / 2, values.len().saturating_sub(1));
        let median =
            if values.len() % 2 == 1 { at(half) } else { f64::midpoint(at(half.max(1) - 1), at(half)) };
        Self { median, least: at(0), most: at(last) }
    }

    pub fn shown(&self, digits: usize) -> String {
        let Self { median, least, most } = self;
        format!("{median:.digits$} ({least:.digits$}–{most:.digits$})")
    }

    pub fn json(&self) -> Value {
        json!({ "median": self.median, "least": self.least, "most": self.most })
    }
}
