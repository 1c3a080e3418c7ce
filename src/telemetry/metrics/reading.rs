//! What metrics are at one instant.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::Mutex;

use super::table::{BUILD, Metric};
use super::times::{Counted, Times};

/// One metric with its samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    pub metric: &'static Metric,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// In the order of the metric's table.
    pub labels: Vec<(&'static str, String)>,
    pub value: Value,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Number(f64),
    Times(Counted),
}

/// Reads all metrics of a process: once at a time, however many ask.
#[derive(Clone)]
pub struct Reader(Arc<Mutex<Read>>);

type Read = Box<dyn Fn() -> Readings + Send + Sync>;

pub type Readings = Pin<Box<dyn Future<Output = Vec<Reading>> + Send>>;

impl Reading {
    /// Of a metric without labels.
    pub fn of(metric: &'static Metric, value: f64) -> Self {
        Self { metric, samples: vec![Sample { labels: Vec::new(), value: Value::Number(value) }] }
    }

    pub fn build(part: &'static str) -> Self {
        let labels = vec![("version", env!("CARGO_PKG_VERSION").to_owned()), ("part", part.to_owned())];
        Self { metric: &BUILD, samples: vec![Sample { labels, value: Value::Number(1.0) }] }
    }
}

/// Of a metric without labels.
pub fn times(metric: &'static Metric, times: &Times) -> Reading {
    Reading { metric, samples: vec![Sample { labels: Vec::new(), value: Value::Times(times.read()) }] }
}

impl Reader {
    pub fn new<F: Future<Output = Vec<Reading>> + Send + 'static>(
        read: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Mutex::new(Box::new(move || Box::pin(read())))))
    }

    pub async fn read(&self) -> Vec<Reading> {
        let read = self.0.lock().await;
        read().await
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn one_reads_at_a_time() {
        let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let reader = {
            let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
            Reader::new(move || {
                let (under_way, most) = (Arc::clone(&under_way), Arc::clone(&most));
                async move {
                    most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    under_way.fetch_sub(1, Ordering::Relaxed);
                    Vec::new()
                }
            })
        };
        tokio::join!(reader.read(), reader.read(), reader.read());
        assert_eq!(most.load(Ordering::Relaxed), 1);
    }
}
