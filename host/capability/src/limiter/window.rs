//! Sliding windows, estimated from the counts of two periods: the present one, and the one before it weighted
//! by how much of it the window still covers. Described by Cloudflare ("How we built rate limiting capable of
//! scaling to millions of domains", 2017). No more than the limit is allowed in any one period.
//!
//! The table has a fixed size: sets of eight slots under a lock that is held for some nanoseconds. When all
//! eight are in use, the one whose counts are worthless soonest gives way.
//!
//! No clock in here: the caller says what time it is.

use std::sync::{Mutex, PoisonError};

use super::{Taken, WAYS};

/// A limit for a period, checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub(super) limit: u64,
    pub(super) period: u64,
}

/// What was counted of a key, at a moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) previous: u64,
    pub(super) current: u64,
    /// Nanoseconds since the present period began.
    pub(super) elapsed: u64,
}

impl Window {
    /// At most `limit` in `period` nanoseconds. `None` where a number is zero, the limit is above 2⁵³ (what
    /// Redis can count) or the period above 36 years.
    pub fn new(limit: u64, period: u64) -> Option<Window> {
        let fits = (1..=1 << 53).contains(&limit) && (1..=1 << 60).contains(&period);
        fits.then_some(Window { limit, period })
    }

    /// The outcome for a cost that was counted.
    pub(super) fn taken(&self, counts: Counts) -> Taken {
        Taken {
            allowed: true,
            remaining: self.remaining(counts),
            full_after: self.full_after(counts),
            retry_after: 0,
        }
    }

    /// The outcome for a cost that was not counted.
    pub(super) fn refused(&self, counts: Counts, cost: u64) -> Taken {
        Taken {
            allowed: false,
            remaining: self.remaining(counts),
            full_after: self.full_after(counts),
            retry_after: self.retry_after(counts, cost),
        }
    }

    fn remaining(&self, counts: Counts) -> u64 {
        let covered = self.period.saturating_sub(counts.elapsed);
        let weighted = u128::from(counts.previous) * u128::from(covered);
        let weighted = weighted.div_ceil(u128::from(self.period)) as u64;
        self.limit
            .saturating_sub(counts.current)
            .saturating_sub(weighted)
    }

    fn full_after(&self, counts: Counts) -> u64 {
        let rest = self.period.saturating_sub(counts.elapsed);
        match counts {
            Counts { current: 1.., .. } => rest + self.period,
            Counts { previous: 1.., .. } => rest,
            _ => 0,
        }
    }

    fn retry_after(&self, counts: Counts, cost: u64) -> u64 {
        let room = self.limit.saturating_sub(cost);
        match room.checked_sub(counts.current) {
            Some(room) => self
                .faded(counts.previous, room)
                .saturating_sub(counts.elapsed),
            // In the next period, when what is counted now is what is weighted.
            None => self.period.saturating_sub(counts.elapsed) + self.faded(counts.current, room),
        }
    }

    /// How far into a period `previous` must be to weigh no more than `room`.
    fn faded(&self, previous: u64, room: u64) -> u64 {
        if previous <= room {
            return 0;
        }
        let covered = u128::from(room) * u128::from(self.period) / u128::from(previous);
        self.period - covered as u64
    }
}

/// Windows by hashed key.
pub struct Windows {
    sets: Box<[Mutex<[Slot; WAYS]>]>,
}

#[derive(Default)]
struct Slot {
    /// Zero marks a slot that was never used.
    key: u64,
    /// When the present period began.
    start: u64,
    /// When nothing of it counts any more.
    end: u64,
    previous: u64,
    current: u64,
}

impl Windows {
    /// A table for about `keys` keys at a time; 48 bytes each.
    pub fn new(keys: usize) -> Windows {
        let sets = keys.div_ceil(WAYS).max(1).next_power_of_two();
        Windows {
            sets: (0..sets).map(|_| Mutex::default()).collect(),
        }
    }

