//! What became of the requests that were due in one phase of a load.

use crate::summary::Latencies;
use std::time::{Duration, Instant};

/// A request that took longer is late: it tells when a proxy has recovered.
const LATE: Duration = Duration::from_millis(100);
/// Recovery is looked for in steps of this.
const STEP_MILLISECONDS: u128 = 100;
/// A step in which so many of a hundred went wrong or were late is not yet recovered.
const LATE_PERCENT: u32 = 10;

/// Of the requests that were due in a short time: all, and those that went wrong or were late.
#[derive(Default)]
struct Step {
    due: u32,
    late: u32,
}

/// What became of the requests that were due in one phase.
pub struct Phase {
    rate: f64,
    length: Duration,
    begin: Instant,
    due: u64,
    accepted: Latencies,
    refused: Latencies,
    other: u64,
    errors: u64,
    timeouts: u64,
    steps: Vec<Step>,
}

impl Phase {
    pub fn new(rate: f64, length: Duration, begin: Instant) -> Phase {
        Phase {
            rate,
            length,
            begin,
            due: 0,
            accepted: Latencies::default(),
            refused: Latencies::default(),
            other: 0,
            errors: 0,
            timeouts: 0,
            steps: Vec::new(),
        }
    }

    pub fn is_due(&mut self, due: Instant) {
        self.due += 1;
        self.step(due).due += 1;
    }

    /// The step in which a request was due.
    fn step(&mut self, due: Instant) -> &mut Step {
        let index = ((due - self.begin).as_millis() / STEP_MILLISECONDS) as usize;
        if self.steps.len() <= index {
            self.steps.resize_with(index + 1, Step::default);
        }
        &mut self.steps[index]
    }

    /// After the phase's begin, when the last step was over that is not recovered.
    fn late_until(&self) -> u128 {
        let bad = |step: &Step| step.late > 0 && step.late * 100 >= step.due * LATE_PERCENT;
        let last = self.steps.iter().rposition(bad);
        last.map_or(0, |index| (index as u128 + 1) * STEP_MILLISECONDS)
    }

    pub fn answered(&mut self, due: Instant, status: u16) {
        let latency = due.elapsed();
        match status {
            200..400 => self.accepted.add(latency),
            429 | 500..600 => self.refused.add(latency),
            _ => self.other += 1,
        }
        if status >= 400 || latency > LATE {
            self.late(due);
        }
    }

    pub fn failed(&mut self, due: Instant) {
        self.errors += 1;
        self.late(due);
    }

    pub fn given_up(&mut self, due: Instant) {
        self.timeouts += 1;
        self.late(due);
    }

    fn late(&mut self, due: Instant) {
        self.step(due).late += 1;
    }

    pub fn json(&mut self) -> String {
        format!(
            "{{\"rate\": {}, \"seconds\": {}, \"due\": {}, \"accepted\": {}, \"refused\": {}, \"other\": {}, \
             \"errors\": {}, \"timeouts\": {}, \"late_until_ms\": {}, {}, {}}}",
            self.rate,
            self.length.as_secs_f64(),
            self.due,
            self.accepted.count(),
            self.refused.count(),
            self.other,
            self.errors,
            self.timeouts,
            self.late_until(),
            self.accepted.json(""),
            self.refused.json("refused_"),
        )
    }
}
