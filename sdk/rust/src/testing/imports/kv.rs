//! The interface `kv`, in memory, with the test's clock.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::Host;
use super::super::call::with;
use crate::Error;

const KEY_BYTES_MAX: usize = 1024;
const VALUE_BYTES_MAX: usize = 1 << 20;

/// The granted stores.
#[derive(Default)]
pub(in crate::testing) struct Stores {
    stores: BTreeMap<String, BTreeMap<Vec<u8>, Entry>>,
    unavailable: bool,
}

struct Entry {
    value: Vec<u8>,
    /// When it is gone, on the clock that never goes back.
    until: Option<Duration>,
}

impl Host {
    /// Grant a store: `allow = { kv = […] }`.
    pub fn add_store(&mut self, name: &str) {
        self.kv.stores.entry(name.to_owned()).or_default();
    }

    /// What a store holds.
    pub fn stored(&self, store: &str, key: impl AsRef<[u8]>) -> Option<&[u8]> {
        let entry = self.kv.stores.get(store)?.get(key.as_ref())?;
        entry.is_there(self.elapsed).then_some(&entry.value)
    }

    /// Let all stores answer `unavailable` from now on, or no longer.
    pub fn set_kv_unavailable(&mut self, unavailable: bool) {
        self.kv.unavailable = unavailable;
    }
}

impl Entry {
    fn is_there(&self, now: Duration) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

pub(crate) fn get(store: &str, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    work(store, key, |entries, _| {
        Ok(entries.get(key).map(|entry| entry.value.clone()))
    })
}

pub(crate) fn set(store: &str, key: &[u8], value: &[u8], ttl: Option<u64>) -> Result<(), Error> {
    work(store, key, |entries, now| {
        entries.insert(key.to_vec(), entry(value, ttl, now)?);
        Ok(())
    })
}

pub(crate) fn delete(store: &str, key: &[u8]) -> Result<bool, Error> {
    work(store, key, |entries, _| Ok(entries.remove(key).is_some()))
}

pub(crate) fn compare_and_set(
    store: &str,
    key: &[u8],
    expected: Option<&[u8]>,
    value: &[u8],
    ttl: Option<u64>,
) -> Result<bool, Error> {
    work(store, key, |entries, now| {
        let present = entries.get(key).map(|entry| entry.value.as_slice());
        if present != expected {
            return Ok(false);
        }
        entries.insert(key.to_vec(), entry(value, ttl, now)?);
        Ok(true)
    })
}

pub(crate) fn increment(store: &str, key: &[u8], by: i64, ttl: Option<u64>) -> Result<i64, Error> {
    work(store, key, |entries, now| {
        let Some(present) = entries.get_mut(key) else {
            entries.insert(key.to_vec(), entry(by.to_string().as_bytes(), ttl, now)?);
            return Ok(by);
        };
        let number = std::str::from_utf8(&present.value).ok();
        let number: Option<i64> = number.and_then(|text| text.parse().ok());
        let sum = number.and_then(|number| number.checked_add(by));
        let sum = sum.ok_or(Error::InvalidValue)?;
        present.value = sum.to_string().into_bytes();
        Ok(sum)
    })
}

/// Work on the entries of a store that are still there.
fn work<R>(
    store: &str,
    key: &[u8],
    work: impl FnOnce(&mut BTreeMap<Vec<u8>, Entry>, Duration) -> Result<R, Error>,
) -> Result<R, Error> {
    with(|current| {
        let now = current.host.elapsed;
        let Stores {
            stores,
            unavailable,
        } = &mut current.host.kv;
        let entries = stores.get_mut(store).ok_or(Error::Forbidden)?;
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(Error::InvalidArgument);
        }
        if *unavailable {
            return Err(Error::Unavailable);
        }
        entries.retain(|_, entry| entry.is_there(now));
        work(entries, now)
    })
}

fn entry(value: &[u8], ttl: Option<u64>, now: Duration) -> Result<Entry, Error> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(Error::InvalidArgument);
    }
    Ok(Entry {
        value: value.to_vec(),
        until: ttl.map(|ttl| now + Duration::from_nanos(ttl)),
    })
}
