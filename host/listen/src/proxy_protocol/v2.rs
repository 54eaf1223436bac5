//! Version 2: sixteen bytes that are always there, addresses, TLVs (the specification, §2.2).

use super::{Addresses, BYTES_MAX, Header, Invalid, Tlvs};
use std::net::{IpAddr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and transport, length of the rest.
const FIXED: usize = 16;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// The upper half of the byte for the family; the lower one is the transport.
const UNSPEC: u8 = 0x0;
const INET: u8 = 0x1;
const INET6: u8 = 0x2;
const UNIX: u8 = 0x3;
const STREAM: u8 = 0x1;
const DATAGRAM: u8 = 0x2;
/// Two paths of Unix sockets.
const UNIX_BYTES: usize = 2 * 108;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let Some((&fixed, _)) = bytes.split_first_chunk::<FIXED>() else {
        return Ok(None);
    };
    let [.., command, family, high, low] = fixed;
    let length = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if length > BYTES_MAX {
        return Err(Invalid::TooLong);
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(None);
    };
    let rest = whole.get(FIXED..).unwrap_or_default();
    let (addresses, tlvs) = match command {
        PROXY => proxied(family, rest)?,
        // The sender speaks for itself; what else there is has to be discarded.
        LOCAL => (None, Tlvs::default()),
        _ => return Err(Invalid::Malformed("the version or the command is unknown")),
    };
    tlvs.check_sum(whole)?;
    Ok(Some((Header { addresses, tlvs }, length)))
}

fn proxied(byte: u8, rest: &[u8]) -> Result<(Option<Addresses>, Tlvs), Invalid> {
    let (family, transport) = (byte >> 4, byte & 0xf);
    if byte == UNSPEC {
        // How long the addresses are is not said, so no TLVs can be found behind them.
        return Ok((None, Tlvs::default()));
    }
    if !matches!(transport, STREAM | DATAGRAM) {
        return Err(Invalid::Malformed("the transport is unknown"));
    }
    let (addresses, tlvs) = match family {
        INET => split::<4>(rest).map(|(addresses, tlvs)| (Some(addresses), tlvs)),
        INET6 => split::<16>(rest).map(|(addresses, tlvs)| (Some(addresses), tlvs)),
        UNIX => rest.get(UNIX_BYTES..).map(|tlvs| (None, tlvs)),
        _ => return Err(Invalid::Malformed("the address family is unknown")),
    }
    .ok_or(Invalid::Malformed("it is too short for its addresses"))?;
    Ok((addresses, Tlvs::parse(tlvs)?))
}

/// Addresses of `N` bytes, their ports, and what follows.
fn split<const N: usize>(rest: &[u8]) -> Option<(Addresses, &[u8])>
where
    IpAddr: From<[u8; N]>,
{
    let (source, rest) = rest.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, rest) = rest.split_first_chunk::<2>()?;
    let address =
        |ip: &[u8; N], port: &[u8; 2]| SocketAddr::new((*ip).into(), u16::from_be_bytes(*port));
    let addresses = Addresses {
        source: address(source, source_port),
        destination: address(destination, destination_port),
    };
    Some((addresses, rest))
}

pub(super) fn write(addresses: Option<Addresses>, tlvs: &Tlvs) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let Some(addresses) = addresses else {
        header.extend([LOCAL, UNSPEC, 0, 0]);
        return header;
    };
    let mut rest = Vec::new();
    let ends = [addresses.source, addresses.destination];
    for end in ends {
        match end.ip() {
            IpAddr::V4(v4) => rest.extend(v4.octets()),
            IpAddr::V6(v6) => rest.extend(v6.octets()),
        }
    }
    rest.extend(ends.iter().flat_map(|end| end.port().to_be_bytes()));
    rest.extend_from_slice(tlvs.as_bytes());
    let family = if addresses.source.is_ipv4() {
        INET
    } else {
        INET6
    };
    header.extend([PROXY, family << 4 | STREAM]);
    // Never more: addresses are short, and `Tlvs` has a bound.
    let length = u16::try_from(rest.len()).unwrap_or(u16::MAX);
    header.extend(length.to_be_bytes());
    header.extend(rest);
    header
}
