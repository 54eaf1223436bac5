//! Names of header fields in a plugin's configuration.

use std::fmt;

use serde::Deserialize;

use crate::Error;

/// The name of a header field that a plugin may set, in lower case: a token (RFC 9110 §5.6.2), and
/// none of the fields that the proxy keeps for itself. In a configuration it is text; anything else is
/// a mistake at its place, found before the first request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct FieldName(String);

impl FieldName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for FieldName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if !is_token(&text) {
            return Err(format!("`{text}` is not a header field name"));
        }
        if is_the_proxys(&text) {
            return Err(format!(
                "`{text}` is managed by the proxy and cannot be set"
            ));
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<FieldName> for String {
    fn from(name: FieldName) -> Self {
        name.0
    }
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}

/// Whether the field frames the message or belongs to one connection (RFC 9110 §7.6.1).
pub(crate) fn is_the_proxys(name: &str) -> bool {
    OWN.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Whether a plugin may set this field (a token, RFC 9110 §5.6.2) to this value (§5.5): what the host asks, too.
pub(crate) fn check(name: &str, value: &[u8]) -> Result<(), Error> {
    if !is_token(name) {
        return Err(Error::InvalidName);
    }
    if is_the_proxys(name) {
        return Err(Error::Forbidden);
    }
    let allowed = |&byte: &u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
    if value.iter().all(allowed) {
        Ok(())
    } else {
        Err(Error::InvalidValue)
    }
}

const OWN: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_a_plugin_may_set() {
        let name = |text: &str| FieldName::try_from(text.to_owned());
        assert_eq!(name("X-User").unwrap().as_str(), "x-user");
        for text in ["", "x user", "x:", "ü", "Content-Length", "host"] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
