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
    /// UTF-8.
    pub password: Option<Arc<Secret>>,
    /// The number of the database.
    pub database: u32,
    /// The most time that one command takes, the wait for a connection included.
    pub timeout: Duration,
}

impl Settings {
    /// `timeout` where the section does not say.
    pub const TIMEOUT: Duration = Duration::from_millis(100);
}

/// Settings with which no connection can be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("redis `{0}`: the password is not UTF-8")]
pub struct InvalidPassword(pub String);

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
