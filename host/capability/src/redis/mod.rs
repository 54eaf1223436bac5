//! A connection to a Redis server, shared by all that keeps its state there. Redis 6 or later, or a
//! server that speaks its protocol (RESP3), such as Valkey.
//!
//! [`Connection`] is one connection for each section `[redis.NAME]`; commands are multiplexed on it. A
//! server that cannot be reached is an error of the call, never of the start.

mod address;
mod connection;
#[cfg(test)]
pub(crate) mod server;

use std::sync::Arc;
use std::time::Duration;

use crate::secret::Secret;

pub use address::{Address, InvalidAddress};
pub use connection::Connection;

/// What a section `[redis.NAME]` says.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the server is.
    pub address: Address,
    /// Who to be; the server's user `default` where absent.
    pub username: Option<String>,
    /// Asked for whenever a connection is made, so that it can be rotated.
    pub password: Option<Password>,
    /// The number of the database.
    pub database: u32,
    /// The most time that one command takes, the wait for a connection included.
    pub timeout: Duration,
}

/// Where the present password is.
#[derive(Clone)]
pub struct Password(Arc<dyn Fn() -> Option<Arc<Secret>> + Send + Sync>);

impl Password {
    /// A password that this gives.
    pub fn new(present: impl Fn() -> Option<Arc<Secret>> + Send + Sync + 'static) -> Password {
        Password(Arc::new(present))
    }

    /// As Redis takes it: text.
    fn text(&self) -> Option<String> {
        let secret = (self.0)()?;
        Some(std::str::from_utf8(secret.expose()).ok()?.to_owned())
    }
}

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Why a command has no answer.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// There is no connection. Nothing is known about commands that were under way.
    #[error("redis `{name}` is unavailable: {reason}")]
    Unavailable { name: Arc<str>, reason: Arc<str> },
    /// No answer in time. The command may have been carried out, or may still be.
    #[error("redis `{name}` did not answer in time")]
    Timeout { name: Arc<str> },
    /// The server answered with an error.
    #[error("redis `{name}` refuses: {reason}")]
    Refused { name: Arc<str>, reason: Arc<str> },
}

/// The beginning of the keys of one use, for example of one plugin in one store. Names cannot be chosen
/// such that two uses share keys.
pub(crate) fn prefix(root: &str, names: [&str; 2]) -> Vec<u8> {
    let [first, second] = names.map(|name| name.replace('%', "%25").replace(':', "%3a"));
    format!("{root}:{first}:{second}:").into_bytes()
}

/// A time to live in whole milliseconds, as Redis counts them: at least one, at most a thousand years.
pub(crate) fn milliseconds(ttl: Duration) -> u64 {
    const MAX: u64 = 1000 * 365 * 24 * 60 * 60 * 1000;
    let rounded_up = ttl.as_nanos().div_ceil(1_000_000);
    u64::try_from(rounded_up).unwrap_or(MAX).clamp(1, MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_of_different_names_are_different() {
        let plain = prefix("tidegate", ["sessions", "jwt"]);
        assert_eq!(plain, b"tidegate:sessions:jwt:");
        let names = [["a", "b:c"], ["a:b", "c"], ["a%3ab", "c"], ["a", "b%3ac"]];
        let mut all: Vec<_> = names.map(|names| prefix("x", names)).into();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), names.len());
    }

    #[test]
    fn a_time_to_live_is_rounded_up_and_bounded() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_nanos(1_000_001)), 2);
        assert!(milliseconds(Duration::MAX) < i64::MAX as u64 / 1000);
    }
}
