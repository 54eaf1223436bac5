//! The heads that plugins see, as traits: the proxy engine keeps its own types (which remember the
//! spelling of field names, say) and nothing is copied to show them to a plugin.

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use std::any::Any;

/// The fields of a head.
pub trait Fields {
    /// All fields.
    fn fields(&self) -> &HeaderMap;
    /// Set `name` to this one value.
    fn set(&mut self, name: HeaderName, value: HeaderValue);
    /// Add a value to `name`.
    fn append(&mut self, name: HeaderName, value: HeaderValue);
    /// Remove all values of `name`.
    fn remove(&mut self, name: &HeaderName);
}

/// The head of a request. The path and query are those of [`RequestHead::uri`].
pub trait RequestHead: Fields + Any + Send + Sync {
    /// The method.
    fn method(&self) -> &Method;
    /// The request target, path already normalised.
    fn uri(&self) -> &Uri;
    /// Change the request target: a path and perhaps a query.
    fn set_uri(&mut self, uri: Uri);
}

/// The head of a response.
pub trait ResponseHead: Fields + Any + Send + Sync {
    /// The status.
    fn status(&self) -> StatusCode;
    /// Change the status.
    fn set_status(&mut self, status: StatusCode);
}

/// Several values as one, as RFC 9110 §5.3 allows: joined by `, `, for `cookie` by `; ` (RFC 9113
/// §8.2.3). `set-cookie` cannot be joined; its first value is given.
pub fn joined(fields: &HeaderMap, name: &str) -> Option<Vec<u8>> {
    let mut values = fields.get_all(name).iter();
    let first = values.next()?.as_bytes().to_vec();
    if name.eq_ignore_ascii_case("set-cookie") {
        return Some(first);
    }
    let separator: &[u8] = if name.eq_ignore_ascii_case("cookie") {
        b"; "
    } else {
        b", "
    };
    Some(values.fold(first, |mut all, value| {
        all.extend_from_slice(separator);
        all.extend_from_slice(value.as_bytes());
        all
    }))
}

/// Trailers.
impl Fields for HeaderMap {
    fn fields(&self) -> &HeaderMap {
        self
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.insert(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        HeaderMap::append(self, name, value);
    }
    fn remove(&mut self, name: &HeaderName) {
        HeaderMap::remove(self, name);
    }
}

impl Fields for http::request::Parts {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }
    fn remove(&mut self, name: &HeaderName) {
        self.headers.remove(name);
    }
}

impl RequestHead for http::request::Parts {
    fn method(&self) -> &Method {
        &self.method
    }
    fn uri(&self) -> &Uri {
        &self.uri
    }
    fn set_uri(&mut self, uri: Uri) {
        self.uri = uri;
    }
}

impl Fields for http::response::Parts {
    fn fields(&self) -> &HeaderMap {
        &self.headers
    }
    fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.insert(name, value);
    }
    fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.headers.append(name, value);
    }
    fn remove(&mut self, name: &HeaderName) {
        self.headers.remove(name);
    }
}

impl ResponseHead for http::response::Parts {
    fn status(&self) -> StatusCode {
        self.status
    }
    fn set_status(&mut self, status: StatusCode) {
        self.status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v)))
            .fold(HeaderMap::new(), |mut map, (n, v)| {
                map.append(n, v);
                map
            })
    }

    #[test]
    fn several_values_are_joined_as_the_field_allows() {
        let map = fields(&[
            ("accept", "a"),
            ("accept", "b"),
            ("cookie", "x=1"),
            ("cookie", "y=2"),
            ("set-cookie", "p"),
            ("set-cookie", "q"),
        ]);
        assert_eq!(joined(&map, "Accept").unwrap(), b"a, b");
        assert_eq!(joined(&map, "cookie").unwrap(), b"x=1; y=2");
        assert_eq!(joined(&map, "set-cookie").unwrap(), b"p");
        assert_eq!(joined(&map, "host"), None);
    }
}
