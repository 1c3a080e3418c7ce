//! How often something took how long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

/// Upper ends of the buckets, in microseconds: a decision here takes tens of them, a synced write a thousand.
pub const BUCKETS_MICROS: [u64; 16] = [
    5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 250_000, 1_000_000,
    10_000_000,
];

/// One of the traces that a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Example {
    pub trace_id: [u8; 16],
    pub took: Duration,
}

/// The last bucket has no upper end.
#[derive(Debug)]
pub struct Times {
    counts: [AtomicU64; BUCKETS_MICROS.len() + 1],
    micros: AtomicU64,
    /// The newest of each bucket; only sampled traces come here.
    examples: Mutex<[Option<Example>; BUCKETS_MICROS.len() + 1]>,
}

/// What was counted so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Counted {
    /// Of each bucket by itself.
    pub counts: Vec<u64>,
    pub seconds: f64,
    pub examples: Vec<Option<Example>>,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS_MICROS.len() + 1],
            micros: AtomicU64::new(0),
            examples: Mutex::new([None; BUCKETS_MICROS.len() + 1]),
        }
    }
}

impl Times {
    pub fn count(&self, took: Duration, trace_id: Option<[u8; 16]>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MICROS.partition_point(|end| *end < micros);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
        if let Some(trace_id) = trace_id
            && let Some(example) = self.examples.lock().get_mut(bucket)
        {
            *example = Some(Example { trace_id, took });
        }
    }

    pub fn read(&self) -> Counted {
        #[expect(
            clippy::cast_precision_loss,
            reason = "microseconds of a process's life stay below 2^53 for centuries"
        )]
        let seconds = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        Counted {
            counts: self.counts.iter().map(|count| count.load(Ordering::Relaxed)).collect(),
            seconds,
            examples: self.examples.lock().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_length_is_in_its_bucket() {
        let times = Times::default();
        for (micros, bucket) in [(0, 0), (5, 0), (6, 1), (50, 3), (10_000_000, 15), (10_000_001, 16)] {
            let before = times.read().counts;
            times.count(Duration::from_micros(micros), (micros == 6).then_some([7; 16]));
            let after = times.read().counts;
            let grown: Vec<_> = (0..after.len()).filter(|i| after[*i] > before[*i]).collect();
            assert_eq!(grown, [bucket], "{micros}");
        }
        let read = times.read();
        assert!((read.seconds - 20.000_062).abs() < 1e-9, "{}", read.seconds);
        assert_eq!(read.examples[1].map(|e| e.trace_id), Some([7; 16]));
        assert_eq!(read.examples.iter().flatten().count(), 1);
    }
}
