//! `Forwarded` (RFC 7239), read from its right end.
//!
//! From the right, because each proxy adds to that end: what stands to the left may have been written by
//! anybody, and must not change how the rest reads. Read from the left, a quote that a client opens would
//! swallow what the trusted proxy wrote. For the same reason there are no escapes: no address needs them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Parameters of one element. There are four in the RFC; each is compared with those before it.
const PARAMETERS_MAX: usize = 16;

/// What one proxy says of the request that it got.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Element<'a> {
    /// From whom. `None` for `unknown`, names that hide an address, and where nothing is said.
    pub(crate) from: Option<SocketAddr>,
    /// Over what: `http` or `https`, as it is written.
    pub(crate) proto: Option<&'a str>,
    /// For which host.
    pub(crate) host: Option<&'a str>,
}

/// The elements of a field's value, the last one first, until one is not valid.
pub(crate) fn elements(value: &[u8]) -> impl Iterator<Item = Option<Element<'_>>> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let (before, element) = split_last(rest?);
        rest = before;
        Some(element.trim_ascii())
    })
    // Lists may have empty elements (RFC 9110 §5.6.1).
    .filter(|element| !element.is_empty())
    .map(element)
}

/// What is before the last comma outside quotes, and what is after it.
fn split_last(value: &[u8]) -> (Option<&[u8]>, &[u8]) {
    let mut quoted = false;
    let comma = value.iter().rposition(|&byte| {
        quoted ^= byte == b'"';
        byte == b',' && !quoted
    });
    match comma.and_then(|at| value.split_at_checked(at)) {
        Some((before, element)) => (Some(before), element.get(1..).unwrap_or_default()),
        None => (None, value),
    }
}

/// `None` for what is not valid (RFC 7239 §4).
fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let mut rest = str::from_utf8(bytes).ok()?;
    let mut element = Element::default();
    let mut seen = Vec::new();
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, after) = value(after)?;
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        let again = seen.iter().any(|&before| is(before));
        if !is_token(name) || again || seen.len() == PARAMETERS_MAX {
            return None;
        }
        seen.push(name);
        if is("for") {
            element.from = node(value)?;
        } else if is("proto") {
            element.proto = Some(value);
        } else if is("host") {
            element.host = Some(value);
        }
        let Some(more) = after.trim_ascii_start().strip_prefix(';') else {
            return after.is_empty().then_some(element);
        };
        rest = more.trim_ascii_start();
    }
}

/// A token or a quoted string, and what follows.
fn value(text: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, after) = quoted.split_once('"')?;
        let plain = |byte: u8| matches!(byte, b'\t' | b' '..=b'~') && byte != b'\\';
        return value.bytes().all(plain).then_some((value, after));
    }
    let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
    let (value, after) = text.split_at_checked(end)?;
    is_token(value).then_some((value, after))
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A node (RFC 7239 §6): the outer `None` for what is none, the inner one for one without an address.
fn node(text: &str) -> Option<Option<SocketAddr>> {
    let (name, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (v6, after) = rest.split_once(']')?;
            let ip = IpAddr::V6(v6.parse::<Ipv6Addr>().ok()?);
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':')?),
            };
            (Some(ip), port)
        }
        None => {
            let (name, port) = match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            };
            let hidden = name.eq_ignore_ascii_case("unknown") || is_obfuscated(name);
            let ip = match hidden {
                true => None,
                false => Some(IpAddr::V4(name.parse::<Ipv4Addr>().ok()?)),
            };
            (ip, port)
        }
    };
    let port = match port {
        None => 0,
        Some(port) if is_obfuscated(port) => 0,
        Some(port) => {
            let digits = (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| port.parse().ok())??
        }
    };
    Some(name.map(|ip| SocketAddr::new(ip, port)))
}

