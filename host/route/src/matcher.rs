//! What a route asks of a request, and the request as routing sees it.

use http::{HeaderMap, HeaderName, Method};

use crate::{HostPattern, PathPattern, ValuePattern};

/// A listener, by its number in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerIndex(pub usize);

/// Which requests a route serves. A request must satisfy every field; an empty field is satisfied by
/// all, so the default matches everything.
#[derive(Debug, Clone, Default)]
pub struct Matcher {
    /// Any of these.
    pub hosts: Vec<HostPattern>,
    /// Any of these.
    pub paths: Vec<PathPattern>,
    /// Any of these. `GET` does not include `HEAD`.
    pub methods: Vec<Method>,
    /// All of these. Where a header occurs several times, one value must match; a value with commas is
    /// one value.
    pub headers: Vec<(HeaderName, ValuePattern)>,
    /// All of these, as name and value after percent-decoding, with `+` for a space. Where a name
    /// occurs several times, one value must match. Bytes that are no UTF-8 count as U+FFFD.
    pub query: Vec<(String, ValuePattern)>,
    /// Any of these.
    pub listeners: Vec<ListenerIndex>,
}

/// The parts of a request that decide its route.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// As [`host`](crate::host) gives it.
    pub host: &'a str,
    /// As [`normalize_path`](crate::normalize_path) gives it.
    pub path: &'a str,
    /// What follows the first `?`, if there is one.
    pub query: Option<&'a str>,
    /// The request's method.
    pub method: &'a Method,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The listener on which it came; `None` for one that is none of those that routes may name.
    pub listener: Option<ListenerIndex>,
}

impl Matcher {
    /// How specific the route is within its host and path.
    pub(crate) fn condition_count(&self) -> usize {
        usize::from(!self.listeners.is_empty()) + self.request_condition_count()
    }

    fn request_condition_count(&self) -> usize {
        usize::from(!self.methods.is_empty()) + self.headers.len() + self.query.len()
    }

    /// Whether requests that come on this listener may fit.
    pub(crate) fn is_on(&self, listener: Option<ListenerIndex>) -> bool {
        self.listeners.is_empty() || listener.is_some_and(|one| self.listeners.contains(&one))
    }

    /// Whether every request fits that has its host and its path, and comes on one of its listeners.
    pub(crate) fn takes_every_request(&self) -> bool {
        self.request_condition_count() == 0
    }

    /// Whether everything but host and path fits.
    pub(crate) fn accepts(&self, request: &Request<'_>) -> bool {
        self.is_on(request.listener)
            && (self.methods.is_empty() || self.methods.contains(request.method))
            && self.headers.iter().all(|(name, pattern)| {
                let mut values = request.headers.get_all(name).iter();
                values.any(|value| pattern.matches(value.as_bytes()))
            })
            && self.query.iter().all(|(name, pattern)| {
                query_pairs(request.query)
                    .any(|(key, value)| key == *name && pattern.matches(value.as_bytes()))
            })
    }
}

fn query_pairs(query: Option<&str>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::ACCEPT;

    use super::*;

    fn value(pattern: &str) -> ValuePattern {
        ValuePattern::parse(pattern).unwrap()
    }

    #[track_caller]
    fn accepts(matcher: &Matcher, method: &Method, query: Option<&str>, accept: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in accept {
            headers.append(ACCEPT, HeaderValue::from_bytes(value).unwrap());
        }
        matcher.accepts(&Request {
            host: "a.example",
            path: "/",
            query,
            method,
            headers: &headers,
            listener: None,
        })
    }

    #[test]
    fn any_listener_of_the_list() {
        let [one, two, three] = [1, 2, 3].map(ListenerIndex);
        let matcher = Matcher {
            listeners: vec![one, three],
            ..Matcher::default()
        };
        let on = |listener| [matcher.is_on(listener), Matcher::default().is_on(listener)];
        assert_eq!(on(Some(three)), [true, true]);
        assert_eq!(on(Some(two)), [false, true]);
        assert_eq!(on(None), [false, true]);
    }

    #[test]
    fn any_method_of_the_list() {
        let matcher = Matcher {
            methods: vec![Method::GET, Method::PUT],
            ..Matcher::default()
        };
        assert!(accepts(&matcher, &Method::PUT, None, &[]));
        assert!(!accepts(&matcher, &Method::HEAD, None, &[]));
        assert!(accepts(&Matcher::default(), &Method::HEAD, None, &[]));
    }

    #[test]
    fn any_value_of_a_repeated_header() {
        let matcher = Matcher {
            headers: vec![(ACCEPT, value("b"))],
            ..Matcher::default()
        };
        assert!(accepts(&matcher, &Method::GET, None, &[b"a", b"b"]));
        assert!(!accepts(&matcher, &Method::GET, None, &[b"a, b"]));
        assert!(!accepts(&matcher, &Method::GET, None, &[]));
        let bytes = Matcher {
            headers: vec![(ACCEPT, value("~^.$")), (ACCEPT, value("*"))],
            ..Matcher::default()
        };
        assert!(accepts(&bytes, &Method::GET, None, &[b"\xff"]));
    }

    #[test]
    fn query_values_are_decoded() {
        let matcher = Matcher {
            query: vec![("a b".to_owned(), value("x y"))],
            ..Matcher::default()
        };
        for (query, wanted) in [
            (Some("a+b=x+y"), true),
            (Some("a%20b=x%20y"), true),
            (Some("c=1&a+b=1&a+b=x+y"), true),
            (Some("a+b=x%2By"), false),
            (Some("a+b"), false),
            (Some(""), false),
            (None, false),
        ] {
            assert_eq!(
                accepts(&matcher, &Method::GET, query, &[]),
                wanted,
                "{query:?}"
            );
        }
        let present = Matcher {
            query: vec![("debug".to_owned(), value("*"))],
            ..Matcher::default()
        };
        assert!(accepts(&present, &Method::GET, Some("debug"), &[]));
        assert!(!accepts(&present, &Method::GET, Some("debugger=1"), &[]));
    }
}
