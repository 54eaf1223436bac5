//! Patterns for the path: one path, a segment and all below it, a raw prefix, a regex, or any path.

use regex::bytes::Regex;

use super::{PatternError, compile};
use crate::PathError;
use crate::path::{has_special_segment, normalize_escapes};

/// Which paths a route serves; see [`PathPattern::parse`].
#[derive(Debug, Clone)]
pub struct PathPattern(PathKind);

/// Literals are as [`normalize_path`](crate::normalize_path) gives them.
#[derive(Debug, Clone)]
pub(crate) enum PathKind {
    Exact(Box<str>),
    /// The part before `/*`, not empty: that path, and all that go on with a slash.
    Segment(Box<str>),
    /// The part before `*`: all paths that begin so.
    Raw(Box<str>),
    Regex(Regex),
    Any,
}

impl PathPattern {
    pub(crate) const ANY: Self = Self(PathKind::Any);

    /// Reads one of
    ///
    /// - `/v1`: that path;
    /// - `/v1/*`: `/v1` itself and all below `/v1/`; `/*` is every path;
    /// - `/v1*`: every path that begins with `/v1`;
    /// - `~REGEX`: every path in which the regex is found, so anchor it with `^` and `$`.
    ///
    /// Literal patterns get the escapes of a normal path: `/é` and `/%c3%a9` are the same. A regex sees
    /// the normal path.
    ///
    /// # Errors
    ///
    /// What no request's path can match, other uses of `*`, and a regex that does not parse or takes
    /// more than 1 MiB.
    pub fn parse(pattern: &str) -> Result<Self, PatternError> {
        let kind = if let Some(regex) = pattern.strip_prefix('~') {
            PathKind::Regex(compile(regex)?)
        } else if pattern == "/*" {
            PathKind::Any
        } else if let Some(path) = pattern.strip_suffix("/*") {
            PathKind::Segment(literal(pattern, path, "/x")?)
        } else if let Some(prefix) = pattern.strip_suffix('*') {
            PathKind::Raw(literal(pattern, prefix, "x")?)
        } else {
            PathKind::Exact(literal(pattern, pattern, "")?)
        };
        Ok(Self(kind))
    }

    pub(crate) fn kind(&self) -> &PathKind {
        &self.0
    }
}

/// Normalises the literal part of a pattern. Whether it can match is tried on a path that goes on as a
/// request's would: `/a/.*` is fine because of `/a/.git`, the path `/a/.` is not.
fn literal(pattern: &str, text: &str, continuation: &str) -> Result<Box<str>, PatternError> {
    let pattern = pattern.to_owned();
    if text.contains(['*', '{', '}']) {
        return Err(PatternError::PathPlaceholder(pattern));
    }
    let sample = format!("{text}{continuation}");
    let normal = match normalize_escapes(&sample) {
        Ok(normal) => normal,
        Err(PathError::NoLeadingSlash) => return Err(PatternError::PathStart(pattern)),
        Err(PathError::Query { .. }) => return Err(PatternError::PathQuery(pattern)),
        Err(source) => return Err(PatternError::Path { pattern, source }),
    };
    if has_special_segment(&normal) {
        return Err(PatternError::PathSegment(pattern));
    }
    Ok(normal.strip_suffix(continuation).unwrap_or(&normal).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn kind(pattern: &str) -> String {
        match PathPattern::parse(pattern).unwrap().kind() {
            PathKind::Exact(path) => format!("exact {path}"),
            PathKind::Segment(path) => format!("segment {path}"),
            PathKind::Raw(prefix) => format!("raw {prefix}"),
            PathKind::Regex(regex) => format!("regex {regex}"),
            PathKind::Any => "any".to_owned(),
        }
    }

    #[test]
    fn the_four_forms() {
        for (pattern, wanted) in [
            ("/", "exact /"),
            ("/v1", "exact /v1"),
            ("/v1/", "exact /v1/"),
            ("/v1/*", "segment /v1"),
            ("/v1*", "raw /v1"),
            ("/a/.*", "raw /a/."),
            ("/a/..*", "raw /a/.."),
            ("/*", "any"),
            ("~^/v[0-9]", "regex ^/v[0-9]"),
            ("/%c3%a9/%61", "exact /%C3%A9/a"),
            ("/é*", "raw /%C3%A9"),
        ] {
            assert_eq!(kind(pattern), wanted, "{pattern}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        for (pattern, wanted) in [
            ("", "begin with `/`"),
            ("*", "`/*` matches every path"),
            ("v1/*", "begin with `/`"),
            ("/a?b=1", "match the query with `query`"),
            ("/a#b", "fragment"),
            ("/a b", "byte 0x20 at offset 2"),
            ("/a%2*", "two hexadecimal digits"),
            ("/%00", "refused"),
            ("/a//b", "can never match"),
            ("//*", "can never match"),
            ("/a/../b", "can never match"),
            ("/a/%2e%2E/*", "can never match"),
            ("/a/.", "can never match"),
            ("/a/./*", "can never match"),
            ("/a/*/b", "at the end only"),
            ("/a/**", "at the end only"),
            ("/users/{id}", "`{…}` has no meaning"),
            ("~(", "unclosed group"),
        ] {
            let message = PathPattern::parse(pattern).unwrap_err().to_string();
            assert!(message.contains(wanted), "{message}");
        }
    }
}
