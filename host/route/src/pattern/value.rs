//! Patterns for the values of headers and of query parameters.

use regex::bytes::Regex;

use super::{PatternError, compile};

/// Which values a header or query parameter may have; see [`ValuePattern::parse`].
#[derive(Debug, Clone)]
pub struct ValuePattern(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Exact(Box<[u8]>),
    Present,
    Regex(Regex),
}

impl ValuePattern {
    /// Reads `*` (any value, but there must be one), `~REGEX` (found in the value; anchor it with `^`
    /// and `$`) or else the very value, in its case. A literal `*`, or a value that begins with `~`, is
    /// written as a regex: `~^\*$`.
    ///
    /// # Errors
    ///
    /// A regex that is empty, does not parse or takes more than 1 MiB.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let kind = match pattern.strip_prefix('~') {
            Some(regex) => Kind::Regex(compile(regex)?),
            None if pattern == "*" => Kind::Present,
            None => Kind::Exact(pattern.as_bytes().into()),
        };
        Ok(Self(kind))
    }

    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        match &self.0 {
            Kind::Exact(wanted) => **wanted == *value,
            Kind::Present => true,
            Kind::Regex(regex) => regex.is_match(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn matches(pattern: &str, value: &[u8]) -> bool {
        ValuePattern::parse(pattern).unwrap().matches(value)
    }

    #[test]
    fn the_three_forms() {
        assert!(matches("1", b"1"));
        assert!(!matches("1", b"11"));
        assert!(!matches("Yes", b"yes"));
        assert!(matches("", b""));
        assert!(matches("*", b""));
        assert!(matches("*", b"\xff"));
        assert!(matches("~^a.c$", b"a\xffc"));
        assert!(!matches("~^a.c$", b"abcd"));
        assert!(matches(r"~^\*$", b"*"));
        assert!(ValuePattern::parse("~[").is_err());
    }
}
