//! Where a Redis server is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use ::redis::ConnectionAddr;

/// The port of a Redis server where the address has none.
const PORT: u16 = 6379;

/// An address: `host`, `host:port`, `[2001:db8::1]:6379` or `unix:/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A name or an IP address, and a port.
    Tcp(String, u16),
    /// The absolute path of a socket.
    Unix(PathBuf),
}

/// Why something is no address.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidAddress {
    #[error(
        "expected `host:port` or `unix:/path`, not a URL: user, password and database have keys of their own"
    )]
    Url,
    #[error("expected an absolute path after `unix:`")]
    Path,
    #[error("expected a host, as in `redis.example:6379`, `10.0.0.1` or `[::1]:6379`")]
    Host,
    #[error("expected a port from 1 to 65535")]
    Port,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Address, InvalidAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') && !path.contains('\0') {
                true => Ok(Address::Unix(path.into())),
                false => Err(InvalidAddress::Path),
            };
        }
        if text.contains("://") {
            return Err(InvalidAddress::Url);
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or(InvalidAddress::Host)?;
                let known = host.parse::<std::net::Ipv6Addr>().is_ok();
                (known.then_some(host), port)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (is_host(host).then_some(host), port)
            }
        };
        let host = host.ok_or(InvalidAddress::Host)?;
        if port.is_empty() {
            return Ok(Address::Tcp(host.to_owned(), PORT));
        }
        let port = port.strip_prefix(':').and_then(|port| port.parse().ok());
        match port {
            None | Some(0) => Err(InvalidAddress::Port),
            Some(port) => Ok(Address::Tcp(host.to_owned(), port)),
        }
    }
}

fn is_host(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    (1..=253).contains(&text.len()) && text.bytes().all(fits)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp(host, port) => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<Address> for ConnectionAddr {
    fn from(address: Address) -> ConnectionAddr {
        match address {
            Address::Tcp(host, port) => ConnectionAddr::Tcp(host, port),
            Address::Unix(path) => ConnectionAddr::Unix(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_parsed_and_shown_in_one_form() {
        for (text, shown) in [
            ("redis.example", "redis.example:6379"),
            ("10.0.0.1:1234", "10.0.0.1:1234"),
            ("[::1]", "[::1]:6379"),
            ("[2001:db8::1]:7000", "[2001:db8::1]:7000"),
            ("unix:/run/redis.sock", "unix:/run/redis.sock"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(shown.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for (text, why) in [
            ("", InvalidAddress::Host),
            (":6379", InvalidAddress::Host),
            ("a b", InvalidAddress::Host),
            ("[::1", InvalidAddress::Host),
            ("[localhost]", InvalidAddress::Host),
            ("::1", InvalidAddress::Host),
            ("host:", InvalidAddress::Port),
            ("host:0", InvalidAddress::Port),
            ("host:65536", InvalidAddress::Port),
            ("host:1:2", InvalidAddress::Port),
            ("[::1]6379", InvalidAddress::Port),
            ("unix:relative", InvalidAddress::Path),
            ("redis://:secret@host", InvalidAddress::Url),
        ] {
            assert_eq!(text.parse::<Address>(), Err(why), "{text}");
        }
    }
}
