//! Leases: at most so many holders of a key at one time.
//!
//! A lease ends when it is dropped, or after its time although it is still held. The number of keys is
//! bounded, that of a key's leases by its limit. When there are too many keys, the one of the lease that would
//! end next is forgotten with all its leases, and starts anew.
//!
//! No clock in here: the caller says what time it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

const SHARDS: usize = 16;

/// The leases of hashed keys.
pub struct Leases {
    shards: [Mutex<Shard>; SHARDS],
    /// The most keys of a shard.
    keys_max: usize,
}

#[derive(Default)]
struct Shard {
    /// The keys of the leases that are out, by their end and number.
    by_end: BTreeMap<(u64, u64), u64>,
    /// The leases of each key; never empty.
    by_key: HashMap<u64, BTreeSet<(u64, u64)>>,
    /// Leases given so far.
    given: u64,
}

/// One holder's place. Dropping it gives it back.
#[must_use = "dropping a lease gives it back"]
pub struct Lease {
    leases: Arc<Leases>,
    key: u64,
    id: (u64, u64),
}

impl Leases {
    /// Room for about `keys` keys at a time.
    pub fn new(keys: usize) -> Arc<Leases> {
        Arc::new(Leases {
            shards: Default::default(),
            keys_max: keys.div_ceil(SHARDS).max(1),
        })
    }

    /// Takes one of `limit` places of a key, for at most `ttl` from `now` (nanoseconds, never going back).
    /// `None` where all are taken.
    pub fn acquire(self: &Arc<Self>, key: u64, limit: u64, ttl: u64, now: u64) -> Option<Lease> {
        let mut shard = self.shard(key);
        while let Some((&id, _)) = shard.by_end.first_key_value()
            && id.0 <= now
        {
            shard.end(id);
        }
        let held = shard.by_key.get(&key).map_or(0, BTreeSet::len);
        if held as u64 >= limit {
            return None;
        }
        if held == 0 && shard.by_key.len() >= self.keys_max {
            shard.forget_a_key();
        }
        shard.given += 1;
        let id = (now.saturating_add(ttl), shard.given);
        shard.by_end.insert(id, key);
        shard.by_key.entry(key).or_default().insert(id);
        Some(Lease {
            leases: self.clone(),
            key,
            id,
        })
    }

    fn shard(&self, key: u64) -> MutexGuard<'_, Shard> {
        // Not the low bits: sets of keys may be alike in them.
        let shard = &self.shards[(key >> 32) as usize % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Ends a lease, if it has not ended yet.
    fn end(&mut self, id: (u64, u64)) {
        let Some(key) = self.by_end.remove(&id) else {
            return;
        };
        if let Some(held) = self.by_key.get_mut(&key) {
            held.remove(&id);
            if held.is_empty() {
                self.by_key.remove(&key);
            }
        }
    }

    fn forget_a_key(&mut self) {
        let Some((_, &key)) = self.by_end.first_key_value() else {
            return;
        };
        for id in self.by_key.remove(&key).unwrap_or_default() {
            self.by_end.remove(&id);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.leases.shard(self.key).end(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_comes_back_when_it_is_dropped_or_late() {
        let leases = Leases::new(100);
        let first = leases.acquire(1, 2, 1_000, 0).unwrap();
        let second = leases.acquire(1, 2, 10, 0).unwrap();
        assert!(leases.acquire(1, 2, 10, 0).is_none());
        let other = leases.acquire(2, 2, 10, 0);
        assert!(other.is_some(), "keys share");
        drop(first);
        let third = leases.acquire(1, 2, 1_000, 5).unwrap();
        assert!(leases.acquire(1, 2, 10, 9).is_none());
        let fourth = leases.acquire(1, 2, 1_000, 10).unwrap();
        // The late one no longer counts, so it takes no place with it.
        drop(second);
        assert!(leases.acquire(1, 2, 10, 11).is_none());
        drop((third, fourth, other));
        assert!(leases.acquire(1, 0, 10, 12).is_none());
        let empty = |shard: &Mutex<Shard>| shard.lock().unwrap().by_key.is_empty();
        assert!(leases.shards.iter().all(empty));
    }

    #[test]
    fn memory_does_not_grow_and_no_key_is_shut_out() {
        let leases = Leases::new(SHARDS);
        let twice = |key| [(); 2].map(|()| leases.acquire(key, 2, 1_000, 0).unwrap());
        let held: Vec<_> = (0..10_000_u64).map(|key| twice(key << 32)).collect();
        let count = |shard: &Mutex<Shard>| shard.lock().unwrap().by_end.len();
        assert_eq!(leases.shards.iter().map(count).sum::<usize>(), 2 * SHARDS);
        // The first key was forgotten. What it held then takes nothing from what it holds now.
        let again = twice(0);
        drop(held);
        assert!(leases.acquire(0, 2, 1_000, 0).is_none());
        drop(again);
        assert_eq!(leases.shards.iter().map(count).sum::<usize>(), 0);
    }

    #[test]
    fn a_limit_may_be_larger_than_the_number_of_keys() {
        let leases = Leases::new(1);
        let acquire = |_| leases.acquire(7, 100, 1_000, 0);
        let held: Vec<_> = (0..1_000).filter_map(acquire).collect();
        assert_eq!(held.len(), 100);
    }

    #[test]
    fn threads_together_hold_no_more_than_the_limit() {
        let leases = Leases::new(100);
        let held: usize = std::thread::scope(|scope| {
            let take = || {
                let acquire = |_| leases.acquire(7, 10, 1_000, 0);
                (0..100).filter_map(acquire).collect::<Vec<_>>()
            };
            let threads = [(); 4].map(|()| scope.spawn(take));
            // All are kept until the last thread is done.
            let held = threads.map(|thread| thread.join().unwrap());
            held.iter().map(Vec::len).sum()
        });
        assert_eq!(held, 10);
    }

    proptest! {
        /// A key has as many places left as a list of its holders says.
        #[test]
        fn places_are_counted(
            steps in proptest::collection::vec((0_u64..3, 0_u64..4, 1_u64..40, 0_u64..10), 1..200),
        ) {
            let leases = Leases::new(10_000);
            let mut held: Vec<(u64, u64, Lease)> = Vec::new();
            let mut now = 0;
            for (key, limit, ttl, pause) in steps {
                now += pause;
                let in_use = held.iter().filter(|(k, end, _)| *k == key && *end > now).count();
                let lease = leases.acquire(key, limit, ttl, now);
                prop_assert_eq!(lease.is_some(), (in_use as u64) < limit);
                match lease {
                    Some(lease) => held.push((key, now + ttl, lease)),
                    None => drop((!held.is_empty()).then(|| held.swap_remove(0))),
                }
            }
        }
    }
}
