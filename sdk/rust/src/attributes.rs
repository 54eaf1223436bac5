//! Typed values that belong to the exchange: read by later plugins, the balancer and the access
//! log, and the place to keep what a later phase needs.
//!
//! Built in, read-only: `client.address`, `client.port`, `peer.address`, `listener`, `route`,
//! `request.id`, `request.protocol`, `upstream`; of connections, what begins with `tls.` and `proxy.`.
//! Names that a plugin sets are up to 64 characters of `a-z 0-9 . _ -` and begin with the plugin's name.

use crate::{Error, host};

pub use crate::bindings::host::tidegate::plugin::attributes::Value;

/// The value, or `None`.
pub fn get(name: &str) -> Option<Value> {
    host::attributes::get(name)
}

/// The value as text: integers in decimal, booleans as `true` or `false`, bytes as UTF-8 with
/// replacement characters.
pub fn text(name: &str) -> Option<String> {
    host::attributes::get_text(name)
}

/// Set a value, replacing an earlier one.
///
/// # Errors
///
/// A name with other characters, a built-in name, or too many attributes.
pub fn set(name: &str, value: impl Into<Value>) -> Result<(), Error> {
    host::attributes::set(name, &value.into())
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<bool> for Value {
    fn from(truth: bool) -> Self {
        Self::Boolean(truth)
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}
