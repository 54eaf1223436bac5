//! `limiter`: buckets, windows and places whose state belongs to the host, or to a Redis that several
//! proxies share; then another linker has these functions, which wait.

use super::Host;
use super::kv::unavailable;
use crate::wit::{WitBucket, WitError, WitOutcome, WitScope, WitWindow};
use std::any::Any;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tidegate_capability::limiter::{Rate, Shared, Taken, Window};
use wasmtime::component::LinkerInstance;
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = std::result::Result<T, WitError>;
type Bytes = Vec<u8>;

/// Bytes of the key of a place.
const KEY_BYTES_MAX: usize = 1024;
/// Places that an exchange can hold.
const PLACES_MAX: usize = 64;

/// Seeded per process, so that nobody can choose keys that collide.
static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// A place that an exchange holds.
struct Place {
    plugin: Arc<str>,
    key: Bytes,
    _lease: Box<dyn Any + Send + Sync>,
}

pub(super) fn link(limiter: &mut LinkerInstance<'_, Host>, shared: bool) -> Result<()> {
    limiter.func_wrap(
        "release",
        |mut host: Caller<'_>, (scope, key): (WitScope, Bytes)| {
            Ok((host.data_mut().release(scope, &key),))
        },
    )?;
    if shared {
        link_shared(limiter)
    } else {
        link_local(limiter)
    }
}

fn link_local(limiter: &mut LinkerInstance<'_, Host>) -> Result<()> {
    limiter.func_wrap(
        "take",
        |host: Caller<'_>, (scope, key, bucket, cost): (WitScope, Bytes, WitBucket, u64)| {
            let host = host.data();
            let taken = || {
                let (rate, key) = (rate(&bucket)?, host.hash(scope, &key)?);
                let limits = host.namespace.limits();
                outcome(limits.buckets.take(key, &rate, cost, host.monotonic()))
            };
            Ok((taken(),))
        },
    )?;
    limiter.func_wrap(
        "take-window",
        |host: Caller<'_>, (scope, key, window, cost): (WitScope, Bytes, WitWindow, u64)| {
            let host = host.data();
            let taken = || {
                let (window, key) = (checked(&window)?, host.hash(scope, &key)?);
                let limits = host.namespace.limits();
                outcome(limits.windows.take(key, &window, cost, host.monotonic()))
            };
            Ok((taken(),))
        },
    )?;
    limiter.func_wrap(
        "acquire",
        |mut host: Caller<'_>, (scope, key, limit, ttl): (WitScope, Bytes, u64, u64)| {
            let host = host.data_mut();
            let mut acquired = || {
                host.may_hold(&key)?;
                let hash = host.hash(scope, &key)?;
                if limit == 0 || ttl == 0 {
                    return Err(WitError::InvalidArgument);
                }
                let leases = &host.namespace.limits().leases;
                let lease = leases.acquire(hash, limit, ttl, host.monotonic());
                Ok(lease.map(|lease| host.hold(scope, &key, lease)).is_some())
            };
            Ok((acquired(),))
        },
    )
}

fn link_shared(limiter: &mut LinkerInstance<'_, Host>) -> Result<()> {
    limiter.func_wrap_async(
        "take",
        |host: Caller<'_>, (scope, key, bucket, cost): (WitScope, Bytes, WitBucket, u64)| {
            let host = host.data();
            let (shared, key) = (host.shared(), host.scoped(scope, &key));
            Box::new(async move {
                let taken = async {
                    let rate = rate(&bucket)?;
                    let taken = shared?.take(&key?, &rate, cost).await;
                    outcome(taken.map_err(|error| unavailable(&error))?)
                };
                Ok((taken.await,))
            })
        },
    )?;
    limiter.func_wrap_async(
        "take-window",
        |host: Caller<'_>, (scope, key, window, cost): (WitScope, Bytes, WitWindow, u64)| {
            let host = host.data();
            let (shared, key) = (host.shared(), host.scoped(scope, &key));
            Box::new(async move {
                let taken = async {
                    let window = checked(&window)?;
                    let taken = shared?.take_window(&key?, &window, cost).await;
                    outcome(taken.map_err(|error| unavailable(&error))?)
                };
                Ok((taken.await,))
            })
        },
    )?;
    limiter.func_wrap_async(
        "acquire",
        |mut host: Caller<'_>, (scope, key, limit, ttl): (WitScope, Bytes, u64, u64)| {
            Box::new(async move {
                let (shared, scoped) = (host.data().shared(), host.data().scoped(scope, &key));
                let may_hold = host.data().may_hold(&key);
                let lease: Answer<_> = async {
                    may_hold?;
                    if limit == 0 || ttl == 0 {
                        return Err(WitError::InvalidArgument);
                    }
                    let ttl = Duration::from_nanos(ttl);
                    let lease = shared?.acquire(&scoped?, limit, ttl).await;
                    lease.map_err(|error| unavailable(&error))
                }
                .await;
                let host = host.data_mut();
                let held =
                    lease.map(|lease| lease.map(|lease| host.hold(scope, &key, lease)).is_some());
                Ok((held,))
            })
        },
    )
}

