//! What tells an upstream about the client. What an untrusted client said itself in these fields was
//! dropped when the request arrived.

use crate::context::Context;
use http::{HeaderName, HeaderValue, header};
use pingora::http::RequestHeader;
use std::net::IpAddr;

/// One way to tell an upstream about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// `X-Forwarded-For`, to which the sender is added; `X-Forwarded-Proto` and `-Host`, unless a trusted
    /// proxy has set them; `X-Real-IP`, the client as it was resolved. A list that no trusted proxy has begun
    /// begins with the client.
    XForwarded,
    /// `Forwarded`, to which an element for the sender is added (RFC 7239).
    Forwarded,
    /// `True-Client-IP`, the client as it was resolved.
    TrueClientIp,
    /// `CF-Connecting-IP`, the same.
    CfConnectingIp,
}

impl Forward {
    /// What upstreams are told unless they want something else.
    pub const DEFAULT: &[Forward] = &[Forward::XForwarded];

    pub(crate) fn tell(self, head: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
        let facts = &context.facts;
        match self {
            Forward::XForwarded => x_forwarded(head, context),
            Forward::Forwarded => {
                let host = head.headers.get(header::HOST);
                let host = host.map_or(&b""[..], |host| host.as_bytes());
                let connection = context.connection.as_deref();
                let sender = connection.and_then(|c| c.client).map(|sender| sender.ip());
                let element = element(sender, host, facts.scheme);
                if let Some(client) = unlisted(head, &header::FORWARDED, context) {
                    head.insert_header(header::FORWARDED, node(client))?;
                }
                append(head, &header::FORWARDED, element)
            }
            Forward::TrueClientIp => client(head, "true-client-ip", context),
            Forward::CfConnectingIp => client(head, "cf-connecting-ip", context),
        }
    }
}

// Names are looked up for each request, and as text they would be parsed each time.
static LIST: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

fn x_forwarded(head: &mut RequestHeader, context: &Context) -> pingora::Result<()> {
    if let Some(client) = unlisted(head, &LIST, context) {
        head.insert_header(LIST.as_str(), client.to_string())?;
    }
    let connection = context.connection.as_deref();
    if let Some(sender) = connection.and_then(|c| c.forwarded_for.clone()) {
        append(head, &LIST, sender)?;
    }
    if !head.headers.contains_key(&PROTO) {
        head.insert_header(
            PROTO.as_str(),
            HeaderValue::from_static(context.facts.scheme),
        )?;
    }
    if !head.headers.contains_key(&HOST)
        && let Some(host) = head.headers.get(header::HOST).cloned()
    {
        head.insert_header(HOST.as_str(), host)?;
    }
    client(head, "x-real-ip", context)
}

/// The client's address, in place of whatever the field says. One on a Unix socket has none.
fn client(head: &mut RequestHeader, name: &'static str, context: &Context) -> pingora::Result<()> {
    let Some(client) = context.facts.client else {
        return Ok(());
    };
    // Most clients are who is connected, and that is written once for each connection.
    let connection = context.connection.as_deref();
    let sender = connection.filter(|c| c.client.is_some_and(|sender| sender.ip() == client.ip()));
    match sender.and_then(|c| c.forwarded_for.clone()) {
        Some(written) => head.insert_header(name, written),
        None => head.insert_header(name, client.ip().to_canonical().to_string()),
    }
}

/// The client, where it is not the sender and the list does not say so: the sender is a proxy that says it in
/// another field, and would be taken for the client.
fn unlisted(head: &RequestHeader, list: &HeaderName, context: &Context) -> Option<IpAddr> {
    let client = context.facts.client?.ip().to_canonical();
    let sender = context.connection.as_deref().and_then(|c| c.client);
    let is_sender = sender.is_some_and(|sender| sender.ip().to_canonical() == client);
    (!is_sender && !head.headers.contains_key(list)).then_some(client)
}

/// Add to the list of a trusted proxy.
fn append(
    head: &mut RequestHeader,
    name: &'static HeaderName,
    last: HeaderValue,
) -> pingora::Result<()> {
    let before = head.headers.contains_key(name);
    let before = before.then(|| tidegate_chain::joined(&head.headers, name.as_str()));
    let value = match before.flatten().filter(|before| !before.is_empty()) {
        Some(before) => {
            let list = [&before, last.as_bytes()].join(&b", "[..]);
            HeaderValue::from_bytes(&list).unwrap_or(last)
        }
        None => last,
    };
    head.insert_header(name.as_str(), value)
}

/// `for="[2001:db8::1]";host="example.com:8080";proto=https` (RFC 7239 §4). A sender on a Unix socket has no
/// address to be named by.
fn element(sender: Option<IpAddr>, host: &[u8], scheme: &str) -> HeaderValue {
    let mut element = Vec::with_capacity(96);
    match sender {
        Some(sender) => element.extend(node(sender.to_canonical()).bytes()),
        None => element.extend(b"for=unknown"),
    }
    element.push(b';');
    if !host.is_empty() {
        element.extend(b"host=");
        value(&mut element, host);
        element.push(b';');
    }
    element.extend(b"proto=");
    element.extend(scheme.bytes());
    HeaderValue::from_bytes(&element).unwrap_or(HeaderValue::from_static("for=unknown"))
}

fn node(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("for={address}"),
        // §6: brackets, and so quotes.
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    }
}

/// A token as it is, anything else in quotes (RFC 9110 §5.6).
fn value(out: &mut Vec<u8>, value: &[u8]) {
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if value.iter().all(token) {
        out.extend(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_token_is_quoted() {
        let cases = [
            (
                "192.0.2.1",
                "a.example",
                "for=192.0.2.1;host=a.example;proto=http",
            ),
            ("2001:db8::1", "", "for=\"[2001:db8::1]\";proto=http"),
            (
                "::ffff:192.0.2.1",
                "a.example:8080",
                "for=192.0.2.1;host=\"a.example:8080\";proto=http",
            ),
            (
                "192.0.2.1",
                "[::1]:80",
                "for=192.0.2.1;host=\"[::1]:80\";proto=http",
            ),
            (
                "192.0.2.1",
                "a\"\\b",
                "for=192.0.2.1;host=\"a\\\"\\\\b\";proto=http",
            ),
        ];
        for (sender, host, expected) in cases {
            let sender = Some(sender.parse().unwrap());
            assert_eq!(element(sender, host.as_bytes(), "http"), expected);
        }
        assert_eq!(
            element(None, b"a", "https"),
            "for=unknown;host=a;proto=https"
        );
    }
}
