//! Token buckets in a fixed table of atomics: no lock, no growth, no clean-up.
//!
//! A bucket is kept as its theoretical arrival time (GCRA, ITU-T I.371): the moment at which it will
//! be full again. A time in the past is the same as no entry at all, so expired entries are simply
//! overwritten. Keys are hashed to 64 bits; a set of eight slots is searched. When all eight are in
//! use, the one that is nearest to full gives way, and the newcomer starts full: with the table sized
//! above the number of limited keys this does not happen.
//!
//! No clock in here: the caller says what time it is.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{Taken, WAYS};

/// How a bucket fills, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Nanoseconds from empty to full.
    capacity: u64,
    tokens: u64,
    period: u64,
    pub(super) burst: u64,
}

impl Rate {
    /// `tokens` per `period` nanoseconds, at most `burst` of them. `None` where a number is zero or the
    /// time to fill does not fit.
    pub fn new(tokens: u64, period: u64, burst: u64) -> Option<Rate> {
        if tokens == 0 || period == 0 || burst == 0 {
            return None;
        }
        let mut rate = Rate {
            capacity: 0,
            tokens,
            period,
            burst,
        };
        rate.capacity = rate.nanoseconds(burst)?;
        // Beyond a century the sums with the clock could overflow.
        (1..1 << 61).contains(&rate.capacity).then_some(rate)
    }

    /// Tokens per nanosecond.
    pub(super) fn speed(&self) -> f64 {
        self.tokens as f64 / self.period as f64
    }

    /// The time in which `count` tokens come.
    fn nanoseconds(&self, count: u64) -> Option<u64> {
        let exact = u128::from(self.period) * u128::from(count) / u128::from(self.tokens);
        u64::try_from(exact).ok()
    }

    /// The tokens that come in a time.
    fn count(&self, nanoseconds: u64) -> u64 {
        let exact = u128::from(nanoseconds) * u128::from(self.tokens) / u128::from(self.period);
        u64::try_from(exact).unwrap_or(u64::MAX).min(self.burst)
    }
}

/// Token buckets by hashed key.
pub struct Buckets {
    sets: Box<[[Slot; WAYS]]>,
}

#[derive(Default)]
struct Slot {
    key: AtomicU64,
    arrival: AtomicU64,
}

impl Buckets {
    /// A table for about `keys` keys at a time; 16 bytes each.
    pub fn new(keys: usize) -> Buckets {
        let sets = keys.div_ceil(WAYS).max(1).next_power_of_two();
        Buckets {
            sets: (0..sets).map(|_| Default::default()).collect(),
        }
    }

