//! For whom a request is: forwarding fields are believed from trusted proxies only, and removed from
//! all others before anybody reads them.

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use pingora::http::RequestHeader;
use std::net::{IpAddr, SocketAddr};

/// Fields that say for whom a request is. What an untrusted client says in them is dropped.
pub(crate) const FORWARDING: [&str; 12] = [
    "client-cert",
    "client-cert-chain",
    "forwarded",
    "x-client-cert-fingerprint",
    "x-client-cert-san",
    "x-client-cert-subject",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// Whether the sender may say for whom a request is. On a Unix socket (no address) it may: who can
/// connect is decided by the socket's permissions.
pub(crate) fn is_trusted(peer: Option<SocketAddr>, trusted: &[IpNet]) -> bool {
    peer.is_none_or(|peer| contains(trusted, peer.ip()))
}

/// Drop what an untrusted sender says.
pub(crate) fn distrust(head: &mut RequestHeader) {
    let names = head.headers.keys();
    let said: Vec<HeaderName> = names.filter(|name| is_forwarding(name)).cloned().collect();
    for name in &said {
        head.remove_header(name);
    }
}

/// CGI and its descendants read `X_Forwarded_For` as the same thing.
fn is_forwarding(name: &HeaderName) -> bool {
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let is = |known: &&str| {
        let name = name.as_str().bytes().map(plain);
        name.eq(known.bytes())
    };
    name.as_str().starts_with(['c', 'f', 'x']) && FORWARDING.iter().any(is)
}

/// The client: from the right of `x-forwarded-for`, the first address that is not a trusted proxy's.
/// The sender itself where there is none.
pub(crate) fn client(
    peer: Option<SocketAddr>,
    fields: &HeaderMap,
    trusted: &[IpNet],
) -> Option<SocketAddr> {
    let values = fields.get_all("x-forwarded-for").iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let mut client = peer;
    for text in values.iter().rev().flat_map(|value| value.rsplit(',')) {
        let Some(address) = parse(text.trim()) else {
            // Whoever wrote this is the last that is known.
            return client;
        };
        client = Some(address);
        if !contains(trusted, address.ip()) {
            return client;
        }
    }
    client
}

/// An address, with or without a port, brackets optional: all forms are met.
fn parse(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, 0))
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let mut fields = HeaderMap::new();
        for value in forwarded {
            fields.append("x-forwarded-for", value.parse().unwrap());
        }
        let trusted: Vec<IpNet> = trusted.iter().map(|net| net.parse().unwrap()).collect();
        let client = client(Some(peer.parse().unwrap()), &fields, &trusted);
        client.unwrap().ip().to_string()
    }

    #[test]
    fn the_client_is_the_rightmost_that_is_not_trusted() {
        let trusted = ["10.0.0.0/8", "fd00::/8"];
        let cases: [(&[&str], &str); 7] = [
            (&[], "10.0.0.1"),
            (&["203.0.113.7"], "203.0.113.7"),
            (&["6.6.6.6, 203.0.113.7, 10.1.1.1"], "203.0.113.7"),
            (&["6.6.6.6", "203.0.113.7, 10.1.1.1"], "203.0.113.7"),
            (&["10.2.2.2, 10.1.1.1"], "10.2.2.2"),
            (&["203.0.113.7, unknown"], "10.0.0.1"),
            (&["[2001:db8::1]:80, fd00::2"], "2001:db8::1"),
        ];
        for (forwarded, client) in cases {
            assert_eq!(
                seen("10.0.0.1:9", forwarded, &trusted),
                client,
                "{forwarded:?}"
            );
        }
    }

    #[test]
    fn trust_is_by_network() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let peer = |text: &str| Some(text.parse().unwrap());
        assert!(is_trusted(peer("10.9.9.9:1"), &trusted));
        assert!(is_trusted(peer("[::ffff:10.9.9.9]:1"), &trusted));
        assert!(!is_trusted(peer("11.9.9.9:1"), &trusted));
        assert!(!is_trusted(peer("127.0.0.1:1"), &[]));
        assert!(is_trusted(None, &[]));
    }
}
