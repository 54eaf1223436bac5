//! The head of a request, checked.

use super::failure::Failure;
use super::grant::Origin;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use std::fmt;
use url::{Position, Url};

/// Bytes of a URL.
const URL_BYTES_MAX: usize = 8 << 10;
/// Fields of a request.
const FIELDS_MAX: usize = 100;
/// Bytes of all names and values.
const FIELD_BYTES_MAX: usize = 32 << 10;

/// What frames a message, or is said to the next hop only (RFC 9110 §7.6.1): it follows from the rest.
const RESERVED: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The head of a request that can be sent, if its origin is granted. Path, query and fields may hold
/// secrets and are not shown.
#[derive(Clone)]
pub struct RequestHead {
    pub(super) method: Method,
    /// Made of the parsed URL, so that what was checked is what is called.
    pub(super) uri: Uri,
    pub(super) origin: Origin,
    pub(super) headers: HeaderMap,
}

impl RequestHead {
    /// Check a request. `url` is absolute; of `fields`, `host` and those that frame the message are not
    /// the caller's to set.
    ///
    /// # Errors
    /// [`Failure::InvalidRequest`] names what cannot be sent.
    pub fn new<'a>(
        method: &str,
        url: &str,
        fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<RequestHead, Failure> {
        let (uri, origin) = parse_url(url)?;
        Ok(RequestHead {
            method: parse_method(method)?,
            uri,
            origin,
            headers: parse_fields(fields)?,
        })
    }

    /// The origin that it goes to, such as `https://a.example:8443`.
    pub fn origin(&self) -> String {
        self.origin.to_string()
    }

    /// Whether a body can be streamed with it. One that comes with [`send`](super::Client::send) always can.
    pub(super) fn has_body(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestHead({} {})", self.method, self.origin)
    }
}

fn parse_url(text: &str) -> Result<(Uri, Origin), Failure> {
    const INVALID: Failure = Failure::InvalidRequest("the URL is not one");
    if text.len() > URL_BYTES_MAX {
        return Err(Failure::InvalidRequest("the URL is too long"));
    }
    // The parser would drop line breaks and read `\` as `/`; others would not.
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\')
    {
        return Err(INVALID);
    }
    let url = Url::parse(text).map_err(|_| INVALID)?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Failure::InvalidRequest("the URL has a user"));
    }
    if url.fragment().is_some() {
        return Err(Failure::InvalidRequest("the URL has a fragment"));
    }
    let origin = Origin::of(&url).ok_or(Failure::InvalidRequest(
        "the URL is neither `https` nor `http`",
    ))?;
    let uri = &url[..Position::AfterQuery];
    Ok((uri.parse().map_err(|_| INVALID)?, origin))
}

fn parse_method(text: &str) -> Result<Method, Failure> {
    match Method::from_bytes(text.as_bytes()) {
        // Neither has a meaning towards an origin, and both reach what is not meant.
        Ok(Method::CONNECT | Method::TRACE) => {
            Err(Failure::InvalidRequest("the method is CONNECT or TRACE"))
        }
        Ok(method) if text.len() <= 32 => Ok(method),
        _ => Err(Failure::InvalidRequest("the method is not one")),
    }
}

fn parse_fields<'a>(
    fields: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<HeaderMap, Failure> {
    const TOO_MANY: Failure = Failure::InvalidRequest("there are too many fields");
    let mut headers = HeaderMap::new();
    let mut bytes = 0;
    for (name, value) in fields {
        bytes += name.len() + value.len();
        if headers.len() == FIELDS_MAX || bytes > FIELD_BYTES_MAX {
            return Err(TOO_MANY);
        }
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| Failure::InvalidRequest("the name of a field is not one"))?;
        if RESERVED.contains(&name.as_str()) {
            return Err(Failure::InvalidRequest(
                "a field is not the plugin's to set",
            ));
        }
        let value = HeaderValue::from_bytes(value)
            .map_err(|_| Failure::InvalidRequest("the value of a field cannot be sent"))?;
        headers.try_append(name, value).map_err(|_| TOO_MANY)?;
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused(method: &str, url: &str, fields: &[(&str, &[u8])]) -> bool {
        let head = RequestHead::new(method, url, fields.iter().copied());
        matches!(head, Err(Failure::InvalidRequest(_)))
    }

    #[test]
    fn a_url_is_taken_in_one_spelling() {
        let head = RequestHead::new("GET", "HTTPS://A.Example:443/x/../y?q=1", []).unwrap();
        assert_eq!(head.uri, "https://a.example/y?q=1");
        assert_eq!(head.origin.to_string(), "https://a.example");
        let head = RequestHead::new("GET", "http://0177.1:81", []).unwrap();
        assert_eq!(head.uri, "http://127.0.0.1:81/");
    }

    #[test]
    fn urls_that_could_be_read_in_two_ways_are_refused() {
        for url in [
            "",
            "/x",
            "a.example",
            "ftp://a.example/",
            "file:///etc/passwd",
            "https://",
            "https://user@a.example/",
            "https://user:x@a.example/",
            "https://:x@a.example/",
            "https://a.example/#x",
            "https://a.example\\@b.example/",
            "https://a.exa\nmple/",
            "https://a.example/ x",
            "https://\u{e4}.example/",
            "https://a.example:99999/",
            "https://[::1%25eth0]/",
        ] {
            assert!(refused("GET", url, &[]), "{url}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX));
        assert!(refused("GET", &long, &[]));
    }

    #[test]
    fn methods_and_fields_are_checked() {
        let url = "https://a.example/";
        for method in ["", "G T", "CONNECT", "TRACE", &"X".repeat(33)] {
            assert!(refused(method, url, &[]), "{method}");
        }
        for name in RESERVED
            .iter()
            .chain(&["Host", "Transfer-Encoding", "", "a b", "a:"])
        {
            assert!(refused("GET", url, &[(name, b"x")]), "{name}");
        }
        for value in [b"a\r\nb" as &[u8], b"a\0", b"\n"] {
            assert!(refused("GET", url, &[("x-a", value)]));
        }
        assert!(!refused("GET", url, &[("x-a", b"1"), ("x-a", b"\xe4 2")]));
        assert!(refused(
            "GET",
            url,
            &[("x-a", b"1" as &[u8]); FIELDS_MAX + 1]
        ));
        assert!(refused("GET", url, &[("x-a", &[b'x'; FIELD_BYTES_MAX])]));
    }

    proptest! {
        /// What is called is what was checked: the engine reads the same host and port out of the URI.
        #[test]
        fn uri_and_origin_agree(url in "https?://[!-~]{1,30}(:[0-9]{1,5})?[/?][!-~]{0,20}") {
            if let Ok(head) = RequestHead::new("GET", &url, []) {
                let again = Url::parse(&head.uri.to_string()).unwrap();
                prop_assert_eq!(Origin::of(&again), Some(head.origin.clone()));
                let authority = head.uri.authority().unwrap();
                prop_assert!(!authority.as_str().contains('@'));
                let origin = format!("{}://{authority}", head.uri.scheme_str().unwrap());
                prop_assert_eq!(origin, head.origin.to_string());
            }
        }
    }
}
