//! The PROXY protocol: a header before the first byte of a connection, in which a load balancer says
//! whose connection it passes on.
//!
//! Read and written are versions 1 (a line of text) and 2 (binary, with TLVs), as in HAProxy's
//! [specification](https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt) ("the specification"
//! in this module), and Cloudflare's [simple proxy
//! header](https://developers.cloudflare.com/spectrum/reference/simple-proxy-protocol-header/).
//!
//! [`parse`] and [`write`] are pure; [`read`] takes a header, and nothing else, from a connection;
//! [`Senders`] are those from whom it is taken.

mod read;
mod senders;
mod spectrum;
#[cfg(test)]
mod tests;
mod tlv;
mod v1;
mod v2;

pub use read::{ReadError, read};
pub use senders::Senders;
pub use tlv::{Kind, Tls, Tlv, Tlvs};

use std::fmt;
use std::net::SocketAddr;

/// The most bytes of a header that are read, TLVs included. The specification allows 64 KiB; what
/// balancers send is below 1 KiB.
pub const BYTES_MAX: usize = 4096;

/// The form of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary, with TLVs.
    V2,
    /// Cloudflare's simple proxy header.
    Spectrum,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Version::V1 => "v1",
            Version::V2 => "v2",
            Version::Spectrum => "spectrum",
        })
    }
}

impl Version {
    const ALL: [Version; 3] = [Version::V1, Version::V2, Version::Spectrum];

    /// What a header of this version begins with. No HTTP request and no TLS record does.
    fn signature(self) -> &'static [u8] {
        match self {
            Version::V1 => v1::SIGNATURE,
            Version::V2 => v2::SIGNATURE,
            Version::Spectrum => spectrum::SIGNATURE,
        }
    }
}

/// What a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whose connection it is. `None` where the sender speaks for itself (v2 `LOCAL`, as in health
    /// checks) or does not say (v1 `UNKNOWN`, v2 `UNSPEC`, Unix sockets): then the connection is the sender's.
    pub addresses: Option<Addresses>,
    /// What else it says; version 2 only.
    pub tlvs: Tlvs,
}

/// The two ends of the connection that is passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected to the sender.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// They begin with something else.
    #[error("there is no PROXY protocol header")]
    Missing,
    /// It is one, of a version that is not accepted.
    #[error("PROXY protocol {0} is not accepted here")]
    NotAccepted(Version),
    /// A line of version 1 without an end, or more than [`BYTES_MAX`].
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// A part of it is wrong.
    #[error("the PROXY protocol header is not valid: {0}")]
    Malformed(&'static str),
}

/// Read a header of one of the accepted versions from the start of `bytes`: the header and its length,
/// or `None` while more bytes could make it whole.
///
/// # Errors
/// No bytes that follow could make these a header.
pub fn parse(bytes: &[u8], accept: &[Version]) -> Result<Option<(Header, usize)>, Invalid> {
    let all = Version::ALL.iter();
    let begun = |version: &&Version| bytes.starts_with(version.signature());
    let Some(version) = all.clone().find(begun) else {
        let could = |version: &Version| version.signature().starts_with(bytes);
        let mut candidates = all.filter(|version| accept.contains(version));
        return match candidates.any(could) {
            true => Ok(None),
            false => Err(Invalid::Missing),
        };
    };
    if !accept.contains(version) {
        return Err(Invalid::NotAccepted(*version));
    }
    match version {
        Version::V1 => v1::parse(bytes),
        Version::V2 => v2::parse(bytes),
        Version::Spectrum => spectrum::parse(bytes),
    }
}

/// A header for a connection of these addresses, or for one of the sender's own. TLVs are written in
/// version 2 only, and not for the sender's own.
pub fn write(version: Version, addresses: Option<&Addresses>, tlvs: &Tlvs) -> Vec<u8> {
    let addresses = addresses.map(Addresses::of_one_family);
    match version {
        Version::V1 => v1::write(addresses),
        Version::V2 => v2::write(addresses, tlvs),
        Version::Spectrum => spectrum::write(addresses),
    }
}

impl Addresses {
    /// Both IPv4, or both IPv6: no version can say anything else.
    fn of_one_family(&self) -> Addresses {
        let (source, destination) = (canonical(self.source), canonical(self.destination));
        let same = source.is_ipv4() == destination.is_ipv4();
        let form = |address| if same { address } else { mapped(address) };
        Addresses {
            source: form(source),
            destination: form(destination),
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An IPv4 address as IPv6 writes it.
fn mapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) => SocketAddr::new(v4.ip().to_ipv6_mapped().into(), v4.port()),
        v6 @ SocketAddr::V6(_) => v6,
    }
}
