//! The interface `limiter`, with the test's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Host;
use super::super::bucket::Tokens;
use super::super::call::{Current, with};
use super::super::phase::Phase;
use super::super::window::Counts;
use crate::Error;
use crate::bindings::host::tidegate::plugin::limiter::{Bucket, Outcome, Scope, Window};

/// The scope and the key that the plugin gave.
pub(in crate::testing) type Key = (u8, Vec<u8>);

/// The state of all limits.
#[derive(Default)]
pub(in crate::testing) struct Limits {
    pub(in crate::testing) unavailable: bool,
    buckets: BTreeMap<Key, Tokens>,
    windows: BTreeMap<Key, Counts>,
    places: BTreeMap<Key, Vec<Place>>,
    next_place: u64,
}

/// A place that an exchange took.
struct Place {
    id: u64,
    /// When it is given back at the latest.
    until: Duration,
}

impl Host {
    /// Give back what an exchange took.
    pub(in crate::testing) fn give_back(&mut self, taken: impl IntoIterator<Item = (Key, u64)>) {
        for (key, id) in taken {
            if let Some(places) = self.limits.places.get_mut(&key) {
                places.retain(|place| place.id != id);
            }
        }
    }
}

pub(crate) fn take(scope: Scope, key: &[u8], bucket: Bucket, cost: u64) -> Result<Outcome, Error> {
    if bucket.tokens == 0 || bucket.period == 0 || bucket.burst == 0 || cost > bucket.burst {
        return Err(Error::InvalidArgument);
    }
    with(|current| {
        let (now, limits) = available(current)?;
        let tokens = limits.buckets.entry((scope as u8, key.to_vec()));
        let tokens = tokens.or_insert_with(|| Tokens::full(&bucket, now));
        Ok(tokens.take(&bucket, cost, now))
    })
}

pub(crate) fn take_window(
    scope: Scope,
    key: &[u8],
    window: Window,
    cost: u64,
) -> Result<Outcome, Error> {
    if window.limit == 0 || window.period == 0 || cost > window.limit {
        return Err(Error::InvalidArgument);
    }
    with(|current| {
        let (now, limits) = available(current)?;
        let counts = limits.windows.entry((scope as u8, key.to_vec()));
        Ok(counts.or_default().take(&window, cost, now))
    })
}

pub(crate) fn acquire(scope: Scope, key: &[u8], limit: u64, ttl: u64) -> Result<bool, Error> {
    if limit == 0 || ttl == 0 {
        return Err(Error::InvalidArgument);
    }
    with(|current| {
        let key = (scope as u8, key.to_vec());
        let (now, limits) = available(current)?;
        let places = limits.places.entry(key.clone()).or_default();
        places.retain(|place| now < place.until);
        if places.len() as u64 >= limit {
            return Ok(false);
        }
        let id = limits.next_place;
        limits.next_place += 1;
        places.push(Place {
            id,
            until: now + Duration::from_nanos(ttl),
        });
        current.exchange.places.push((key, id));
        Ok(true)
    })
}

pub(crate) fn release(scope: Scope, key: &[u8]) -> Result<(), Error> {
    with(|current| {
        available(current)?;
        let key = (scope as u8, key.to_vec());
        let places = &mut current.exchange.places;
        if let Some(index) = places.iter().position(|(taken, _)| *taken == key) {
            let place = places.swap_remove(index);
            current.host.give_back([place]);
        }
        Ok(())
    })
}

/// The time and the limits, in an exchange.
fn available(current: &mut Current) -> Result<(Duration, &mut Limits), Error> {
    let host = &mut current.only(Phase::has_exchange)?.host;
    if host.limits.unavailable {
        return Err(Error::Unavailable);
    }
    Ok((host.elapsed, &mut host.limits))
}