impl Host {
    fn shared(&self) -> Answer<Shared> {
        let limiter = self.capabilities.limiter.clone();
        limiter.ok_or(WitError::Unavailable)
    }

    /// The key with what its scope adds to it; no two pairs give the same.
    fn scoped(&self, scope: WitScope, key: &[u8]) -> Answer<Bytes> {
        if self.exchange.phase.is_none() {
            return Err(WitError::WrongPhase);
        }
        let route = match scope {
            WitScope::Route => &*self.exchange.facts.route,
            WitScope::Plugin => "",
        };
        Ok([route.as_bytes(), b"\n", key].concat())
    }

    fn hash(&self, scope: WitScope, key: &[u8]) -> Answer<u64> {
        if self.exchange.phase.is_none() {
            return Err(WitError::WrongPhase);
        }
        let mut hasher = HASHER.build_hasher();
        match scope {
            WitScope::Route => self.exchange.facts.route.hash(&mut hasher),
            WitScope::Plugin => hasher.write_u8(0),
        }
        key.hash(&mut hasher);
        Ok(hasher.finish())
    }

    /// Whether the exchange may hold one place more.
    fn may_hold(&self, key: &[u8]) -> Answer<()> {
        if key.len() > KEY_BYTES_MAX {
            return Err(WitError::InvalidArgument);
        }
        if self.exchange.leases.len() >= PLACES_MAX {
            return Err(WitError::LimitReached);
        }
        Ok(())
    }

    /// The exchange holds a place until it is over.
    fn hold(&mut self, scope: WitScope, key: &[u8], lease: impl Any + Send + Sync) {
        let place = Place {
            plugin: self.namespace.name.clone(),
            key: self.scoped(scope, key).unwrap_or_default(),
            _lease: Box::new(lease),
        };
        self.exchange.leases.push(Box::new(place));
    }

    fn release(&mut self, scope: WitScope, key: &[u8]) -> Answer<()> {
        let key = self.scoped(scope, key)?;
        let name = &self.namespace.name;
        let leases = &mut self.exchange.leases;
        let held = leases.iter().rposition(|lease| {
            let place = lease.downcast_ref::<Place>();
            place.is_some_and(|place| place.plugin == *name && place.key == key)
        });
        if let Some(position) = held {
            leases.remove(position);
        }
        Ok(())
    }
}

fn rate(bucket: &WitBucket) -> Answer<Rate> {
    let rate = Rate::new(bucket.tokens, bucket.period, bucket.burst);
    rate.ok_or(WitError::InvalidArgument)
}

fn checked(window: &WitWindow) -> Answer<Window> {
    Window::new(window.limit, window.period).ok_or(WitError::InvalidArgument)
}

/// Nothing is taken where the cost is more than there can ever be.
fn outcome(taken: Option<Taken>) -> Answer<WitOutcome> {
    let taken = taken.ok_or(WitError::InvalidArgument)?;
    Ok(WitOutcome {
        allowed: taken.allowed,
        remaining: taken.remaining,
        full_after: taken.full_after,
        retry_after: taken.retry_after,
    })
}
