//! Latencies, summed up.

use std::time::Duration;

#[derive(Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    pub fn add(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    pub fn join(&mut self, others: Latencies) {
        self.0.extend(others.0);
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// `"p50": …, "p99": …, "max": …` in microseconds, each name with this before it.
    pub fn json(&mut self, prefix: &str) -> String {
        self.0.sort_unstable();
        let named = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];
        let texts = named.map(|(name, share)| format!("\"{prefix}{name}\": {}", self.at(share)));
        texts.join(", ")
    }

    fn at(&self, share: f64) -> u32 {
        let last = self.0.len().saturating_sub(1);
        let index = (share * self.0.len() as f64) as usize;
        self.0.get(index.min(last)).copied().unwrap_or(0)
    }
}