    /// Take `cost` tokens at the time `now` (nanoseconds, never going back). `None` where the bucket can
    /// never hold so many.
    pub fn take(&self, key: u64, rate: &Rate, cost: u64, now: u64) -> Option<Taken> {
        if cost > rate.burst {
            return None;
        }
        let increment = rate.nanoseconds(cost)?;
        let slot = self.slot(key, now)?;
        let mut old = slot.arrival.load(Ordering::Relaxed);
        loop {
            // A key whose rate was lowered may be further in the future than its new capacity.
            let start = old.clamp(now, now.saturating_add(rate.capacity));
            let arrival = start.saturating_add(increment);
            if arrival - now > rate.capacity {
                return Some(Taken {
                    allowed: false,
                    remaining: rate.count(rate.capacity - (start - now)),
                    full_after: start - now,
                    retry_after: arrival - now - rate.capacity,
                });
            }
            let swap = slot.arrival.compare_exchange_weak(
                old,
                arrival,
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
            match swap {
                Err(current) => old = current,
                Ok(_) => {
                    return Some(Taken {
                        allowed: true,
                        remaining: rate.count(rate.capacity - (arrival - now)),
                        full_after: arrival - now,
                        retry_after: 0,
                    });
                }
            }
        }
    }

    /// The slot of a key, found or made.
    fn slot(&self, key: u64, now: u64) -> Option<&Slot> {
        // Zero marks a slot that was never used.
        let key = key | 1;
        let set = self
            .sets
            .get((key >> 32) as usize & (self.sets.len() - 1))?;
        loop {
            if let Some(slot) = set.iter().find(|s| s.key.load(Ordering::Acquire) == key) {
                return Some(slot);
            }
            let victim = set
                .iter()
                .min_by_key(|s| s.arrival.load(Ordering::Relaxed))?;
            let other = victim.key.load(Ordering::Acquire);
            if other == key {
                return Some(victim);
            }
            let swap = victim
                .key
                .compare_exchange(other, key, Ordering::AcqRel, Ordering::Acquire);
            if swap.is_err() {
                // Another thread was first; it may have been for the same key.
                continue;
            }
            let arrival = victim.arrival.load(Ordering::Relaxed);
            if arrival > now {
                let _ = victim.arrival.compare_exchange(
                    arrival,
                    now,
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
            return Some(victim);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_then_the_rate() {
        let table = Buckets::new(64);
        let rate = Rate::new(10, SECOND, 5).unwrap();
        let start = 1_000 * SECOND;
        for left in (0..5).rev() {
            let taken = table.take(7, &rate, 1, start).unwrap();
            assert_eq!((taken.allowed, taken.remaining), (true, left));
        }
        let taken = table.take(7, &rate, 1, start).unwrap();
        assert!(!taken.allowed);
        assert_eq!(taken.retry_after, SECOND / 10);
        assert_eq!(taken.full_after, SECOND / 2);
        assert!(
            !table
                .take(7, &rate, 1, start + SECOND / 10 - 1)
                .unwrap()
                .allowed
        );
        assert!(
            table
                .take(7, &rate, 1, start + SECOND / 10)
                .unwrap()
                .allowed
        );
        let full = table.take(7, &rate, 1, start + 100 * SECOND).unwrap();
        assert_eq!(full.remaining, 4);
    }

    #[test]
    fn keys_do_not_share_and_costs_count() {
        let table = Buckets::new(64);
        let rate = Rate::new(1, SECOND, 10).unwrap();
        assert!(table.take(1 << 33, &rate, 10, SECOND).unwrap().allowed);
        assert!(table.take(2 << 33, &rate, 10, SECOND).unwrap().allowed);
        assert!(!table.take(1 << 33, &rate, 1, SECOND).unwrap().allowed);
        assert_eq!(table.take(1 << 33, &rate, 11, SECOND), None);
    }

    #[test]
    fn nonsense_rates_are_refused() {
        for (tokens, period, burst) in [(0, 1, 1), (1, 0, 1), (1, 1, 0), (1, u64::MAX, u64::MAX)] {
            assert_eq!(Rate::new(tokens, period, burst), None);
        }
    }

    #[test]
    fn memory_does_not_grow_with_the_number_of_keys() {
        let table = Buckets::new(1024);
        let rate = Rate::new(1, SECOND, 1).unwrap();
        for key in 0..200_000_u64 {
            let spread = key.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            assert!(table.take(spread, &rate, 1, SECOND).is_some());
        }
        assert_eq!(table.sets.len() * WAYS, 1024);
    }

    #[test]
    fn threads_together_take_no_more_than_the_burst() {
        let table = Buckets::new(64);
        let rate = Rate::new(1, 1_000 * SECOND, 1_000).unwrap();
        let allowed: usize = std::thread::scope(|scope| {
            let spawn = || {
                scope.spawn(|| {
                    (0..1_000)
                        .filter(|_| table.take(99, &rate, 1, SECOND).unwrap().allowed)
                        .count()
                })
            };
            let threads = [spawn(), spawn(), spawn(), spawn()];
            threads.map(|t| t.join().unwrap()).iter().sum()
        });
        assert_eq!(allowed, 1_000);
    }

    proptest! {
        /// Over any history, no more is allowed than the burst plus what came in by rate.
        #[test]
        fn never_more_than_burst_plus_rate(
            tokens in 1_u64..1_000,
            burst in 1_u64..100,
            steps in proptest::collection::vec((0_u64..SECOND / 10, 1_u64..5), 1..200),
        ) {
            let table = Buckets::new(8);
            let rate = Rate::new(tokens, SECOND, burst).unwrap();
            let (start, mut now, mut taken) = (SECOND, SECOND, 0);
            for (pause, cost) in steps {
                now += pause;
                if table.take(5, &rate, cost, now).is_some_and(|t| t.allowed) {
                    taken += cost;
                }
                let came = (now - start) * tokens / SECOND;
                // Rounding of one token's time is at most a nanosecond each.
                prop_assert!(taken <= burst + came + 1);
            }
        }
    }
}