fn is_obfuscated(text: &str) -> bool {
    text.len() > 1
        && text.starts_with('_')
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// From whom, from the right: addresses, `-` for none, `!` for what is not valid.
    fn from(value: &str) -> Vec<String> {
        elements(value.as_bytes())
            .map(|element| match element {
                Some(Element { from: Some(ip), .. }) => ip.to_string(),
                Some(_) => "-".to_owned(),
                None => "!".to_owned(),
            })
            .collect()
    }

    #[test]
    fn the_forms_of_the_rfc() {
        for (value, expected) in [
            ("for=\"_gazonk\"", &["-"][..]),
            (
                "For=\"[2001:db8:cafe::17]:4711\"",
                &["[2001:db8:cafe::17]:4711"],
            ),
            (
                "for=192.0.2.60;proto=http;by=203.0.113.43",
                &["192.0.2.60:0"],
            ),
            (
                "for=192.0.2.43, for=198.51.100.17",
                &["198.51.100.17:0", "192.0.2.43:0"],
            ),
            ("for=_hidden, for=_SEVKISEK", &["-", "-"]),
            (
                "for=192.0.2.43,for=\"[2001:db8:cafe::17]\",for=unknown",
                &["-", "[2001:db8:cafe::17]:0", "192.0.2.43:0"],
            ),
            ("for=\"192.0.2.43:_x\" ; proto=https", &["192.0.2.43:0"]),
            ("by=192.0.2.1", &["-"]),
            ("", &[]),
            (" , ,for=192.0.2.43, ", &["192.0.2.43:0"]),
        ] {
            assert_eq!(from(value), expected, "{value}");
        }
        let all: Vec<_> = elements(b"for=192.0.2.43;HOST=\"a.example:80\";proto=https").collect();
        let expected = Element {
            from: Some("192.0.2.43:0".parse().unwrap()),
            proto: Some("https"),
            host: Some("a.example:80"),
        };
        assert_eq!(all, [Some(expected)]);
    }

    #[test]
    fn what_is_not_valid() {
        for value in [
            "for",
            "for=",
            "for=;",
            "for=\"",
            "for=\"\"",
            "=192.0.2.43",
            "for =192.0.2.43",
            "for= 192.0.2.43",
            "for=192.0.2.43;",
            "for=192.0.2.43;;proto=http",
            "for=192.0.2.43 proto=http",
            "for=192.0.2.43;for=192.0.2.44",
            "for=192.0.2.43;FOR=192.0.2.43",
            "for=192.0.2.43:80",
            "for=[2001:db8::1]",
            "for=\"2001:db8::1\"",
            "for=\"[2001:db8::1]80\"",
            "for=\"[192.0.2.43]\"",
            "for=\"192.0.2.43:\"",
            "for=\"192.0.2.43:+80\"",
            "for=\"192.0.2.43:65536\"",
            "for=\"192.0.2.43:000080\"",
            "for=192.0.2.043",
            "for=192.0.2",
            "for=\"192.0.2.43\"x",
            "for=\"192.0.2\\.43\"",
            "for=a.example",
            "for=_",
            "for=_a!",
            "for=\"_\u{e4}\"",
        ] {
            assert_eq!(from(value), ["!"], "{value}");
        }
        let with = |count| {
            let more = (1..count).map(|n| format!(";p{n}=x")).collect::<String>();
            from(&format!("for=192.0.2.43{more}"))
        };
        assert_eq!(with(PARAMETERS_MAX), ["192.0.2.43:0"]);
        assert_eq!(with(PARAMETERS_MAX + 1), ["!"]);
    }

    #[test]
    fn what_stands_to_the_left_does_not_change_the_right() {
        for left in [
            "for=\"",
            "for=\"\\",
            "for=6.6.6.6\"",
            "\"",
            "for=\"x\\\"",
            "\u{ff}",
        ] {
            let value = format!("{left}, for=\"[2001:db8::7]:1\", for=10.0.0.1");
            assert_eq!(
                from(&value)[..2],
                ["10.0.0.1:0", "[2001:db8::7]:1"],
                "{left}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(value in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(elements(&value).count() <= value.len());
        }

        #[test]
        fn nothing_to_the_left_matters(
            left in "[ -~]{0,60}",
            ips in prop::collection::vec(any::<std::net::IpAddr>(), 1..5),
            port in any::<u16>(),
        ) {
            let written: Vec<String> = ips
                .iter()
                .map(|&ip| format!("for=\"{}\";proto=https", SocketAddr::new(ip, port)))
                .collect();
            let value = format!("{left},{}", written.join(" , "));
            let read: Vec<_> = elements(value.as_bytes())
                .take(ips.len())
                .map(|element| element.and_then(|element| element.from))
                .collect();
            let expected: Vec<_> = ips.iter().rev().map(|&ip| Some(SocketAddr::new(ip, port))).collect();
            prop_assert_eq!(read, expected);
        }
    }
}
