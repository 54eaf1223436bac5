//! Patterns for the host: one name or address, every name below a name, or any host.

use super::PatternError;
use crate::{HostError, host};

/// Which hosts a route serves; see [`HostPattern::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern(HostKind);

/// Names are as [`host`] gives them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HostKind {
    Exact(Box<str>),
    /// The part after `*.`.
    Below(Box<str>),
    Any,
}

impl HostPattern {
    pub(crate) const ANY: Self = Self(HostKind::Any);

    /// Reads `api.example.com`, `127.0.0.1` or `[::1]` (that host), `*.example.com` (one label or more
    /// before it, not `example.com` itself) or `*` (any host). Case does not matter.
    ///
    /// # Errors
    ///
    /// Anything else: a port, a star elsewhere, a name beyond ASCII, what [`host`] refuses.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let kind = if pattern == "*" {
            HostKind::Any
        } else if let Some(parent) = pattern.strip_prefix("*.") {
            HostKind::Below(literal(pattern, parent)?)
        } else {
            HostKind::Exact(literal(pattern, pattern)?)
        };
        let below_address = matches!(&kind, HostKind::Below(parent) if parent.starts_with('['));
        if below_address {
            return Err(PatternError::HostWildcard(pattern.to_owned()));
        }
        Ok(Self(kind))
    }

    pub(crate) fn kind(&self) -> &HostKind {
        &self.0
    }
}

/// Checks the part of a pattern that is a host.
fn literal(pattern: &str, name: &str) -> Result<Box<str>, PatternError> {
    let pattern = pattern.to_owned();
    if !name.is_ascii() {
        return Err(PatternError::HostNotAscii(pattern));
    }
    match host(name) {
        Ok(_) if has_port(name) => Err(PatternError::HostPort(pattern)),
        Ok(host) => Ok(host.into()),
        Err(HostError::Port) => Err(PatternError::HostPort(pattern)),
        Err(HostError::Character('*')) => Err(PatternError::HostWildcard(pattern)),
        Err(source) => Err(PatternError::Host { pattern, source }),
    }
}

/// Of a name that [`host`] accepts.
fn has_port(name: &str) -> bool {
    let after_address = name.rsplit(']').next().unwrap_or(name);
    after_address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_addresses_and_wildcards() {
        for (pattern, kind) in [
            ("*", HostKind::Any),
            ("API.Example.com", HostKind::Exact("api.example.com".into())),
            (
                "api.example.com.",
                HostKind::Exact("api.example.com".into()),
            ),
            ("127.0.0.1", HostKind::Exact("127.0.0.1".into())),
            ("[0::1]", HostKind::Exact("[::1]".into())),
            ("*.Example.com", HostKind::Below("example.com".into())),
            ("*.com", HostKind::Below("com".into())),
        ] {
            assert_eq!(
                HostPattern::parse(pattern).as_ref().map(HostPattern::kind),
                Ok(&kind)
            );
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (pattern, wanted) in [
            (
                "",
                "the host is empty; write a name such as `api.example.com`",
            ),
            ("a.example:80", "without scheme and port"),
            ("a.example:", "without scheme and port"),
            ("[::1]:80", "without scheme and port"),
            ("*.a.example:http", "without scheme and port"),
            ("::1", "in brackets such as `[::1]`"),
            ("a.*.example", "it has no meaning elsewhere"),
            ("*example.com", "it has no meaning elsewhere"),
            ("*.*.com", "it has no meaning elsewhere"),
            ("*.[::1]", "it has no meaning elsewhere"),
            ("*.", "the host is empty"),
            ("bücher.example", "`xn--…`"),
            ("https://a.example", "without scheme and port"),
            ("a.example/v1", "'/' cannot stand in a host"),
            ("a_b c", "' ' cannot stand in a host"),
        ] {
            let message = HostPattern::parse(pattern).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
            assert!(message.contains(&format!("`{pattern}`")), "{message}");
        }
    }
}
