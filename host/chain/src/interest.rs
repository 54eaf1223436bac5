//! What a plugin is interested in, as a predicate that the host checks before it calls.

use crate::{DeclaredEdit, Phase, Refusal, Target};
use http::{HeaderMap, HeaderName, Method, Uri};
use std::time::Duration;

/// The requests that a plugin wants to see. Empty lists do not narrow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// One of these methods.
    pub methods: Vec<Method>,
    /// One of these paths.
    pub paths: Vec<PathInterest>,
    /// At least one of these fields.
    pub headers: Vec<HeaderName>,
    /// How it wants to see request bodies.
    pub request_body: BodyMode,
    /// How it wants to see response bodies.
    pub response_body: BodyMode,
    /// How often it wants to be called in [`crate::Phase::Tick`].
    pub tick: Option<Duration>,
    /// What it does to every request's head: made at its turn in [`Phase::RequestHead`] in place of a call.
    pub request_edits: Option<Box<[DeclaredEdit]>>,
    /// What it does to every response's head, in place of a call in [`Phase::ResponseHead`].
    pub response_edits: Option<Box<[DeclaredEdit]>>,
}

/// How a plugin wants to see a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyMode {
    /// Not at all.
    #[default]
    None,
    /// Each piece as it comes.
    Streaming,
    /// Whole, up to so many bytes; the head waits.
    Buffer(usize),
    /// Up to so many bytes of its beginning; the head waits.
    Peek(usize),
}

impl std::fmt::Display for BodyMode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BodyMode::None => f.write_str("none"),
            BodyMode::Streaming => f.write_str("streaming"),
            BodyMode::Buffer(bytes) => write!(f, "buffer up to {bytes} bytes"),
            BodyMode::Peek(bytes) => write!(f, "peek up to {bytes} bytes"),
        }
    }
}

/// A path, or all paths with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathInterest {
    /// Just this path.
    Exact(Box<str>),
    /// All paths that begin so.
    Prefix(Box<str>),
}

impl PathInterest {
    /// `/exact` or `/prefix*`.
    ///
    /// # Errors
    /// The text does not begin with a slash, or has a `*` elsewhere than at its end.
    pub fn parse(text: &str) -> Result<PathInterest, Refusal> {
        let (path, prefix) = match text.strip_suffix('*') {
            Some(path) => (path, true),
            None => (text, false),
        };
        if !path.starts_with('/') || path.contains('*') {
            return Err(Refusal::InvalidArgument);
        }
        Ok(if prefix {
            PathInterest::Prefix(path.into())
        } else {
            PathInterest::Exact(path.into())
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            PathInterest::Exact(exact) => path == &**exact,
            PathInterest::Prefix(prefix) => path.starts_with(&**prefix),
        }
    }
}

impl Interest {
    /// The edits that the plugin declared for a phase, in place of calls, and what they are for.
    pub fn fixed_edits(&self, phase: Phase) -> Option<(Target, &[DeclaredEdit])> {
        let (target, edits) = match phase {
            Phase::RequestHead => (Target::Request, &self.request_edits),
            Phase::ResponseHead => (Target::Response, &self.response_edits),
            _ => return None,
        };
        Some((target, edits.as_deref()?))
    }

    /// Whether the plugin wants to see a request with this method, target and fields.
    pub fn matches(&self, method: &Method, uri: &Uri, fields: &HeaderMap) -> bool {
        (self.methods.is_empty() || self.methods.contains(method))
            && (self.paths.is_empty() || {
                let path = uri.path();
                self.paths.iter().any(|p| p.matches(path))
            })
            && (self.headers.is_empty()
                || self.headers.iter().any(|name| fields.contains_key(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(interest: &Interest, method: &str, path: &str, header: Option<&str>) -> bool {
        let mut request = http::Request::builder().method(method).uri(path);
        if let Some(name) = header {
            request = request.header(name, "1");
        }
        let request = request.body(()).unwrap();
        interest.matches(request.method(), request.uri(), request.headers())
    }

    #[test]
    fn every_part_narrows() {
        let any = Interest::default();
        assert!(matches(&any, "GET", "/", None));
        let interest = Interest {
            methods: vec![Method::POST],
            paths: vec![
                PathInterest::parse("/a").unwrap(),
                PathInterest::parse("/b/*").unwrap(),
            ],
            headers: vec![HeaderName::from_static("x-key")],
            ..Interest::default()
        };
        assert!(matches(&interest, "POST", "/a", Some("X-Key")));
        assert!(matches(&interest, "POST", "/b/c?q=1", Some("x-key")));
        assert!(!matches(&interest, "GET", "/a", Some("x-key")));
        assert!(!matches(&interest, "POST", "/ab", Some("x-key")));
        assert!(!matches(&interest, "POST", "/a", None));
    }

    #[test]
    fn paths_are_exact_or_prefixes() {
        for bad in ["", "a", "*", "/a*b", "/a/*/b"] {
            assert_eq!(PathInterest::parse(bad), Err(Refusal::InvalidArgument));
        }
    }
}
