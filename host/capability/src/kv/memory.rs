//! A store in memory, bounded by entries and by bytes.
//!
//! What has expired makes room first, then what was not used for longest. Keys are spread over shards, each with
//! a lock and its part of the bounds; a store so small that a shard could not hold several of the
//! largest values has one.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use lru::LruCache;
use tokio::time::Instant;

use super::{Error, VALUE_MAX, check, check_key};

/// What an entry counts beyond its key and value, in bytes: about what its bookkeeping takes.
pub(super) const ENTRY_OVERHEAD: usize = 256;

const SHARDS_MAX: usize = 16;
/// A shard holds at least so much, or is the only one.
const SHARD_BYTES: usize = 4 * VALUE_MAX;
const SHARD_ENTRIES: usize = 64;
/// Expired entries that one insertion removes although their room is not needed.
const SWEEP: usize = 8;

/// The bounds of a store, for each plugin that uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most entries; at least 1.
    pub entries: usize,
    /// The most bytes of keys and values, and 256 for each entry.
    pub bytes: usize,
}

/// The stores in memory of a process. They outlive a change of the configuration that keeps their bounds.
#[derive(Default)]
pub struct Stores {
    by_names: Mutex<HashMap<(String, String), Weak<Memory>>>,
}

impl Stores {
    /// The store of a plugin in a section: the one that is in use under these names, if it has these bounds,
    /// or an empty one.
    pub fn open(&self, store: &str, plugin: &str, limits: Limits) -> Arc<Memory> {
        let mut by_names = self.by_names.lock().unwrap_or_else(PoisonError::into_inner);
        by_names.retain(|_, memory| memory.strong_count() > 0);
        let names = (store.to_owned(), plugin.to_owned());
        if let Some(memory) = by_names.get(&names).and_then(Weak::upgrade)
            && memory.limits == limits
        {
            return memory;
        }
        let memory = Arc::new(Memory::new(limits));
        by_names.insert(names, Arc::downgrade(&memory));
        memory
    }
}

/// A store in memory. The functions are those of [`Store`](super::Store).
pub struct Memory {
    limits: Limits,
    hasher: RandomState,
    shards: Box<[Mutex<Shard>]>,
}

struct Shard {
    limits: Limits,
    entries: LruCache<Arc<[u8]>, Entry, RandomState>,
    /// The entries that expire, the next first. The number tells those of one moment apart.
    ends: BTreeMap<(Instant, u64), Arc<[u8]>>,
    /// Ends given so far.
    given: u64,
    bytes: usize,
}

struct Entry {
    value: Bytes,
    end: Option<(Instant, u64)>,
}

impl Memory {
    /// An empty store.
    pub fn new(limits: Limits) -> Memory {
        let shards = (limits.bytes / SHARD_BYTES).min(limits.entries / SHARD_ENTRIES);
        let shards = shards.clamp(1, SHARDS_MAX);
        let of_a_shard = Limits {
            entries: (limits.entries / shards).max(1),
            bytes: limits.bytes / shards,
        };
        Memory {
            limits,
            hasher: RandomState::new(),
            shards: (0..shards)
                .map(|_| Mutex::new(Shard::new(of_a_shard)))
                .collect(),
        }
    }

