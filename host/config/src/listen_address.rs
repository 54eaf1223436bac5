//! Where a listener listens: an address of its own, or a socket that systemd hands over. One, or a list.

use std::fmt;

use crate::address::Address;
use crate::error::Invalid;
use crate::list::OneOrMany;
use crate::text::Textual;

/// Where a listener listens. `Display` gives what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// An address to bind, unless systemd hands over a socket that is bound to it.
    Bind(Address),
    /// `systemd:NAME`: a socket of this name (`FileDescriptorName=`, systemd.socket(5)) that systemd hands over.
    Systemd(String),
}

impl Textual for ListenAddress {
    const EXPECTED: &'static str = "an address such as \"0.0.0.0:8080\", \"[::]:8080\", \
        \"unix:/run/tidegate.sock\" or \"systemd:NAME\"";
    const PATTERN: Option<&'static str> = Some("^(unix:/.+|systemd:.+|.+:[0-9]+)$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let Some(name) = text.strip_prefix("systemd:") else {
            return Address::parse(text).map(Self::Bind);
        };
        // systemd's own rule for such names, sd_listen_fds(3).
        let legal = |c: char| c.is_ascii_graphic() && c != ':';
        if (1..=255).contains(&name.len()) && name.chars().all(legal) {
            return Ok(Self::Systemd(name.to_owned()));
        }
        Err(Invalid::new(
            format!("`{name}` is not the name of a socket of systemd"),
            "expected the `FileDescriptorName=` of the socket unit, as in \"systemd:web\"",
        ))
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ListenAddress::Bind(address) => address.fmt(f),
            ListenAddress::Systemd(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// One address, or a list of them, each with its place.
pub(crate) type Addresses = OneOrMany<ListenAddress, true>;
