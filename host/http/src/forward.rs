//! What tells an upstream about the client. What an untrusted client said itself in these fields was
//! dropped when the request arrived.

use crate::context::Context;
use crate::own_fields::OwnFields;
use http::{HeaderMap, HeaderName, HeaderValue, header};
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

    /// Add what this way says to `own`, beside the fields that the head has.
    pub(crate) fn tell(self, fields: &HeaderMap, own: &mut OwnFields, context: &Context) {
        match self {
            Forward::XForwarded => x_forwarded(fields, own, context),
            Forward::Forwarded => {
                let host = fields.get(header::HOST);
                let host = host.map_or(&b""[..], |host| host.as_bytes());
                let connection = context.connection.as_deref();
                let sender = connection.and_then(|c| c.client).map(|sender| sender.ip());
                let element = element(sender, host, context.facts.scheme);
                let first = unlisted(fields, &header::FORWARDED, context).map(node);
                let list = list(fields, &header::FORWARDED, first, element);
                own.set(&header::FORWARDED, list);
            }
            Forward::TrueClientIp => client(own, &TRUE_CLIENT_IP, context),
            Forward::CfConnectingIp => client(own, &CF_CONNECTING_IP, context),
        }
    }
}

// Custom names: those of the `http` crate are constants.
static LIST: HeaderName = HeaderName::from_static("x-forwarded-for");
static PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
static HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
static TRUE_CLIENT_IP: HeaderName = HeaderName::from_static("true-client-ip");
static CF_CONNECTING_IP: HeaderName = HeaderName::from_static("cf-connecting-ip");

fn x_forwarded(fields: &HeaderMap, own: &mut OwnFields, context: &Context) {
    let first = unlisted(fields, &LIST, context).map(|client| client.to_string());
    let connection = context.connection.as_deref();
    match (connection.and_then(|c| c.forwarded_for.clone()), first) {
        (Some(sender), first) => own.set(&LIST, list(fields, &LIST, first, sender)),
        (None, Some(first)) => {
            if let Ok(first) = HeaderValue::try_from(first) {
                own.set(&LIST, first);
            }
        }
        (None, None) => {}
    }
    if !fields.contains_key(&PROTO) {
        own.set(&PROTO, HeaderValue::from_static(context.facts.scheme));
    }
    if !fields.contains_key(&HOST)
        && let Some(host) = fields.get(header::HOST).cloned()
    {
        own.set(&HOST, host);
    }
    client(own, &REAL_IP, context);
}

/// The client's address, in place of whatever the field says. One on a Unix socket has none.
fn client(own: &mut OwnFields, name: &HeaderName, context: &Context) {
    let Some(client) = context.facts.client else {
        return;
    };
    // Most clients are who is connected, and that is written once for each connection.
    let connection = context.connection.as_deref();
    let sender = connection.filter(|c| c.client.is_some_and(|sender| sender.ip() == client.ip()));
    let written = sender.and_then(|c| c.forwarded_for.clone());
    let value = written.or_else(|| {
        let address = client.ip().to_canonical().to_string();
        HeaderValue::try_from(address).ok()
    });
    if let Some(value) = value {
        own.set(name, value);
    }
}

/// The client, where it is not the sender and the list does not say so: the sender is a proxy that says it in
/// another field, and would be taken for the client.
fn unlisted(fields: &HeaderMap, list: &HeaderName, context: &Context) -> Option<IpAddr> {
    let client = context.facts.client?.ip().to_canonical();
    let sender = context.connection.as_deref().and_then(|c| c.client);
    let is_sender = sender.is_some_and(|sender| sender.ip().to_canonical() == client);
    (!is_sender && !fields.contains_key(list)).then_some(client)
}

/// The list of a trusted proxy, or one that begins with `first`, and this last member.
fn list(
    fields: &HeaderMap,
    name: &HeaderName,
    first: Option<String>,
    last: HeaderValue,
) -> HeaderValue {
    let before = match first {
        Some(first) => Some(first.into_bytes()),
        None if fields.contains_key(name) => tidegate_chain::joined(fields, name.as_str()),
        None => None,
    };
    let Some(before) = before.filter(|before| !before.is_empty()) else {
        return last;
    };
    let list = [&before, last.as_bytes()].join(&b", "[..]);
    HeaderValue::from_bytes(&list).unwrap_or(last)
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