    /// See [`Store::get`](super::Store::get).
    pub fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        let mut shard = self.shard(key);
        Ok(shard.live(key, Instant::now()).map(|e| e.value.clone()))
    }

    /// See [`Store::set`](super::Store::set).
    pub fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
        check(key, value)?;
        let now = Instant::now();
        self.shard(key).put(key, value, end(now, ttl), now)
    }

    /// See [`Store::delete`](super::Store::delete).
    pub fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        check_key(key)?;
        let mut shard = self.shard(key);
        let is_there = shard.live(key, Instant::now()).is_some();
        shard.remove(key);
        Ok(is_there)
    }

    /// See [`Store::compare_and_set`](super::Store::compare_and_set).
    pub fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        check(key, value)?;
        let now = Instant::now();
        let mut shard = self.shard(key);
        if shard.live(key, now).map(|e| &*e.value) != expected {
            return Ok(false);
        }
        shard.put(key, value, end(now, ttl), now)?;
        Ok(true)
    }

    /// See [`Store::increment`](super::Store::increment).
    pub fn increment(&self, key: &[u8], by: i64, ttl: Option<Duration>) -> Result<i64, Error> {
        check_key(key)?;
        let now = Instant::now();
        let mut shard = self.shard(key);
        let (number, end) = match shard.live(key, now) {
            Some(entry) => (number(&entry.value)?, entry.end.map(|(end, _)| end)),
            None => (0, end(now, ttl)),
        };
        let sum = number.checked_add(by).ok_or(Error::Overflow)?;
        shard.put(key, sum.to_string().as_bytes(), end, now)?;
        Ok(sum)
    }

    fn shard(&self, key: &[u8]) -> MutexGuard<'_, Shard> {
        let index = self.hasher.hash_one(key) as usize % self.shards.len();
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a value ends; never, where that is beyond what a clock can say.
fn end(now: Instant, ttl: Option<Duration>) -> Option<Instant> {
    now.checked_add(
        ttl.map(crate::redis::milliseconds)
            .map(Duration::from_millis)?,
    )
}

/// A number in the one form that Redis takes: no `+`, no spaces, no zeros before it.
fn number(text: &[u8]) -> Result<i64, Error> {
    let parsed: Option<i64> = std::str::from_utf8(text).ok().and_then(|t| t.parse().ok());
    parsed
        .filter(|number| number.to_string().as_bytes() == text)
        .ok_or(Error::NotANumber)
}

impl Shard {
    fn new(limits: Limits) -> Shard {
        Shard {
            limits,
            // Seeded unlike the choice of the shard, which would leave most of the table unused.
            entries: LruCache::unbounded_with_hasher(RandomState::new()),
            ends: BTreeMap::new(),
            given: 0,
            bytes: 0,
        }
    }

    /// An entry that has not expired; it counts as used.
    fn live(&mut self, key: &[u8], now: Instant) -> Option<&Entry> {
        let entry = self.entries.peek(key)?;
        if entry.end.is_some_and(|(end, _)| end <= now) {
            self.remove(key);
        }
        self.entries.get(key)
    }

    fn put(
        &mut self,
        key: &[u8],
        value: &[u8],
        end: Option<Instant>,
        now: Instant,
    ) -> Result<(), Error> {
        let size = size(key, value);
        if size > self.limits.bytes {
            return Err(Error::Value(value.len()));
        }
        self.remove(key);
        self.make_room(size, now);
        let key: Arc<[u8]> = key.into();
        let end = end.map(|end| {
            self.given += 1;
            (end, self.given)
        });
        if let Some(end) = end {
            self.ends.insert(end, key.clone());
        }
        let value = Bytes::copy_from_slice(value);
        self.entries.put(key, Entry { value, end });
        self.bytes += size;
        Ok(())
    }

    fn make_room(&mut self, size: usize, now: Instant) {
        for _ in 0..SWEEP {
            if !self.remove_expired(now) {
                break;
            }
        }
        while self.entries.len() >= self.limits.entries || self.bytes + size > self.limits.bytes {
            if self.remove_expired(now) {
                continue;
            }
            let Some((key, _)) = self.entries.peek_lru() else {
                return;
            };
            let key = key.clone();
            self.remove(&key);
        }
    }

    fn remove_expired(&mut self, now: Instant) -> bool {
        match self.ends.first_key_value() {
            Some((&(end, _), key)) if end <= now => {
                let key = key.clone();
                self.remove(&key);
                true
            }
            _ => false,
        }
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(entry) = self.entries.pop(key) {
            self.bytes -= size(key, &entry.value);
            if let Some(end) = entry.end {
                self.ends.remove(&end);
            }
        }
    }
}

fn size(key: &[u8], value: &[u8]) -> usize {
    ENTRY_OVERHEAD + key.len() + value.len()
}
