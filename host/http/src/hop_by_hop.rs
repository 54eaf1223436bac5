//! Fields that are about one connection and end with it (RFC 9110 §7.6.1): those that always are, and those
//! that the sender of a message names in `connection`.

use crate::client;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use pingora::http::{RequestHeader, ResponseHeader};

/// Those that always are.
static ALWAYS: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Whether a field always is.
pub(crate) fn is_always(name: &HeaderName) -> bool {
    ALWAYS.contains(name)
}

/// Remove what a client names in `connection`, before anybody adds to its head: what plugins and the proxy say
/// in a field of such a name is theirs, and goes on. Of `connection` itself an upgrade is left.
///
/// # Errors
/// What is no name, and the names of fields that are about more than the connection: those in which a trusted
/// proxy says for whom it asks, the host, and the length. Who could have them removed could pass for another.
pub(crate) fn remove_named(head: &mut RequestHeader) -> Result<(), &'static str> {
    if !head.headers.contains_key(header::CONNECTION) {
        return Ok(());
    }
    let mut named = Vec::new();
    let mut upgrades = false;
    for member in members(&head.headers, header::CONNECTION) {
        let name = is_token(member)
            .then(|| HeaderName::from_bytes(member).ok())
            .flatten()
            .ok_or("the connection field is not a list of names")?;
        if name == header::HOST || name == header::CONTENT_LENGTH || client::is_forwarding(&name) {
            return Err("the connection field names a field that is not about the connection");
        }
        upgrades |= name == header::UPGRADE;
        if !is_always(&name) {
            named.push(name);
        }
    }
    for name in &named {
        head.remove_header(name);
    }
    head.remove_header(&header::CONNECTION);
    if upgrades {
        // A name and a value that are valid.
        let _ = head.insert_header(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    Ok(())
}

/// Remove those that always are.
pub(crate) fn remove_always(head: &mut RequestHeader) {
    for name in &ALWAYS {
        if head.headers.contains_key(name) {
            head.remove_header(name);
        }
    }
}

/// Remove those of a response that goes on to another connection. How its body is framed stays, for whoever writes it,
/// and what a 426 asks to upgrade to (RFC 9110 §15.5.22). A length beside an encoding means nothing (RFC 9112 §6.3).
pub(crate) fn remove_from_response(head: &mut ResponseHeader) {
    if head.headers.contains_key(header::TRANSFER_ENCODING) {
        head.remove_header(&header::CONTENT_LENGTH);
    }
    let upgrades = head.status == StatusCode::UPGRADE_REQUIRED;
    let stays = |name: &HeaderName| {
        name == header::TRANSFER_ENCODING
            || name == header::TRAILER
            || name == header::CONTENT_LENGTH
            || name == header::UPGRADE && upgrades
    };
    if !head
        .headers
        .keys()
        .any(|name| is_always(name) && !stays(name))
    {
        return;
    }
    let named = members(&head.headers, header::CONNECTION)
        .filter(|member| !is_about_closing(member))
        .filter_map(|member| HeaderName::from_bytes(member).ok());
    let named: Vec<_> = named.filter(|name| !stays(name)).collect();
    for name in &named {
        head.remove_header(name);
    }
    for name in ALWAYS.iter().filter(|name| !stays(name)) {
        head.remove_header(name);
    }
}

/// What `connection` says most: it names no field that there is.
fn is_about_closing(member: &[u8]) -> bool {
    member.eq_ignore_ascii_case(b"keep-alive") || member.eq_ignore_ascii_case(b"close")
}

/// The names of the fields of a message that end with its connection.
pub(crate) fn names(fields: &HeaderMap) -> Vec<HeaderName> {
    let named = members(fields, header::CONNECTION);
    let named = named.filter_map(|name| HeaderName::from_bytes(name).ok());
    named.chain(ALWAYS.iter().cloned()).collect()
}

/// The members of a list (RFC 9110 §5.6.1).
pub(crate) fn members(fields: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = fields.get_all(name).into_iter();
    let members = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    members
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// RFC 9110 §5.6.2.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty()
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head(connection: &[&str]) -> RequestHeader {
        let mut head = RequestHeader::build("GET", b"/", None).unwrap();
        for name in ["host", "x-mine", "x-other", "keep-alive", "content-length"] {
            head.append_header(name, "1").unwrap();
        }
        for value in connection {
            head.append_header("connection", *value).unwrap();
        }
        head
    }

    #[test]
    fn what_is_named_is_removed() {
        let mut head = head(&["close, X-Mine,, x-absent", "Upgrade"]);
        remove_named(&mut head).unwrap();
        let left: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        let expected = [
            "host",
            "x-other",
            "keep-alive",
            "content-length",
            "connection",
        ];
        assert!(expected.iter().all(|name| left.contains(name)), "{left:?}");
        assert_eq!(left.len(), expected.len());
        assert_eq!(head.headers["connection"], "upgrade");
    }

    #[test]
    fn what_is_about_more_than_the_connection_cannot_be_named() {
        for value in [
            "host",
            "Content-Length",
            "close, x-forwarded-for",
            "x_forwarded_for",
            "true-client-ip",
            "\"x-mine\"",
            "x mine",
            ":authority",
        ] {
            assert!(remove_named(&mut head(&[value])).is_err(), "{value}");
        }
    }

    #[test]
    fn responses_leave_their_connection_behind() {
        let left = |status: u16, fields: &[(&'static str, &str)]| {
            let mut head = ResponseHeader::build(status, None).unwrap();
            for (name, value) in fields {
                head.append_header(*name, *value).unwrap();
            }
            remove_from_response(&mut head);
            let names = head.headers.keys().map(|name| name.as_str().to_owned());
            let mut names: Vec<_> = names.collect();
            names.sort();
            names.join(" ")
        };
        let fields = [
            ("connection", "Upgrade, keep-alive, X-Mine, content-length"),
            ("keep-alive", "timeout=600"),
            ("upgrade", "h2c"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("content-length", "5"),
        ];
        assert_eq!(left(200, &fields), "content-length x-other");
        assert_eq!(left(426, &fields), "content-length upgrade x-other");
        let chunked = [("transfer-encoding", "chunked"), ("content-length", "5")];
        assert_eq!(left(200, &chunked), "transfer-encoding");
        assert_eq!(left(200, &[("trailer", "x"), ("te", "y")]), "trailer");
    }

    proptest! {
        #[test]
        fn nothing_goes_that_others_need(value in "[ -~]{0,60}") {
            let mut head = head(&[&value]);
            let _ = remove_named(&mut head);
            for name in ["host", "content-length"] {
                prop_assert!(head.headers.contains_key(name));
            }
        }
    }
}
