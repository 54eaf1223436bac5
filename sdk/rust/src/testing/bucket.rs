//! A token bucket on the test's clock.

use std::time::Duration;

use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Outcome};
use crate::time::saturated;

/// One token bucket.
#[derive(Debug)]
pub(super) struct Tokens {
    /// Tokens times the period's nanoseconds, so that division comes last.
    level: u128,
    /// When the level was right.
    at: Duration,
}

impl Tokens {
    pub(super) fn full(bucket: &Bucket, now: Duration) -> Self {
        Self {
            level: capacity(bucket),
            at: now,
        }
    }

    pub(super) fn take(&mut self, bucket: &Bucket, cost: u64, now: Duration) -> Outcome {
        let gained = (now.saturating_sub(self.at)).as_nanos() * u128::from(bucket.tokens);
        self.level = (self.level + gained).min(capacity(bucket));
        self.at = now;

        let price = u128::from(cost) * u128::from(bucket.period);
        let allowed = self.level >= price;
        if allowed {
            self.level -= price;
        }
        let wait = |units: u128| saturated(units.div_ceil(u128::from(bucket.tokens)));
        Outcome {
            allowed,
            remaining: saturated(self.level / u128::from(bucket.period)),
            full_after: wait(capacity(bucket) - self.level),
            retry_after: if allowed { 0 } else { wait(price - self.level) },
        }
    }
}

fn capacity(bucket: &Bucket) -> u128 {
    u128::from(bucket.burst) * u128::from(bucket.period)
}
