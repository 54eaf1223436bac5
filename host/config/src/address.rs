//! Addresses: what a listener binds, and where peers and other servers are.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::error::Invalid;
use crate::text::Textual;

/// An address to listen on. `Display` gives what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `127.0.0.1:8080` or `[::1]:8080`. Port 0 lets the system choose one.
    Socket(SocketAddr),
    /// `unix:/run/tidegate.sock`
    Unix(PathBuf),
}

/// Where a peer is, or another server. `Display` gives what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PeerAddress {
    /// `127.0.0.1:9000` or `[::1]:9000`; the port is not 0.
    Socket(SocketAddr),
    /// `app.internal:80`: a name to be looked up.
    Name {
        /// Lower case, up to 253 characters of `a-z 0-9 - _ .` (RFC 1035 §2.3.4).
        host: String,
        /// Not 0.
        port: u16,
    },
    /// `unix:/run/app.sock`
    Unix(PathBuf),
}

impl Textual for Address {
    const EXPECTED: &'static str =
        "an address such as \"0.0.0.0:8080\", \"[::]:8080\" or \"unix:/run/tidegate.sock\"";
    const PATTERN: Option<&'static str> = Some("^(unix:/.+|.+:[0-9]+)$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = unix_path(text) {
            return path.map(Address::Unix);
        }
        text.parse().map(Address::Socket).map_err(|_| {
            let help = match text.strip_prefix("localhost:") {
                Some(port) => format!("names are not looked up here; write \"127.0.0.1:{port}\""),
                None => format!("expected {}", Self::EXPECTED),
            };
            Invalid::new(format!("`{text}` is not an address to listen on"), help)
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Textual for PeerAddress {
    const EXPECTED: &'static str = "an address such as \"127.0.0.1:9000\", \"[::1]:9000\", \
        \"app.internal:80\" or \"unix:/run/app.sock\"";
    const PATTERN: Option<&'static str> = Some("^(unix:/.+|.+:[0-9]+)$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some(path) = unix_path(text) {
            return path.map(PeerAddress::Unix);
        }
        let invalid = || {
            Invalid::new(
                format!("`{text}` is not an address to connect to"),
                format!("expected {}", Self::EXPECTED),
            )
        };
        let address = match text.parse::<SocketAddr>() {
            Ok(address) => PeerAddress::Socket(address),
            Err(_) => {
                let (host, port) = text.split_once(':').ok_or_else(invalid)?;
                PeerAddress::Name {
                    host: host_name(host).ok_or_else(invalid)?,
                    port: port.parse().map_err(|_| invalid())?,
                }
            }
        };
        match &address {
            PeerAddress::Socket(socket) if socket.port() == 0 => Err(no_port(text)),
            PeerAddress::Name { port: 0, .. } => Err(no_port(text)),
            _ => Ok(address),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Textual for SocketAddr {
    const EXPECTED: &'static str =
        "an address such as \"10.0.0.1:6379\" or \"[2001:db8::1]:6379\"; names are not looked up";
    const PATTERN: Option<&'static str> = Some("^.+:[0-9]+$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        match text.parse::<SocketAddr>() {
            Ok(address) if address.port() == 0 => Err(no_port(text)),
            Ok(address) => Ok(address),
            Err(_) => Err(Invalid::new(
                format!("`{text}` is not an address and a port"),
                format!("expected {}", <Self as Textual>::EXPECTED),
            )),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeerAddress::Socket(address) => address.fmt(f),
            PeerAddress::Name { host, port } => write!(f, "{host}:{port}"),
            PeerAddress::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl std::str::FromStr for Address {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

/// The path of a Unix socket; `None` where the text is of another kind.
fn unix_path(text: &str) -> Option<Result<PathBuf, Invalid>> {
    let path = text.strip_prefix("unix:")?;
    Some(if !path.starts_with('/') {
        Err(Invalid::new(
            format!("`{path}` is not an absolute path"),
            "expected a path such as \"unix:/run/tidegate.sock\"",
        ))
    } else if path.len() > UNIX_PATH_MAX || path.contains('\0') {
        Err(Invalid::new(
            "the system does not take this path for a socket",
            format!("expected at most {UNIX_PATH_MAX} bytes, none of them zero"),
        ))
    } else {
        Ok(PathBuf::from(path))
    })
}

pub(crate) fn host_name(host: &str) -> Option<String> {
    let host = host.strip_suffix('.').unwrap_or(host);
    let legal = host.len() <= 253
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        });
    // Digits and dots alone are a mistyped IPv4 address, not a name.
    let numeric = host
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (legal && !numeric).then(|| host.to_ascii_lowercase())
}

pub(crate) fn no_port(text: &str) -> Invalid {
    Invalid::new(
        format!("`{text}` has port 0"),
        "expected the port that the other side listens on, 1 to 65535",
    )
}

/// `sun_path` has 108 bytes on Linux and 104 on BSD and macOS, with a zero at the end.
const UNIX_PATH_MAX: usize = 103;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_what_they_write() {
        for text in ["127.0.0.1:0", "[::]:8443", "unix:/run/x.sock"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "127.0.0.1:9000",
            "[::1]:80",
            "app.internal:80",
            "unix:/run/x.sock",
        ] {
            assert_eq!(PeerAddress::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in [
            "",
            ":8080",
            "8080",
            "localhost:80",
            "1.2.3.4",
            "unix:run/x",
            "unix:",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for text in [
            "",
            "app",
            "app:0",
            "app:x",
            "http://app:80",
            "1.2.3:80",
            "a b:80",
            "-..:80",
            "1.2.3.4:0",
            "app:99999",
            "[::1]",
            "unix:relative",
        ] {
            assert!(PeerAddress::parse(text).is_err(), "{text}");
        }
    }
}
