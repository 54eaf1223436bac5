//! A sliding window on the test's clock.

use std::time::Duration;

use crate::bindings::host::tidegate::plugin::limiter::{Outcome, Window};
use crate::time::saturated;

/// The counts of two periods.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Which period the present one is, from the clock's start.
    period: u128,
    present: u128,
    last: u128,
}

impl Counts {
    /// Counts are compared times the period's nanoseconds, so that division comes last.
    pub(super) fn take(&mut self, window: &Window, cost: u64, now: Duration) -> Outcome {
        let period = u128::from(window.period);
        self.advance(now.as_nanos() / period);
        let left = period - now.as_nanos() % period;

        let capacity = u128::from(window.limit) * period;
        let price = u128::from(cost) * period;
        let allowed = self.level(period, left) + price <= capacity;
        if allowed {
            self.present += u128::from(cost);
        }
        let full_after = match (self.present, self.last) {
            (0, 0) => 0,
            (0, _) => left,
            (_, _) => left + period,
        };
        Outcome {
            allowed,
            remaining: saturated(capacity.saturating_sub(self.level(period, left)) / period),
            full_after: saturated(full_after),
            retry_after: match allowed {
                true => 0,
                false => saturated(self.wait(period, left, capacity - price)),
            },
        }
    }

    fn advance(&mut self, period: u128) {
        if period == self.period {
            return;
        }
        self.last = if period == self.period + 1 {
            self.present
        } else {
            0
        };
        self.present = 0;
        self.period = period;
    }

    /// What counts with this much of the present period left.
    fn level(&self, period: u128, left: u128) -> u128 {
        self.last * left + self.present * period
    }

    /// The time until the level is this low.
    fn wait(&self, period: u128, left: u128, level: u128) -> u128 {
        let in_this_period = level.checked_sub(self.present * period);
        match in_this_period.and_then(|level| level.checked_div(self.last)) {
            Some(may_be_left) => left.saturating_sub(may_be_left),
            // The next period, in which the present one is the last.
            None => {
                let may_be_left = level.checked_div(self.present).unwrap_or(period);
                left + period.saturating_sub(may_be_left)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, proptest};

    proptest! {
        /// What is refused is allowed after the time that was told, and not a nanosecond before.
        #[test]
        fn the_time_to_wait_is_exact(
            limit in 1_u64..20,
            period in 1_u64..1000,
            calls in prop::collection::vec((0_u64..1500, 1_u64..20), 1..40),
        ) {
            let window = Window { limit, period };
            let mut counts = Counts::default();
            let mut now = Duration::ZERO;
            for (pause, cost) in calls {
                now += Duration::from_nanos(pause);
                let cost = cost.min(limit);
                let outcome = counts.take(&window, cost, now);
                assert!(outcome.remaining <= limit);
                if outcome.allowed {
                    continue;
                }
                let earlier = now + Duration::from_nanos(outcome.retry_after - 1);
                assert!(!counts.take(&window, cost, earlier).allowed);
                now = earlier + Duration::from_nanos(1);
                assert!(counts.take(&window, cost, now).allowed);
            }
        }
    }
}
