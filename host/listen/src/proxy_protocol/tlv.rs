//! What version 2 says beside addresses: type, length, value (the specification, §2.2).

use super::{BYTES_MAX, Invalid};
use crc::{CRC_32_ISCSI, Crc};

/// CRC-32C. Without a table: a header is short, and few have a checksum.
const CRC: Crc<u32, crc::NoTable> = Crc::<u32, crc::NoTable>::new(&CRC_32_ISCSI);

/// The type of a TLV.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

impl Kind {
    /// The protocol that was agreed on, as ALPN names it.
    pub const ALPN: Kind = Kind(0x01);
    /// The host that the client asked for: TLS server name or such.
    pub const AUTHORITY: Kind = Kind(0x02);
    /// CRC-32C of the header. Checked, not shown.
    pub const CRC32C: Kind = Kind(0x03);
    /// Padding. Not shown.
    pub const NOOP: Kind = Kind(0x04);
    /// An id of the connection.
    pub const UNIQUE_ID: Kind = Kind(0x05);
    /// That the client spoke TLS, and how: see [`Tls`].
    pub const TLS: Kind = Kind(0x20);
    /// Within [`Kind::TLS`]: the version, such as `TLSv1.3`.
    pub const TLS_VERSION: Kind = Kind(0x21);
    /// Within [`Kind::TLS`]: the common name of the client's certificate.
    pub const TLS_CN: Kind = Kind(0x22);
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its value.
    pub value: &'a [u8],
}

/// The TLVs of a header, in its order. At most [`BYTES_MAX`] bytes, in which every TLV is whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tlvs(Vec<u8>);

/// How the client speaks TLS with the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// Bits: 1 for TLS, 2 for a certificate on this connection, 4 for one in this session.
    pub client: u8,
    /// 0 where the client's certificate was verified.
    pub verify: u32,
    /// More, such as [`Kind::TLS_VERSION`].
    pub tlvs: Tlvs,
}

impl Tls {
    /// Bits of `client`: a certificate was sent on this connection, or earlier in its session.
    const CERTIFICATE: u8 = 2 | 4;

    /// Whether the sender vouches for the client's certificate. A sender that only asks for one, and takes any, reports
    /// it with the error in `verify`.
    pub fn is_verified(&self) -> bool {
        self.verify == 0 && self.client & Self::CERTIFICATE != 0
    }
}

impl Tlvs {
    /// Check that every TLV is whole, and each that has a form of its own.
    pub(super) fn parse(bytes: &[u8]) -> Result<Tlvs, Invalid> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (tlv, after) = first(rest).ok_or(Invalid::Malformed("a TLV is cut off"))?;
            if tlv.kind == Kind::TLS {
                Tls::parse(tlv.value)?;
            }
            rest = after;
        }
        Ok(Tlvs(bytes.to_vec()))
    }

    /// Add one.
    ///
    /// # Errors
    /// They would not fit into a header.
    pub fn push(&mut self, kind: Kind, value: &[u8]) -> Result<(), Invalid> {
        // What else a header has: 16 bytes, and two addresses of IPv6.
        let room = BYTES_MAX - 16 - 36;
        if self.0.len() + 3 + value.len() > room {
            return Err(Invalid::TooLong);
        }
        let length = u16::try_from(value.len()).map_err(|_| Invalid::TooLong)?;
        self.0.push(kind.0);
        self.0.extend(length.to_be_bytes());
        self.0.extend_from_slice(value);
        Ok(())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'_>> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            let (tlv, after) = first(rest)?;
            rest = after;
            Some(tlv)
        })
    }

    /// The value of the first of this type.
    pub fn get(&self, kind: Kind) -> Option<&[u8]> {
        self.iter()
            .find(|tlv| tlv.kind == kind)
            .map(|tlv| tlv.value)
    }

    /// How the client speaks TLS with the sender, where it says so.
    pub fn tls(&self) -> Option<Tls> {
        // Was checked.
        Tls::parse(self.get(Kind::TLS)?).ok()
    }

    /// As they are sent.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Compare the checksum, where there is one, with that of the header, which these TLVs end. The sum
    /// is taken with zeros in its own place.
    pub(super) fn check_sum(&self, header: &[u8]) -> Result<(), Invalid> {
        let mut sums = self.iter().filter(|tlv| tlv.kind == Kind::CRC32C);
        let Some(sum) = sums.next() else {
            return Ok(());
        };
        let wrong = Invalid::Malformed("the checksum is wrong");
        let said: [u8; 4] = sum.value.try_into().map_err(|_| wrong)?;
        if sums.next().is_some() {
            return Err(Invalid::Malformed("there are two checksums"));
        }
        let before = self.iter().take_while(|tlv| tlv.kind != Kind::CRC32C);
        let before: usize = before.map(|tlv| 3 + tlv.value.len()).sum();
        let at = header.len() - self.0.len() + before + 3;
        let (head, rest) = header.split_at_checked(at).ok_or(wrong)?;
        let mut digest = CRC.digest();
        digest.update(head);
        digest.update(&[0; 4]);
        digest.update(rest.get(4..).unwrap_or_default());
        match digest.finalize() == u32::from_be_bytes(said) {
            true => Ok(()),
            false => Err(wrong),
        }
    }
}

impl Tls {
    fn parse(value: &[u8]) -> Result<Tls, Invalid> {
        let short = Invalid::Malformed("the TLV about TLS is cut off");
        let (&[client], rest) = value.split_first_chunk().ok_or(short)?;
        let (verify, rest) = rest.split_first_chunk().ok_or(short)?;
        let mut left = rest;
        while !left.is_empty() {
            left = first(left).ok_or(short)?.1;
        }
        Ok(Tls {
            client,
            verify: u32::from_be_bytes(*verify),
            tlvs: Tlvs(rest.to_vec()),
        })
    }
}

/// The first TLV, and what follows; `None` where it is not whole.
fn first(bytes: &[u8]) -> Option<(Tlv<'_>, &[u8])> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk()?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, rest) = rest.split_at_checked(length)?;
    let kind = Kind(kind);
    Some((Tlv { kind, value }, rest))
}
