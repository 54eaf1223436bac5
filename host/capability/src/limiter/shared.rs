//! Limits that several proxies share, in Redis. Each decision is one script, by the server's clock; what is no
//! longer needed ends by itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::{Cmd, Script};

use super::window::Counts;
use super::{Rate, Taken, Window};
use crate::redis::{Connection, Error, milliseconds, prefix};

static BUCKET: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bucket.lua")));
static WINDOW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("window.lua")));
static LEASE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));

/// Fractions of a token that are lost in computing with them.
const LOST: f64 = 1e-6;

/// The limiters of one plugin in Redis.
#[derive(Clone)]
pub struct Shared {
    connection: Connection,
    plugin: Arc<str>,
}

impl Shared {
    /// The limiters of a plugin. Their keys in Redis begin with `tidegate-limiter:{plugin}:`.
    pub fn new(connection: Connection, plugin: &str) -> Shared {
        Shared {
            connection,
            plugin: plugin.into(),
        }
    }

    /// Take `cost` tokens from a bucket. `None` where it can never hold so many.
    ///
    /// # Errors
    ///
    /// Redis.
    pub async fn take(&self, key: &[u8], rate: &Rate, cost: u64) -> Result<Option<Taken>, Error> {
        if cost > rate.burst {
            return Ok(None);
        }
        let mut script = BUCKET.prepare_invoke();
        script.key(self.key("bucket", key));
        script.arg(cost).arg(rate.burst).arg(rate.speed() * 1e3);
        let (allowed, left): (bool, f64) = self.connection.invoke(&script).await?;
        let time_for = |tokens: f64| (tokens.max(0.0) / rate.speed()).ceil() as u64;
        Ok(Some(Taken {
            allowed,
            remaining: ((left + LOST) as u64).min(rate.burst),
            full_after: time_for(rate.burst as f64 - left),
            retry_after: match allowed {
                true => 0,
                false => time_for(cost as f64 - left),
            },
        }))
    }

    /// Count `cost` in a window, if that stays within the limit. `None` where the cost is above it. The
    /// period is rounded up to microseconds.
    ///
    /// # Errors
    ///
    /// Redis.
    pub async fn take_window(
        &self,
        key: &[u8],
        window: &Window,
        cost: u64,
    ) -> Result<Option<Taken>, Error> {
        if cost > window.limit {
            return Ok(None);
        }
        let period = window.period.div_ceil(1000);
        let key = [format!("{period}:").as_bytes(), key].concat();
        let mut script = WINDOW.prepare_invoke();
        script.key(self.key("window", &key));
        script.arg(cost).arg(window.limit).arg(period);
        let (allowed, previous, current, elapsed): (bool, u64, u64, u64) =
            self.connection.invoke(&script).await?;
        let window = Window {
            period: period * 1000,
            ..*window
        };
        let counts = Counts {
            previous,
            current,
            elapsed: elapsed.saturating_mul(1000),
        };
        Ok(Some(match allowed {
            true => window.taken(counts),
            false => window.refused(counts, cost),
        }))
    }

    /// Take one of `limit` places of a key, for at most `ttl`. `None` where all are taken.
    ///
    /// # Errors
    ///
    /// Redis.
    pub async fn acquire(
        &self,
        key: &[u8],
        limit: u64,
        ttl: Duration,
    ) -> Result<Option<SharedLease>, Error> {
        // Made before the call: a place that was taken for a caller who gave up waiting comes back.
        let mut lease = SharedLease {
            connection: self.connection.clone(),
            key: self.key("lease", key),
            id: next_id(),
            may_be_held: true,
        };
        let mut script = LEASE.prepare_invoke();
        script.key(&lease.key);
        script.arg(&lease.id).arg(limit).arg(milliseconds(ttl));
        lease.may_be_held = self.connection.invoke(&script).await?;
        Ok(lease.may_be_held.then_some(lease))
    }

    fn key(&self, kind: &str, key: &[u8]) -> Vec<u8> {
        let mut full = prefix("tidegate-limiter", [&self.plugin, kind]);
        full.extend_from_slice(key);
        full
    }
}

/// One holder's place. Dropping it gives it back, by a task; if that fails, its time ends it.
#[must_use = "dropping a lease gives it back"]
pub struct SharedLease {
    connection: Connection,
    key: Vec<u8>,
    id: String,
    /// Until the server said otherwise.
    may_be_held: bool,
}

impl Drop for SharedLease {
    fn drop(&mut self) {
        if !self.may_be_held {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let connection = self.connection.clone();
        let mut release = Cmd::new();
        release.arg("ZREM").arg(&self.key).arg(&self.id);
        runtime.spawn(async move {
            if let Err(error) = connection.query::<u64>(&release).await {
                tracing::debug!("a lease stays until its time ends: {error}");
            }
        });
    }
}

/// Unlike every other, in all processes.
fn next_id() -> String {
    static PROCESS: LazyLock<[u64; 2]> = LazyLock::new(|| {
        // Seeded by the system, where a random number of `fastrand` is not.
        [RandomState::new(), RandomState::new()].map(|seeded| seeded.hash_one(0))
    });
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{next:x}", PROCESS[0], PROCESS[1])
}
