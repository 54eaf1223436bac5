//! What a route's `match` is written in: patterns for hosts, paths and values, and why one is refused.
//! Each is checked when it is parsed, so that a pattern that exists can match something.

mod host;
mod path;
mod value;

use regex::bytes::{Regex, RegexBuilder};

use crate::{HostError, PathError};

pub(crate) use host::HostKind;
pub use host::HostPattern;
pub(crate) use path::PathKind;
pub use path::PathPattern;
pub use value::ValuePattern;

/// Memory that one compiled regex may take.
pub(crate) const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// Why a pattern is refused, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// Neither a host, nor `*`, nor `*.` and a host.
    #[error(
        "host pattern `{pattern}`: {source}; write a name such as `api.example.com`, `*.example.com` for every name below it, or `*`"
    )]
    Host {
        /// As written.
        pattern: String,
        /// What is wrong with the host.
        source: HostError,
    },
    /// A name beyond ASCII.
    #[error(
        "host pattern `{0}`: write an internationalised name in the form that clients send, `xn--…`"
    )]
    HostNotAscii(String),
    /// A host with a port or a scheme.
    #[error(
        "host pattern `{0}`: write the host alone, without scheme and port; a route serves its hosts on every listener, or on those of `listener`"
    )]
    HostPort(String),
    /// A star at another place than alone or as the first label, or before an address.
    #[error(
        "host pattern `{0}`: `*` stands for any host, `*.example.com` for every name below example.com; it has no meaning elsewhere"
    )]
    HostWildcard(String),
    /// A literal path that cannot be the path of a request.
    #[error("path pattern `{pattern}`: {source}")]
    Path {
        /// As written.
        pattern: String,
        /// What is wrong with the path.
        source: PathError,
    },
    /// No slash at the start.
    #[error("path pattern `{0}`: begin with `/`; `/*` matches every path, `~` begins a regex")]
    PathStart(String),
    /// A query in a path.
    #[error("path pattern `{0}`: a path ends before `?`; match the query with `query`")]
    PathQuery(String),
    /// `//`, `/./` or `/../`, also behind escapes.
    #[error(
        "path pattern `{0}`: it can never match, because `//`, `.` and `..` are resolved in a request's path before it is routed; write the path without them"
    )]
    PathSegment(String),
    /// `*` before the end, or braces.
    #[error(
        "path pattern `{0}`: `*` may stand at the end only and `{{…}}` has no meaning; for anything else write a regex such as `~^/users/[^/]+/photo$`"
    )]
    PathPlaceholder(String),
    /// A regex that is empty, does not parse or is too large.
    #[error("regex `{regex}`: {reason}")]
    Regex {
        /// As written, without the `~`.
        regex: String,
        /// In words.
        reason: String,
    },
}

/// Compiles what follows `~`. It sees bytes, so `.` matches any byte but a line end, and `\d` and `\w`
/// are ASCII; nothing is anchored but what the pattern anchors.
fn compile(regex: &str) -> Result<Regex, PatternError> {
    let refuse = |reason: String| PatternError::Regex {
        regex: regex.to_owned(),
        reason,
    };
    if regex.is_empty() {
        return Err(refuse("it is empty; write one after `~`".to_owned()));
    }
    RegexBuilder::new(regex)
        .unicode(false)
        .size_limit(REGEX_SIZE_LIMIT)
        .build()
        .map_err(|error| refuse(reason(&error)))
}

/// The last line of the message, which says what is wrong; the lines before draw a picture.
fn reason(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("it takes more than {limit} bytes compiled; shorten its repetitions")
        }
        _ => {
            let message = error.to_string();
            let last = message.lines().last().unwrap_or_default();
            last.trim_start_matches("error: ").to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bad_regex_is_explained_in_one_line() {
        for (regex, wanted) in [
            ("", "regex ``: it is empty; write one after `~`"),
            ("(a", "regex `(a`: unclosed group"),
            (
                "(a{500}){500}",
                "regex `(a{500}){500}`: it takes more than 1048576 bytes compiled; shorten its repetitions",
            ),
        ] {
            assert_eq!(compile(regex).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn a_regex_sees_bytes() {
        assert!(compile("^.$").unwrap().is_match(b"\xff"));
        assert!(!compile(r"^\d").unwrap().is_match("٣".as_bytes()));
        assert!(compile("(?i)^é").unwrap().is_match("é".as_bytes()));
    }

    proptest! {
        #[test]
        fn parsing_never_panics(pattern in "\\PC*|[~*/.a:\\[\\]%(){}|+?^$ -]{0,12}") {
            let _ = HostPattern::parse(&pattern);
            let _ = PathPattern::parse(&pattern);
            let _ = ValuePattern::parse(&pattern);
        }
    }
}