    /// Count `cost` at the time `now` (nanoseconds, never going back), if that stays within the limit. `None`
    /// where the cost is above the limit. A key has separate counts for each period, so it can have several
    /// windows.
    pub fn take(&self, key: u64, window: &Window, cost: u64, now: u64) -> Option<Taken> {
        if cost > window.limit {
            return None;
        }
        let key = (key ^ window.period.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1;
        let set = self
            .sets
            .get((key >> 32) as usize & (self.sets.len() - 1))?;
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = match set.iter().position(|slot| slot.key == key) {
            Some(index) => set.get_mut(index)?,
            None => {
                let slot = set.iter_mut().min_by_key(|slot| slot.end)?;
                *slot = Slot {
                    key,
                    ..Slot::default()
                };
                slot
            }
        };
        let counts = slot.counts(window.period, now);
        if window.remaining(counts) < cost {
            return Some(window.refused(counts, cost));
        }
        slot.current += cost;
        Some(window.taken(Counts {
            current: slot.current,
            ..counts
        }))
    }
}

impl Slot {
    fn counts(&mut self, period: u64, now: u64) -> Counts {
        // Another thread may have been here with a later time.
        let now = now.max(self.start);
        let start = now - now % period;
        if start != self.start {
            let follows = start == self.start.saturating_add(period);
            self.previous = if follows { self.current } else { 0 };
            self.current = 0;
            self.start = start;
        }
        self.end = start.saturating_add(2 * period);
        Counts {
            previous: self.previous,
            current: self.current,
            elapsed: now - start,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn the_last_period_fades() {
        let windows = Windows::new(64);
        let window = Window::new(10, 10 * SECOND).unwrap();
        let start = 1_000 * SECOND;
        let take = |cost, at| windows.take(7, &window, cost, start + at).unwrap();
        let taken = take(10, 0);
        assert_eq!((taken.allowed, taken.remaining), (true, 0));
        assert_eq!(taken.full_after, 20 * SECOND);
        let refused = take(1, SECOND);
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        // One in ten is covered no more after a tenth of the next period.
        assert_eq!(refused.retry_after, 10 * SECOND);
        assert!(!take(1, 11 * SECOND - 1).allowed);
        assert!(take(1, 11 * SECOND).allowed);
        let taken = take(4, 15 * SECOND);
        assert_eq!((taken.allowed, taken.remaining), (true, 0));
        assert_eq!(take(0, 40 * SECOND).remaining, 10);
    }

    #[test]
    fn keys_and_periods_do_not_share() {
        let windows = Windows::new(64);
        let second = Window::new(1, SECOND).unwrap();
        let hour = Window::new(5, 3_600 * SECOND).unwrap();
        assert!(windows.take(1 << 33, &second, 1, 0).unwrap().allowed);
        assert!(!windows.take(1 << 33, &second, 1, 0).unwrap().allowed);
        assert!(windows.take(2 << 33, &second, 1, 0).unwrap().allowed);
        assert!(windows.take(1 << 33, &hour, 5, 0).unwrap().allowed);
        assert_eq!(windows.take(1 << 33, &hour, 6, 0), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for (limit, period) in [(0, 1), (1, 0), (u64::MAX, 1), (1, u64::MAX)] {
            assert_eq!(Window::new(limit, period), None);
        }
        let widest = Window::new(1 << 53, 1 << 60).unwrap();
        let taken = Windows::new(1).take(1, &widest, 1 << 53, u64::MAX);
        assert!(taken.unwrap().allowed);
    }

    #[test]
    fn memory_does_not_grow_and_the_oldest_key_gives_way() {
        let windows = Windows::new(WAYS);
        let window = Window::new(1, SECOND).unwrap();
        let take = |key, at| windows.take(key << 1, &window, 1, at).unwrap().allowed;
        for key in 1..=WAYS as u64 {
            assert!(take(key, key * SECOND));
        }
        let now = WAYS as u64 * SECOND;
        assert!(take(100, now));
        assert!(
            !take(WAYS as u64, now),
            "a key that still counts was forgotten"
        );
        for key in 0..100_000 {
            windows.take(key << 20, &window, 1, now).unwrap();
        }
        assert_eq!(windows.sets.len(), 1);
    }

    #[test]
    fn threads_together_take_no_more_than_the_limit() {
        let windows = Windows::new(64);
        let window = Window::new(1_000, SECOND).unwrap();
        let take = || windows.take(99, &window, 1, SECOND).unwrap().allowed;
        let allowed: usize = std::thread::scope(|scope| {
            let count = || (0..1_000).filter(|_| take()).count();
            let threads = [(); 4].map(|()| scope.spawn(count));
            threads.map(|t| t.join().unwrap()).iter().sum()
        });
        assert_eq!(allowed, 1_000);
    }

    proptest! {
        /// What the outcome says about the future is so, to the nanosecond.
        #[test]
        fn the_outcome_is_exact(
            limit in 1_u64..50,
            period in 1_u64..1_000,
            steps in proptest::collection::vec((0_u64..1_500, 0_u64..50), 1..100),
        ) {
            let window = Window::new(limit, period).unwrap();
            let mut now = 0;
            // The costs that were allowed, for each period.
            let mut allowed = std::collections::BTreeMap::<u64, u64>::new();
            let mut history = Vec::new();
            let replay = |history: &[(u64, u64)], cost, at| {
                let windows = Windows::new(8);
                for &(cost, at) in history {
                    windows.take(5, &window, cost, at);
                }
                windows.take(5, &window, cost, at)
            };
            for (pause, cost) in steps {
                now += pause;
                let Some(taken) = replay(&history, cost, now) else {
                    prop_assert!(cost > limit);
                    continue;
                };
                if taken.allowed {
                    *allowed.entry(now / period).or_default() += cost;
                } else {
                    let then = now + taken.retry_after;
                    prop_assert!(taken.remaining < cost);
                    prop_assert!(replay(&history, cost, then).unwrap().allowed);
                    prop_assert!(!replay(&history, cost, then - 1).unwrap().allowed);
                }
                history.push((cost, now));
                prop_assert!(replay(&history, taken.remaining, now).unwrap().allowed);
                let over = replay(&history, taken.remaining + 1, now);
                prop_assert!(over.is_none_or(|over| !over.allowed));
                let full = replay(&history, 0, now + taken.full_after).unwrap();
                prop_assert_eq!(full.remaining, limit);
            }
            prop_assert!(allowed.values().all(|sum| *sum <= limit));
        }
    }
}
