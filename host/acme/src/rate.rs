//! Rates, and what keeps to them.

use std::time::{Duration, Instant};

/// So many in so much time, and as many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1; with 0 nothing is allowed.
    pub count: u32,
    /// In this time.
    pub period: Duration,
}

/// Lets through what fits into a rate (GCRA).
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    /// When the next one would come, had they all come evenly.
    next: Instant,
}

impl Limiter {
    /// With the whole rate at hand.
    pub(crate) fn new(rate: Rate, now: Instant) -> Limiter {
        Limiter { rate, next: now }
    }

    /// Whether one more fits. If so, it counts.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let Rate { count, period } = self.rate;
        let Some(interval) = period.checked_div(count) else {
            return false;
        };
        let next = self.next.max(now);
        if next.duration_since(now) > period.saturating_sub(interval) {
            return false;
        }
        self.next = next + interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limiter(count: u32, period: Duration) -> (Limiter, Instant) {
        let now = Instant::now();
        (Limiter::new(Rate { count, period }, now), now)
    }

    #[test]
    fn so_many_at_once_and_then_evenly() {
        let (mut limiter, start) = limiter(3, 60 * SECOND);
        let mut taken = |at: u32| limiter.take(start + at * SECOND);
        assert_eq!(
            [taken(0), taken(0), taken(0), taken(0)],
            [true, true, true, false]
        );
        assert_eq!([taken(19), taken(20), taken(20)], [false, true, false]);
    }

    #[test]
    fn a_rate_of_none_lets_nothing_through() {
        let (mut limiter, start) = limiter(0, SECOND);
        assert!(!limiter.take(start + 100 * SECOND));
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_count_in_a_period(count in 1..50u32, gaps in prop::collection::vec(0..2000u64, 0..200)) {
            let (mut limiter, mut now) = limiter(count, SECOND);
            let mut taken = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                if limiter.take(now) {
                    taken.push(now);
                }
            }
            for first in &taken {
                let within = taken.iter().filter(|at| *at >= first && **at < *first + SECOND);
                prop_assert!(within.count() <= 2 * usize::try_from(count).unwrap());
            }
        }
    }
}
