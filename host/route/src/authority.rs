//! The host that a request names, in the one form that routing compares: without port, lower case,
//! IPv6 addresses in brackets and in their short form.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Why a `Host` value or an authority names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// Nothing is left without the port and the trailing dot.
    #[error("the host is empty")]
    Empty,
    /// More than 253 bytes, the limit of RFC 1035 §2.3.4 as text.
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// Neither a letter, digit, `-`, `_` nor a dot: also userinfo (`@`), lists (`,`) and spaces.
    #[error("{0:?} cannot stand in a host; it has letters, digits, `-`, `_` and dots")]
    Character(char),
    /// Two dots in a row, a leading dot, or more than 63 bytes between dots (RFC 1035 §2.3.4).
    #[error("the host has an empty label or one longer than 63 bytes")]
    Label,
    /// What follows the colon is no port.
    #[error("the port is not a number from 0 to 65535")]
    Port,
    /// An address that is not IPv6, has a zone, or has no brackets or bad ones.
    #[error("not an IPv6 address in brackets such as `[::1]`")]
    Ipv6,
}

/// Gives the host of a `Host` value or of a URI's authority (RFC 9110 §7.2, RFC 3986 §3.2).
///
/// Strips a port and one trailing dot, makes letters lower case and IPv6 addresses canonical
/// (RFC 5952). Borrows when the host already has that form. An internationalised name must come in
/// its ASCII form (`xn--…`).
///
/// # Errors
///
/// Anything but one name, IPv4 address or bracketed IPv6 address with at most a port; see
/// [`HostError`]. Such a request deserves a 400.
pub fn host(authority: &str) -> Result<Cow<'_, str>, HostError> {
    if authority.starts_with('[') {
        return ipv6(authority);
    }
    let name = match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => return Err(HostError::Ipv6),
        Some((name, port)) => {
            check_port(port)?;
            name
        }
        None => authority,
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    check_name(name)?;
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Ok(Cow::Owned(name.to_ascii_lowercase()));
    }
    Ok(Cow::Borrowed(name))
}

/// A leading `[` was seen: an IPv6 address in brackets, perhaps with a port.
fn ipv6(authority: &str) -> Result<Cow<'_, str>, HostError> {
    let end = authority.find(']').ok_or(HostError::Ipv6)?;
    let (bracketed, rest) = authority.split_at(end + 1);
    match rest.strip_prefix(':') {
        Some(port) => check_port(port)?,
        None if rest.is_empty() => {}
        None => return Err(HostError::Ipv6),
    }
    let address: Ipv6Addr = bracketed
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .and_then(|address| address.parse().ok())
        .ok_or(HostError::Ipv6)?;
    let canonical = format!("[{address}]");
    if canonical == bracketed {
        return Ok(Cow::Borrowed(bracketed));
    }
    Ok(Cow::Owned(canonical))
}

/// An empty port is a port too: RFC 3986 §3.2.3 allows `example.com:`.
fn check_port(port: &str) -> Result<(), HostError> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    if port.is_empty() || (digits && port.parse::<u16>().is_ok()) {
        return Ok(());
    }
    Err(HostError::Port)
}

fn check_name(name: &str) -> Result<(), HostError> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if let Some(bad) = name.chars().find(|&c| !allowed(c)) {
        return Err(HostError::Character(bad));
    }
    if name.is_empty() {
        return Err(HostError::Empty);
    }
    if name.len() > 253 {
        return Err(HostError::TooLong);
    }
    if name
        .split('.')
        .any(|label| label.is_empty() || label.len() > 63)
    {
        return Err(HostError::Label);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_host_in_its_form_is_borrowed() {
        for fine in [
            "example.com",
            "a_b-c.1",
            "127.0.0.1",
            "localhost",
            "[::1]",
            "xn--bcher-kva.example",
        ] {
            assert!(
                matches!(host(fine), Ok(Cow::Borrowed(same)) if same == fine),
                "{fine}"
            );
        }
        assert!(matches!(
            host("example.com:80"),
            Ok(Cow::Borrowed("example.com"))
        ));
    }

    #[test]
    fn port_dot_and_case_do_not_matter() {
        for (given, wanted) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:443", "example.com"),
            ("example.com:", "example.com"),
            ("[::1]:8443", "[::1]"),
            ("[0:0:0:0:0:0:0:1]", "[::1]"),
            ("[2001:DB8::A]", "[2001:db8::a]"),
        ] {
            assert_eq!(host(given).as_deref(), Ok(wanted), "{given}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for (given, error) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            (".", HostError::Empty),
            ("user@example.com", HostError::Character('@')),
            ("a.example, b.example", HostError::Character(',')),
            ("a b", HostError::Character(' ')),
            ("a\tb", HostError::Character('\t')),
            ("a\0", HostError::Character('\0')),
            ("a/b", HostError::Character('/')),
            ("a%2eb", HostError::Character('%')),
            ("bücher.example", HostError::Character('ü')),
            ("a]", HostError::Character(']')),
            ("a..b", HostError::Label),
            (".a", HostError::Label),
            ("a..", HostError::Label),
            ("example.com:http", HostError::Port),
            ("example.com:65536", HostError::Port),
            ("example.com:+80", HostError::Port),
            ("user:pass@example.com", HostError::Port),
            ("::1", HostError::Ipv6),
            ("[::1", HostError::Ipv6),
            ("[::1]x", HostError::Ipv6),
            ("[[::1]]", HostError::Ipv6),
            ("[[::1]", HostError::Ipv6),
            ("[127.0.0.1]", HostError::Ipv6),
            ("[fe80::1%25eth0]", HostError::Ipv6),
            ("[]", HostError::Ipv6),
            ("a:1:2", HostError::Ipv6),
        ] {
            assert_eq!(host(given), Err(error), "{given:?}");
        }
        assert_eq!(host(&"a.".repeat(127)), Ok("a.".repeat(127)[..253].into()));
        assert_eq!(host(&"a.".repeat(128)), Err(HostError::TooLong));
        assert_eq!(host(&"a".repeat(64)), Err(HostError::Label));
    }

    proptest! {
        #[test]
        fn the_form_is_stable(authority in "\\PC*|\\[?[0-9A-Fa-f:.]{0,12}\\]?(:[0-9]{0,6})?|[A-Za-z0-9._:-]{0,20}") {
            if let Ok(once) = host(&authority) {
                prop_assert_eq!(host(&once), Ok(Cow::Borrowed(once.as_ref())));
                prop_assert!(!once.bytes().any(|byte| byte.is_ascii_uppercase()));
            }
        }
    }
}
