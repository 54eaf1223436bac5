//! Version 1: `PROXY TCP4 203.0.113.7 192.0.2.1 51234 443\r\n` (the specification, §2.1).

use super::{Addresses, Header, Invalid, Tlvs};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line, with its end.
const LINE_MAX: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Invalid> {
    let line = bytes.get(..LINE_MAX).unwrap_or(bytes);
    let Some(end) = line.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return match line.len() {
            LINE_MAX => Err(Invalid::TooLong),
            _ => Ok(None),
        };
    };
    let (text, rest) = line.split_at(end);
    match rest {
        [b'\r', b'\n', ..] => {}
        [b'\r'] if line.len() < LINE_MAX => return Ok(None),
        [b'\r'] => return Err(Invalid::TooLong),
        _ => return Err(Invalid::Malformed("the line does not end in CR LF")),
    }
    let header = Header {
        addresses: addresses(text)?,
        tlvs: Tlvs::default(),
    };
    Ok(Some((header, end + 2)))
}

fn addresses(line: &[u8]) -> Result<Option<Addresses>, Invalid> {
    let said = line.strip_prefix(SIGNATURE).unwrap_or_default();
    // Whatever follows is to be ignored.
    if said == b"UNKNOWN" || said.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let text = str::from_utf8(said).map_err(|_| Invalid::Malformed("the line is not text"))?;
    let words: Vec<&str> = text.splitn(6, ' ').collect();
    let &[family, source, destination, source_port, destination_port] = &*words else {
        return Err(Invalid::Malformed("the line has not six words"));
    };
    let parse = match family {
        "TCP4" => ip::<Ipv4Addr>,
        "TCP6" => ip::<Ipv6Addr>,
        _ => {
            return Err(Invalid::Malformed(
                "the family is not TCP4, TCP6 or UNKNOWN",
            ));
        }
    };
    Ok(Some(Addresses {
        source: SocketAddr::new(parse(source)?, port(source_port)?),
        destination: SocketAddr::new(parse(destination)?, port(destination_port)?),
    }))
}

fn ip<T: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Invalid> {
    let parsed = text.parse::<T>();
    parsed
        .map(T::into)
        .map_err(|_| Invalid::Malformed("an address is not one of its family"))
}

/// Digits alone, without leading zeros: `u16` would also read `+80` and `080`.
fn port(text: &str) -> Result<u16, Invalid> {
    let invalid = Invalid::Malformed("a port is not a number from 0 to 65535");
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || text.len() > 1 && text.starts_with('0') {
        return Err(invalid);
    }
    text.parse().map_err(|_| invalid)
}

pub(super) fn write(addresses: Option<Addresses>) -> Vec<u8> {
    let Some(Addresses {
        source,
        destination,
    }) = addresses
    else {
        return b"PROXY UNKNOWN\r\n".to_vec();
    };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    format!(
        "PROXY {family} {} {} {} {}\r\n",
        source.ip(),
        destination.ip(),
        source.port(),
        destination.port()
    )
    .into_bytes()
}
