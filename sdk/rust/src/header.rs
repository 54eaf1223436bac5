//! Header values, and several edits of a head at once.

use std::borrow::Cow;
use std::fmt;

use crate::bindings::host::tidegate::plugin::types::Edit;

/// The value of a header field: bytes, because HTTP does not promise UTF-8 (RFC 9110 §5.5).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(Vec<u8>);

impl HeaderValue {
    /// The bytes, as they were sent.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, with a replacement character for what is not UTF-8. Good for logs and for
    /// comparisons with known values; not for what must pass unchanged.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.0)
    }

    /// The text, or `None` where it is not UTF-8.
    pub fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }

    /// The bytes, without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

impl From<Vec<u8>> for HeaderValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl AsRef<[u8]> for HeaderValue {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl PartialEq<str> for HeaderValue {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for HeaderValue {
    fn eq(&self, text: &&str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl fmt::Debug for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Edits of a head that go to the host in one call, in this order.
///
/// ```
/// # use tidegate_sdk::Edits;
/// let mut edits = Edits::new();
/// edits.set("x-frame-options", "DENY").remove("server");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// No edits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Set a field to this one value.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.0.push(Edit::Set((name.into(), value.into())));
        self
    }

    /// Add one more value to a field.
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<Vec<u8>>) -> &mut Self {
        self.0.push(Edit::Append((name.into(), value.into())));
        self
    }

    /// Remove a field.
    pub fn remove(&mut self, name: impl Into<String>) -> &mut Self {
        self.0.push(Edit::Remove(name.into()));
        self
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[Edit] {
        &self.0
    }
}
