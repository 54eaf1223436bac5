//! Idle instances of one binding, near the thread that used them last.
//!
//! One lock-free queue per worker thread: a thread takes from its own and looks into the others' only
//! when its own is empty, so that in steady state no cache line is shared.

use crate::instance::Instance;
use crossbeam_queue::ArrayQueue;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Instances that are given up at once when as many live as may.
const EVICTED_AT_ONCE: usize = 16;

/// The pools of all bindings. Asked only when one is made, when the engine is full, and when an exchange
/// wants an instance for itself.
pub(crate) struct Pools {
    all: Mutex<Vec<Weak<Pool>>>,
    /// Instances that exchanges may still keep: slow clients of one plugin leave the others their half.
    keepable: Arc<AtomicUsize>,
}

/// The place of an instance that an exchange keeps.
pub(crate) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) struct Pool {
    shards: Box<[ArrayQueue<Box<Instance>>]>,
}

impl Pools {
    /// For an engine with room for so many instances.
    pub(crate) fn new(instances: u32) -> Pools {
        let keepable = usize::try_from(instances / 2).unwrap_or(usize::MAX).max(1);
        Pools {
            all: Mutex::default(),
            keepable: Arc::new(AtomicUsize::new(keepable)),
        }
    }

    /// A place for an instance that an exchange keeps, if there is one.
    pub(crate) fn keep(&self) -> Option<Place> {
        let less = |left: usize| left.checked_sub(1);
        let relaxed = Ordering::Relaxed;
        self.keepable.fetch_update(relaxed, relaxed, less).ok()?;
        Some(Place(self.keepable.clone()))
    }

    /// A pool for so many threads that keeps up to `depth` idle instances of each.
    pub(crate) fn pool(&self, threads: usize, depth: usize) -> Arc<Pool> {
        let shard = |_| ArrayQueue::new(depth.max(1));
        let pool = Arc::new(Pool {
            shards: (0..threads.max(1)).map(shard).collect(),
        });
        let mut pools = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(&pool));
        pool
    }

    /// Give up some idle instances, so that another can be made. Pools take turns.
    pub(crate) fn evict(&self) {
        let mut evicted = Vec::new();
        let mut pools = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..pools.len() {
            if evicted.len() >= EVICTED_AT_ONCE {
                break;
            }
            pools.rotate_left(1);
            evicted.extend(
                pools
                    .last()
                    .and_then(Weak::upgrade)
                    .and_then(|pool| pool.take()),
            );
        }
        // Stores take their time to be dropped.
        drop(pools);
        drop(evicted);
    }
}

impl Pool {
    /// One that keeps nothing.
    pub(crate) fn none() -> Pool {
        Pool {
            shards: Box::default(),
        }
    }

    /// An idle instance, if there is one.
    pub(crate) fn take(&self) -> Option<Box<Instance>> {
        let (before, after) = self.shards.split_at(self.own());
        after.iter().chain(before).find_map(ArrayQueue::pop)
    }

    /// Keep an instance for the next call on this thread; it is dropped where there are enough, or none is kept.
    pub(crate) fn put(&self, instance: Box<Instance>) {
        if let Some(shard) = self.shards.get(self.own()) {
            drop(shard.push(instance));
        }
    }

    fn own(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        }
        THREAD.with(|thread| thread.checked_rem(self.shards.len()).unwrap_or(0))
    }
}
