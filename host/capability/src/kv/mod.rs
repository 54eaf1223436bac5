//! Stores of keys and values for plugins.
//!
//! A [`Store`] belongs to one plugin in one section `[kv.NAME]`: two plugins never see each other's keys,
//! and cannot push each other's values out. It is in memory ([`Memory`]), where nothing waits, or in Redis
//! ([`Shared`]), where several proxies see the same.
//!
//! A time to live is rounded up to whole milliseconds, at least one; without one a value stays.

mod memory;
mod shared;
#[cfg(test)]
mod store_tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::redis;

pub use memory::{Limits, Memory, Stores};
pub use shared::Shared;

/// The most bytes of a key; the fewest are 1.
pub const KEY_MAX: usize = 1024;
/// The most bytes of a value.
pub const VALUE_MAX: usize = 1024 * 1024;

/// Why a store did not do what it was asked. Nothing was changed, except where Redis did not answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    #[error("a key has 1 to {KEY_MAX} bytes, not {0}")]
    Key(usize),
    /// Larger than [`VALUE_MAX`], or than the whole store.
    #[error("a value of {0} bytes is too large")]
    Value(usize),
    /// The value to be incremented is not the decimal text of a 64-bit number.
    #[error("the value is not a number")]
    NotANumber,
    #[error("the sum does not fit into 64 bits")]
    Overflow,
    #[error(transparent)]
    Redis(#[from] redis::Error),
}

/// One plugin's part of a store.
#[derive(Clone)]
pub enum Store {
    /// In the memory of this process. Its functions never wait.
    Memory(Arc<Memory>),
    /// In Redis.
    Redis(Shared),
}

impl Store {
    /// Whether the functions may wait for a server. Where not, they are done when first polled.
    pub fn waits(&self) -> bool {
        matches!(self, Store::Redis(_))
    }

    /// The value of a key.
    ///
    /// # Errors
    ///
    /// A key that is none, or Redis.
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        match self {
            Store::Memory(store) => store.get(key),
            Store::Redis(store) => store.get(key).await,
        }
    }

    /// Sets a key.
    ///
    /// # Errors
    ///
    /// A key or value that is none, or Redis.
    pub async fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
        match self {
            Store::Memory(store) => store.set(key, value, ttl),
            Store::Redis(store) => store.set(key, value, ttl).await,
        }
    }

    /// Removes a key; answers whether it was there.
    ///
    /// # Errors
    ///
    /// A key that is none, or Redis.
    pub async fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        match self {
            Store::Memory(store) => store.delete(key),
            Store::Redis(store) => store.delete(key).await,
        }
    }

    /// Sets a key if its value is `expected` (`None`: if it is absent), in one step; answers whether it was.
    ///
    /// # Errors
    ///
    /// A key or value that is none, or Redis.
    pub async fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        match self {
            Store::Memory(store) => store.compare_and_set(key, expected, value, ttl),
            Store::Redis(store) => store.compare_and_set(key, expected, value, ttl).await,
        }
    }

    /// Adds to a number kept as decimal text, in one step; answers the sum. An absent key counts as 0 and
    /// gets the `ttl`; one that is there keeps its own.
    ///
    /// # Errors
    ///
    /// A key that is none, a value that is no number, a sum that does not fit, or Redis.
    pub async fn increment(
        &self,
        key: &[u8],
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, Error> {
        match self {
            Store::Memory(store) => store.increment(key, by, ttl),
            Store::Redis(store) => store.increment(key, by, ttl).await,
        }
    }
}

fn check_key(key: &[u8]) -> Result<(), Error> {
    match key.len() {
        1..=KEY_MAX => Ok(()),
        length => Err(Error::Key(length)),
    }
}

fn check(key: &[u8], value: &[u8]) -> Result<(), Error> {
    check_key(key)?;
    match value.len() {
        0..=VALUE_MAX => Ok(()),
        length => Err(Error::Value(length)),
    }
}
