//! For whom a request is: forwarding fields are believed from trusted proxies only, and removed from
//! all others before anybody reads them.

mod forwarded;

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use pingora::http::RequestHeader;
use std::net::{IpAddr, SocketAddr};

/// The field in which a trusted proxy says for whom a request is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// From the right of `x-forwarded-for`, the first address that is not a trusted proxy's.
    #[default]
    XForwardedFor,
    /// The same with `forwarded` (RFC 7239).
    Forwarded,
    /// The one address of `x-real-ip`.
    XRealIp,
    /// The one address of `true-client-ip`.
    TrueClientIp,
    /// The one address of `cf-connecting-ip`.
    CfConnectingIp,
}

/// What trusted proxies say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) client: Option<SocketAddr>,
    /// How the client asked the first of them: `http` or `https`.
    pub(crate) proto: Option<&'static str>,
    /// For which host.
    pub(crate) host: Option<String>,
}

/// Fields in which a proxy says for whom it asks, and how it was asked. What an untrusted client says in
/// them is dropped.
const FORWARDING: [&str; 8] = [
    "forwarded",
    "x-real-ip",
    "true-client-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "x-request-id",
    // The client's certificate (RFC 9440).
    "client-cert",
    "client-cert-chain",
];
/// Beginnings of more such fields.
const FORWARDING_PREFIXES: [&str; 2] = ["x-forwarded-", "x-client-cert-"];

/// Whether the sender may say for whom a request is. On a Unix socket (no address) it may: who can
/// connect is decided by the socket's permissions.
pub(crate) fn is_trusted(sender: Option<SocketAddr>, trusted: &[IpNet]) -> bool {
    sender.is_none_or(|sender| contains(trusted, sender.ip()))
}

/// Drop what an untrusted sender says.
pub(crate) fn distrust(head: &mut RequestHeader) {
    remove(head, is_forwarding);
}

/// Drop what even a trusted proxy may have passed on from its client: fields that it does not write
/// itself, because it says in another one who the client is, and other spellings of those that it writes.
pub(crate) fn trust(head: &mut RequestHeader, field: ClientAddress) {
    remove(head, |name| {
        is_forwarding(name) && !field.is_written_with(name.as_str())
    });
    if field.is_one_address() && only(&head.headers, field.name()).is_none() {
        // Whoever reads it next might find an address in it where we find none.
        head.remove_header(field.name());
    }
}

fn remove(head: &mut RequestHeader, which: impl Fn(&HeaderName) -> bool) {
    let names = head.headers.keys();
    let said: Vec<HeaderName> = names.filter(|name| which(name)).cloned().collect();
    for name in &said {
        head.remove_header(name);
    }
}

/// Whether a field says for whom a request is. CGI and its descendants read `X_Forwarded_For` as the
/// same thing.
pub(crate) fn is_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str();
    if !name.starts_with(['x', 'f', 't', 'c']) {
        return false;
    }
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    let starts = |known: &str| {
        let start = name.bytes().map(plain).take(known.len());
        start.eq(known.bytes())
    };
    let is = |known: &&str| name.len() == known.len() && starts(known);
    FORWARDING.iter().any(is) || FORWARDING_PREFIXES.iter().any(|prefix| starts(prefix))
}

impl ClientAddress {
    /// The field's name.
    fn name(self) -> &'static str {
        match self {
            ClientAddress::XForwardedFor => "x-forwarded-for",
            ClientAddress::Forwarded => "forwarded",
            ClientAddress::XRealIp => "x-real-ip",
            ClientAddress::TrueClientIp => "true-client-ip",
            ClientAddress::CfConnectingIp => "cf-connecting-ip",
        }
    }

    /// Whether it has one address, and no list.
    fn is_one_address(self) -> bool {
        !matches!(
            self,
            ClientAddress::XForwardedFor | ClientAddress::Forwarded
        )
    }

    /// Whether a proxy that says in this field who the client is writes this one too.
    fn is_written_with(self, name: &str) -> bool {
        if name.contains('_') {
            return false;
        }
        match name.strip_prefix("x-forwarded-") {
            Some(said) => match self {
                ClientAddress::XForwardedFor => true,
                // It says all of this itself.
                ClientAddress::Forwarded => false,
                // CDNs write this one of them, and pass on what clients say in the others.
                _ => said == "proto",
            },
            None => {
                name == self.name()
                    || name == "x-request-id"
                    || name.starts_with("client-cert")
                    || name.starts_with("x-client-cert-")
            }
        }
    }
}

/// What the fields of a trusted sender say. The client is the sender itself where they do not say.
pub(crate) fn said(
    sender: Option<SocketAddr>,
    fields: &HeaderMap,
    trusted: &[IpNet],
    field: ClientAddress,
) -> Said {
    let client = match field {
        ClientAddress::Forwarded => return said_in_forwarded(sender, fields, trusted),
        ClientAddress::XForwardedFor => last_untrusted(sender, fields, trusted),
        _ => only(fields, field.name()).or(sender),
    };
    Said {
        client,
        ..Said::default()
    }
}

impl Said {
    /// Say it in the fields that plugins and the upstream read.
    pub(crate) fn pass_on(self, head: &mut RequestHeader) {
        if let Some(proto) = self.proto {
            // It is one of two words.
            let _ = head.insert_header("x-forwarded-proto", proto);
        }
        if let Some(host) = self.host {
            // What is not a value is not passed on.
            let _ = head.insert_header("x-forwarded-host", host);
        }
    }
}

/// The one address in a field. `None` where the field is there twice, or has anything else in it.
fn only(fields: &HeaderMap, name: &str) -> Option<SocketAddr> {
    let mut values = fields.get_all(name).iter();
    let value = values.next().filter(|_| values.next().is_none())?;
    parse(value.as_bytes())
}

/// From the right of `x-forwarded-for`, the first address that is not a trusted proxy's.
fn last_untrusted(
    sender: Option<SocketAddr>,
    fields: &HeaderMap,
    trusted: &[IpNet],
) -> Option<SocketAddr> {
    let values = fields.get_all("x-forwarded-for").iter().rev();
    let mut client = sender;
    for bytes in values.flat_map(|value| value.as_bytes().rsplit(|&byte| byte == b',')) {
        let Some(address) = parse(bytes) else {
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

/// The same with `forwarded`, and what the proxy that names the client says beside it.
fn said_in_forwarded(sender: Option<SocketAddr>, fields: &HeaderMap, trusted: &[IpNet]) -> Said {
    let values = fields.get_all("forwarded").iter().rev();
    let mut said = Said {
        client: sender,
        ..Said::default()
    };
    for element in values.flat_map(|value| forwarded::elements(value.as_bytes())) {
        let Some(element) = element else {
            return said;
        };
        let schemes = ["http", "https"];
        said.proto = element
            .proto
            .and_then(|proto| schemes.into_iter().find(|s| proto.eq_ignore_ascii_case(s)));
        said.host = element.host.map(str::to_owned);
        // Without an address, whoever wrote this is the last that is known.
        let Some(address) = element.from else {
            return said;
        };
        said.client = Some(address);
        if !contains(trusted, address.ip()) {
            return said;
        }
    }
    said
}

/// An address, with or without a port, brackets optional: all forms are met.
fn parse(bytes: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(bytes).ok()?.trim_ascii();
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
mod tests;
