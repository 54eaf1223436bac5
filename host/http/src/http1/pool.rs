//! Connections to a peer that wait for their next request.

use super::connection::Connection;
use crate::connect::ProxiedFor;
use crate::peer::PeerAddress;
use rustls_pki_types::ServerName;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tidegate_listen::proxy_protocol::Version;

/// How often it is looked whether peers have closed theirs.
const SWEEP: Duration = Duration::from_secs(1);
/// More threads than that share shelves.
const SHELVES_MAX: usize = 64;

/// The pools of all peers. They outlive the state that they were made for: a reload, or a swapped plugin, leaves
/// connections as they are.
#[derive(Debug, Default)]
pub struct Pools(Mutex<HashMap<Likeness, Weak<Pool>>>);

/// Connections that are made alike can stand in for each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Likeness {
    pub(crate) address: PeerAddress,
    /// Of TLS: all that it is made of, and the name that the certificate is for.
    pub(crate) tls: Option<(u64, ServerName<'static>)>,
    pub(crate) proxy: Option<Version>,
    /// The most that wait, and for how long each.
    pub(crate) most: usize,
    pub(crate) timeout: Duration,
}

impl Pools {
    /// The one for such connections.
    pub(crate) fn of(&self, likeness: Likeness) -> Arc<Pool> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, known| known.strong_count() > 0);
        if let Some(known) = all.get(&likeness).and_then(Weak::upgrade) {
            return known;
        }
        let pool = Pool::new(likeness.most, likeness.timeout);
        all.insert(likeness, Arc::downgrade(&pool));
        pool
    }
}

/// The idle connections to one peer.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Each thread has its own, for as long as that has what it needs.
    shelves: Box<[Mutex<VecDeque<Idle>>]>,
    /// On all shelves.
    count: AtomicUsize,
    most: usize,
    timeout: Duration,
    sweeping: AtomicBool,
}

#[derive(Debug)]
struct Idle {
    since: Instant,
    /// Whose it is, where it began with a PROXY header.
    client: Option<ProxiedFor>,
    connection: Box<Connection>,
}

impl Pool {
    /// At most so many, for so long each.
    fn new(most: usize, timeout: Duration) -> Arc<Pool> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shelves = threads.min(SHELVES_MAX);
        Arc::new(Pool {
            shelves: (0..shelves).map(|_| Mutex::default()).collect(),
            count: AtomicUsize::new(0),
            most,
            timeout,
            sweeping: AtomicBool::new(false),
        })
    }

    /// The one that was used last, if there is one that can be used.
    pub(super) fn take(&self, client: Option<&ProxiedFor>) -> Option<Box<Connection>> {
        let own = self.own();
        let first = self.shelves.get(own).map(lock);
        if let Some(connection) = first.and_then(|mut shelf| self.take_from(&mut shelf, client)) {
            return Some(connection);
        }
        let others = self.shelves.iter().enumerate().filter(|(at, _)| *at != own);
        others
            .filter_map(|(_, shelf)| shelf.try_lock().ok())
            .find_map(|mut shelf| self.take_from(&mut shelf, client))
    }

    fn take_from(
        &self,
        shelf: &mut VecDeque<Idle>,
        client: Option<&ProxiedFor>,
    ) -> Option<Box<Connection>> {
        loop {
            let at = shelf
                .iter()
                .rposition(|idle| idle.client.as_ref() == client)?;
            let mut idle = shelf.remove(at)?;
            self.count.fetch_sub(1, Ordering::Relaxed);
            if idle.since.elapsed() < self.timeout && idle.connection.is_quiet() {
                return Some(idle.connection);
            }
        }
    }

    /// Keep one for later.
    pub(super) fn put(self: &Arc<Pool>, client: Option<ProxiedFor>, connection: Box<Connection>) {
        let idle = Idle {
            since: Instant::now(),
            client,
            connection,
        };
        let Some(shelf) = self.shelves.get(self.own()) else {
            return;
        };
        let is_full = self.count.fetch_add(1, Ordering::Relaxed) >= self.most;
        let mut shelf = lock(shelf);
        // In place of the oldest of the same thread, or not at all. Closed after the lock is gone.
        let oldest = is_full.then(|| shelf.pop_front()).flatten();
        let left = match is_full && oldest.is_none() {
            true => Some(idle),
            false => {
                shelf.push_back(idle);
                None
            }
        };
        drop(shelf);
        if is_full {
            self.count.fetch_sub(1, Ordering::Relaxed);
            drop((oldest, left));
        }
        if !self.sweeping.load(Ordering::Relaxed) && !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// The shelf of this thread.
    fn own(&self) -> usize {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static THREAD: usize = THREADS.fetch_add(1, Ordering::Relaxed);
        }
        THREAD.with(|thread| thread % self.shelves.len())
    }

    /// Close what waits too long, and what the peer has closed; whether anything is left.
    fn sweep(&self) -> bool {
        let mut is_used = false;
        for shelf in &self.shelves {
            let mut closed = Vec::new();
            let mut shelf = lock(shelf);
            for mut idle in std::mem::take(&mut *shelf) {
                match idle.since.elapsed() < self.timeout && idle.connection.is_quiet() {
                    true => shelf.push_back(idle),
                    false => closed.push(idle),
                }
            }
            is_used |= !shelf.is_empty();
            drop(shelf);
            self.count.fetch_sub(closed.len(), Ordering::Relaxed);
        }
        is_used
    }
}

/// Sweep until nothing waits, or nobody has the pool any more.
async fn sweep(pool: Weak<Pool>) {
    loop {
        let Some(interval) = pool.upgrade().map(|pool| pool.timeout.min(SWEEP)) else {
            return;
        };
        tokio::time::sleep(interval).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.sweep() {
            pool.sweeping.store(false, Ordering::Release);
            // Who put one in before this saw that somebody sweeps.
            if !pool.sweep() || pool.sweeping.swap(true, Ordering::AcqRel) {
                return;
            }
        }
    }
}

fn lock(shelf: &Mutex<VecDeque<Idle>>) -> MutexGuard<'_, VecDeque<Idle>> {
    shelf.lock().unwrap_or_else(PoisonError::into_inner)
}
