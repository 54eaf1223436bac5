//! What a client asks for that is not HTTP any more: an `Upgrade` of HTTP/1.1 (RFC 9110 §7.8), or a
//! WebSocket over HTTP/2 by extended CONNECT (RFC 8441).
//!
//! Both have one form from the start: an extended CONNECT becomes the GET that it would be in HTTP/1.1, so
//! that routes and plugins cannot tell the one from the other, and what guards the one guards the other.

use crate::hop_by_hop;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use h2::ext::Protocol;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Version, header};
use http_body_util::Empty;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::ServerSession;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Protocols that would carry requests past routes and plugins. `h2c` is obsolete (RFC 9113 §3.1).
const NEVER: [&str; 4] = ["h2", "h2c", "http", "tls"];

/// What `sec-websocket-accept` is made with (RFC 6455 §1.3).
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Protocols that a client wants to go on with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upgrade {
    /// As in the `upgrade` field.
    protocols: Vec<Box<str>>,
    /// The proxy's own key, where the client is one of HTTP/2: there are none there (RFC 8441 §5).
    key: Option<String>,
}

/// Bring an extended CONNECT for a WebSocket into the form of HTTP/1.1.
pub(crate) fn translate(session: &mut ServerSession) {
    let head = session.req_header_mut();
    let protocol = head.extensions.get::<Protocol>();
    let is_websocket = protocol.is_some_and(|protocol| protocol.as_str() == "websocket");
    if head.method == Method::CONNECT && is_websocket {
        head.set_method(Method::GET);
        let websocket = HeaderValue::from_static("websocket");
        // Neither field can have come from the client: h2 refuses them.
        let _ = head.insert_header(header::UPGRADE, websocket);
        let _ = head.insert_header(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
}

/// Whether the request is an extended CONNECT. A 2xx to it says that the tunnel is open, and what follows
/// its head is no body.
pub(crate) fn is_extended_connect(head: &RequestHeader) -> bool {
    head.extensions.get::<Protocol>().is_some()
}

impl Upgrade {
    /// What the head asks for. Nothing, if it also has a body: a server may pass over the field (RFC 9110
    /// §7.8), and where the body ends and the other protocol begins would be open to two readings.
    pub(crate) fn asked_for(head: &RequestHeader) -> Option<Upgrade> {
        let fields = &head.headers;
        let extended = is_extended_connect(head);
        let can = extended || head.version == Version::HTTP_11;
        let asks = || tokens(fields, header::CONNECTION).any(|t| t.eq_ignore_ascii_case("upgrade"));
        let length = fields.get(header::CONTENT_LENGTH);
        let has_body = length.is_some_and(|length| length.as_bytes() != b"0")
            || fields.contains_key(header::TRANSFER_ENCODING);
        if !can || has_body || head.method == Method::CONNECT || !asks() {
            return None;
        }
        let protocols: Vec<Box<str>> = tokens(fields, header::UPGRADE)
            .filter(|protocol| is_protocol(protocol))
            .map(Box::from)
            .collect();
        if protocols.is_empty() {
            return None;
        }
        let key = extended.then(|| BASE64_STANDARD.encode(fastrand::u128(..).to_ne_bytes()));
        Some(Upgrade { protocols, key })
    }

    /// The request for the upstream, from a head without fields of our client's connection.
    pub(super) fn request(&self, head: RequestHeader) -> Request<Empty<Bytes>> {
        let mut parts = http::request::Parts::from(head);
        parts.version = Version::HTTP_11;
        parts.extensions.clear();
        let upgrade = HeaderValue::try_from(self.protocols.join(", "));
        let upgrade = upgrade.unwrap_or(HeaderValue::from_static("websocket"));
        let fields = &mut parts.headers;
        fields.insert(header::UPGRADE, upgrade);
        fields.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(key) = &self.key {
            if let Ok(key) = HeaderValue::try_from(key) {
                fields.insert(header::SEC_WEBSOCKET_KEY, key);
            }
            let version = HeaderValue::from_static("13");
            let version_field = fields.entry(header::SEC_WEBSOCKET_VERSION);
            version_field.or_insert(version);
        }
        Request::from_parts(parts, Empty::new())
    }

    /// Whether a 101 is the answer to this. Otherwise, what is wrong with it.
    pub(super) fn check(&self, fields: &HeaderMap) -> Result<(), &'static str> {
        let mut chosen = tokens(fields, header::UPGRADE).peekable();
        if chosen.peek().is_none() {
            return Err("a 101 without an upgrade field");
        }
        let offered = |one: &str| self.protocols.iter().any(|p| p.eq_ignore_ascii_case(one));
        if !chosen.all(offered) {
            return Err("a 101 to a protocol that was not asked for");
        }
        let Some(key) = &self.key else {
            return Ok(());
        };
        let accept = fields.get(header::SEC_WEBSOCKET_ACCEPT);
        match accept {
            Some(accept) if accept.as_bytes() == accept_of(key).as_bytes() => Ok(()),
            _ => Err("a 101 whose sec-websocket-accept is wrong"),
        }
    }

    /// The head that opens the tunnel for the client, from the upstream's 101.
    pub(super) fn opening(&self, head: &mut ResponseHeader) -> pingora::Result<()> {
        let chosen = head.headers.get(header::UPGRADE).cloned();
        for name in hop_by_hop::names(&head.headers) {
            head.remove_header(&name);
        }
        head.remove_header(&header::CONTENT_LENGTH);
        if self.key.is_some() {
            head.remove_header(&header::SEC_WEBSOCKET_ACCEPT);
        } else if let Some(chosen) = chosen {
            head.insert_header(header::CONNECTION, HeaderValue::from_static("upgrade"))?;
            head.insert_header(header::UPGRADE, chosen)?;
        }
        Ok(())
    }

    /// Whether the client is one of HTTP/2.
    pub(super) fn is_extended_connect(&self) -> bool {
        self.key.is_some()
    }
}

/// The members of a list. What is not UTF-8 is left out.
fn tokens(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    hop_by_hop::members(fields, name).filter_map(|member| str::from_utf8(member).ok())
}

/// Whether it has the form of a protocol (RFC 9110 §7.8), and is one that the proxy carries.
fn is_protocol(text: &str) -> bool {
    let is_token = |text: &str| hop_by_hop::is_token(text.as_bytes());
    let (name, version) = match text.split_once('/') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    is_token(name)
        && version.is_none_or(is_token)
        && !NEVER.iter().any(|never| never.eq_ignore_ascii_case(name))
}

/// What a server answers to a key (RFC 6455 §4.2.2).
fn accept_of(key: &str) -> String {
    let all = [key.as_bytes(), WEBSOCKET_GUID].concat();
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            head.append_header(*name, *value).unwrap();
        }
        head
    }

    fn protocols(fields: &[(&'static str, &str)]) -> Option<String> {
        let upgrade = Upgrade::asked_for(&head(fields))?;
        Some(upgrade.protocols.join(","))
    }

    #[test]
    fn what_asks_for_an_upgrade() {
        let websocket = ("upgrade", "websocket");
        let connection = ("connection", "keep-alive, Upgrade");
        let is = |fields: &[_], wanted: Option<&str>| {
            assert_eq!(protocols(fields).as_deref(), wanted, "{fields:?}");
        };
        is(&[websocket, connection], Some("websocket"));
        is(&[("upgrade", "h2c, a/1 ,, b"), connection], Some("a/1,b"));
        is(
            &[websocket, connection, ("content-length", "0")],
            Some("websocket"),
        );
        is(&[websocket], None);
        is(&[connection], None);
        is(&[websocket, connection, ("content-length", "5")], None);
        is(
            &[websocket, connection, ("transfer-encoding", "chunked")],
            None,
        );
        for never in ["h2c", "HTTP/2.0", "TLS/1.2", "a b", "a/b/c", "\"q\"", "/1"] {
            is(&[("upgrade", never), connection], None);
        }
        let mut old = head(&[websocket, connection]);
        old.set_version(Version::HTTP_10);
        assert_eq!(Upgrade::asked_for(&old), None);
    }

    #[test]
    fn a_101_has_to_be_the_answer() {
        let upgrade = Upgrade::asked_for(&head(&[
            ("upgrade", "websocket, foo/2"),
            ("connection", "upgrade"),
        ]));
        let upgrade = upgrade.unwrap();
        let answer = |value: &str| {
            let fields = [(header::UPGRADE, HeaderValue::from_str(value).unwrap())];
            upgrade.check(&HeaderMap::from_iter(fields))
        };
        assert_eq!(answer("WebSocket"), Ok(()));
        assert_eq!(answer("foo/2"), Ok(()));
        assert!(answer("foo/1").is_err());
        assert!(answer("websocket, h2c").is_err());
        assert!(answer("").is_err());
        assert!(upgrade.check(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_accept_of_the_rfc() {
        // RFC 6455 §1.3.
        assert_eq!(
            accept_of("dGhlIHNhbXBsZSBub25jZQ=="),
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn an_extended_connect_is_the_get_that_it_would_be() {
        let mut head = head(&[("upgrade", "websocket"), ("connection", "upgrade")]);
        head.set_version(Version::HTTP_2);
        head.extensions_mut()
            .insert(Protocol::from_static("websocket"));
        let upgrade = Upgrade::asked_for(&head).unwrap();
        let request = upgrade.request(head);
        let field = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(field("sec-websocket-version"), "13");
        let key = field("sec-websocket-key");
        assert_eq!(BASE64_STANDARD.decode(key).unwrap().len(), 16);
        let mut answer = HeaderMap::new();
        answer.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        assert!(upgrade.check(&answer).is_err());
        let accept = HeaderValue::try_from(accept_of(key)).unwrap();
        answer.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        assert_eq!(upgrade.check(&answer), Ok(()));
    }

    proptest! {
        /// Whatever a client writes there: what goes on is a list of tokens, without HTTP in another form.
        #[test]
        fn only_protocols_go_on(upgrade in "[ -~]{0,40}", connection in "(upgrade|[ -~]{0,20})") {
            let fields = [("upgrade", upgrade.as_str()), ("connection", connection.as_str())];
            if let Some(asked) = Upgrade::asked_for(&head(&fields)) {
                for protocol in &asked.protocols {
                    prop_assert!(is_protocol(protocol));
                    prop_assert!(!protocol.to_ascii_lowercase().starts_with("http/"));
                }
                let request = asked.request(head(&fields));
                let sent = request.headers().get(header::UPGRADE).unwrap();
                prop_assert_eq!(sent.to_str().unwrap(), asked.protocols.join(", "));
            }
        }
    }
}
