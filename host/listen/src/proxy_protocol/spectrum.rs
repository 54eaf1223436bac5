//! Cloudflare's simple proxy header: 38 bytes, addresses as IPv6. Cloudflare sends it with datagrams.

use super::{Addresses, Header, Invalid, Tlvs, canonical, mapped};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

pub(super) const SIGNATURE: &[u8] = &[0x56, 0xEC];

const BYTES: usize = 38;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let said = bytes.get(SIGNATURE.len()..BYTES);
    let Some(addresses) = said.and_then(addresses) else {
        return Ok(None);
    };
    let header = Header {
        addresses: Some(addresses).filter(|all| !all.source.ip().is_unspecified()),
        tlvs: Tlvs::default(),
    };
    Ok(Some((header, BYTES)))
}

fn addresses(said: &[u8]) -> Option<Addresses> {
    let (source, rest) = said.split_first_chunk::<16>()?;
    let (destination, rest) = rest.split_first_chunk::<16>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    let address = |ip: &[u8; 16], port: &[u8; 2]| {
        canonical(SocketAddr::new(
            Ipv6Addr::from(*ip).into(),
            u16::from_be_bytes(*port),
        ))
    };
    Some(Addresses {
        source: address(source, source_port),
        destination: address(destination, destination_port),
    })
}

pub(super) fn write(addresses: Option<Addresses>) -> Vec<u8> {
    let nobody = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
    let ends = addresses.map_or([nobody; 2], |all| [all.source, all.destination]);
    let mut header = SIGNATURE.to_vec();
    for end in ends.map(mapped) {
        if let IpAddr::V6(v6) = end.ip() {
            header.extend(v6.octets());
        }
    }
    header.extend(ends.iter().flat_map(|end| end.port().to_be_bytes()));
    header
}
