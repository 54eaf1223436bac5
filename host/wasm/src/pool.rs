//! Idle instances of one binding, near the thread that used them last.
//!
//! One lock-free queue per worker thread: a thread takes from its own and looks into the others' only
//! when its own is empty, so that in steady state no cache line is shared.

use crate::instance::Instance;
use crossbeam_queue::ArrayQueue;
use std::sync::atomic::{AtomicUsize, Ordering};

pub(crate) struct Pool {
    shards: Box<[ArrayQueue<Box<Instance>>]>,
}

impl Pool {
    /// A pool for so many threads that keeps up to `depth` idle instances of each.
    pub(crate) fn new(threads: usize, depth: usize) -> Pool {
        let shard = |_| ArrayQueue::new(depth.max(1));
        Pool {
            shards: (0..threads.max(1)).map(shard).collect(),
        }
    }

    /// An idle instance, if there is one.
    pub(crate) fn take(&self) -> Option<Box<Instance>> {
        let own = self.own();
        let (before, after) = self.shards.split_at(own);
        after.iter().chain(before).find_map(ArrayQueue::pop)
    }

    /// Keep an instance for the next call on this thread; it is dropped where there are enough.
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
        THREAD.with(|thread| thread % self.shards.len())
    }
}
