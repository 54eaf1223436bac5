//! A store in Redis, seen by all proxies that use the same server.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use ::redis::{Cmd, Script};
use bytes::Bytes;

use super::{Error, check, check_key};
use crate::redis::{self, Connection, milliseconds};

static COMPARE_AND_SET: LazyLock<Script> =
    LazyLock::new(|| Script::new(include_str!("compare_and_set.lua")));
static INCREMENT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("increment.lua")));

/// A store in Redis. The functions are those of [`Store`](super::Store).
#[derive(Clone)]
pub struct Shared {
    connection: Connection,
    prefix: Arc<[u8]>,
}

impl Shared {
    /// The store of a plugin in a section. Its keys in Redis are `tidegate:{store}:{plugin}:{key}`.
    pub fn new(connection: Connection, store: &str, plugin: &str) -> Shared {
        Shared {
            connection,
            prefix: redis::prefix("tidegate", [store, plugin]).into(),
        }
    }

    /// See [`Store::get`](super::Store::get).
    pub async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, Error> {
        check_key(key)?;
        let mut get = Cmd::new();
        get.arg("GET").arg(self.key(key));
        let value: Option<Vec<u8>> = self.connection.query(&get).await?;
        Ok(value.map(Bytes::from))
    }

    /// See [`Store::set`](super::Store::set).
    pub async fn set(&self, key: &[u8], value: &[u8], ttl: Option<Duration>) -> Result<(), Error> {
        check(key, value)?;
        let mut set = Cmd::new();
        set.arg("SET").arg(self.key(key)).arg(value);
        if let Some(ttl) = ttl {
            set.arg("PX").arg(milliseconds(ttl));
        }
        Ok(self.connection.query(&set).await?)
    }

    /// See [`Store::delete`](super::Store::delete).
    pub async fn delete(&self, key: &[u8]) -> Result<bool, Error> {
        check_key(key)?;
        let mut delete = Cmd::new();
        delete.arg("DEL").arg(self.key(key));
        Ok(self.connection.query(&delete).await?)
    }

    /// See [`Store::compare_and_set`](super::Store::compare_and_set).
    pub async fn compare_and_set(
        &self,
        key: &[u8],
        expected: Option<&[u8]>,
        value: &[u8],
        ttl: Option<Duration>,
    ) -> Result<bool, Error> {
        check(key, value)?;
        let mut script = COMPARE_AND_SET.prepare_invoke();
        script.key(self.key(key)).arg(value).arg(lifetime(ttl));
        if let Some(expected) = expected {
            script.arg(expected);
        }
        Ok(self.connection.invoke(&script).await?)
    }

    /// See [`Store::increment`](super::Store::increment).
    pub async fn increment(
        &self,
        key: &[u8],
        by: i64,
        ttl: Option<Duration>,
    ) -> Result<i64, Error> {
        check_key(key)?;
        let mut script = INCREMENT.prepare_invoke();
        script.key(self.key(key)).arg(by).arg(lifetime(ttl));
        self.connection
            .invoke(&script)
            .await
            .map_err(|error| match &error {
                // Redis has no codes for these two, only texts.
                redis::Error::Refused { reason, .. } if reason.contains("would overflow") => {
                    Error::Overflow
                }
                redis::Error::Refused { reason, .. } if reason.contains("not an integer") => {
                    Error::NotANumber
                }
                _ => error.into(),
            })
    }

    fn key(&self, key: &[u8]) -> Vec<u8> {
        [&*self.prefix, key].concat()
    }
}

/// In milliseconds; 0 for a value that stays.
fn lifetime(ttl: Option<Duration>) -> u64 {
    ttl.map_or(0, milliseconds)
}
