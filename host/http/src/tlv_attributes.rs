//! What a load balancer says of a connection beside whose it is, as attributes of its requests.

use tidegate_chain::Value;
use tidegate_listen::proxy_protocol::{Kind, Tlvs};

/// Attributes of the TLVs of a PROXY protocol header: those that the specification names by name, others
/// as `proxy.tlv.XX` by their type. Of several of one type, the first. Their number and bytes are bounded
/// by the header's.
pub(crate) fn of(tlvs: &Tlvs) -> Vec<(Box<str>, Value)> {
    let mut attributes: Vec<(Box<str>, Value)> = Vec::new();
    let mut set = |name: &str, value| {
        if !attributes.iter().any(|(known, _)| **known == *name) {
            attributes.push((name.into(), value));
        }
    };
    for tlv in tlvs.iter() {
        let bytes = || Value::Bytes(tlv.value.to_vec());
        match tlv.kind {
            Kind::AUTHORITY => set("proxy.authority", text(tlv.value)),
            Kind::ALPN => set("proxy.alpn", text(tlv.value)),
            Kind::UNIQUE_ID => set("proxy.unique-id", bytes()),
            Kind::TLS | Kind::CRC32C | Kind::NOOP => {}
            Kind(other) => set(&format!("proxy.tlv.{other:02x}"), bytes()),
        }
    }
    if let Some(tls) = tlvs.tls() {
        if let Some(version) = tls.tlvs.get(Kind::TLS_VERSION) {
            set("proxy.tls.version", text(version));
        }
        // Anybody can write any name into a certificate that nobody has verified.
        if let Some(name) = tls.tlvs.get(Kind::TLS_CN).filter(|_| tls.is_verified()) {
            set("proxy.tls.cn", text(name));
        }
    }
    attributes
}

fn text(value: &[u8]) -> Value {
    Value::Text(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidegate_listen::proxy_protocol::{Addresses, Version, parse, write};

    /// What the attributes say, as text.
    fn said(tlvs: &[(u8, &[u8])]) -> Vec<(String, String)> {
        let mut written = Tlvs::default();
        for (kind, value) in tlvs {
            written.push(Kind(*kind), value).unwrap();
        }
        let address = "192.0.2.1:1".parse().unwrap();
        let addresses = Addresses {
            source: address,
            destination: address,
        };
        let bytes = write(Version::V2, Some(&addresses), &written);
        let (header, _) = parse(&bytes, &[Version::V2]).unwrap().unwrap();
        let attributes = of(&header.tlvs).into_iter();
        attributes
            .map(|(name, value)| (name.into(), value.text().into_owned()))
            .collect()
    }

    fn expected(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let pairs = pairs.iter();
        pairs
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn named_ones_have_names() {
        let tls = b"\x03\0\0\0\0\x21\0\x07TLSv1.3\x22\0\x05alice";
        let said = said(&[(2, b"a.example"), (1, b"h2"), (5, b"id"), (0x20, tls)]);
        assert_eq!(
            said,
            expected(&[
                ("proxy.authority", "a.example"),
                ("proxy.alpn", "h2"),
                ("proxy.unique-id", "id"),
                ("proxy.tls.version", "TLSv1.3"),
                ("proxy.tls.cn", "alice"),
            ])
        );
    }

    #[test]
    fn a_name_that_the_sender_has_not_verified_is_not_passed_on() {
        // A self-signed certificate (18), and a name without any certificate.
        for tls in [
            b"\x03\0\0\0\x12\x22\0\x04root",
            b"\x01\0\0\0\0\x22\0\x04root",
        ] {
            assert_eq!(said(&[(0x20, tls)]), []);
        }
        let resumed = b"\x05\0\0\0\0\x22\0\x05alice";
        assert_eq!(
            said(&[(0x20, resumed)]),
            expected(&[("proxy.tls.cn", "alice")])
        );
    }

    #[test]
    fn others_are_known_by_type() {
        let said = said(&[(0xea, b"\x01vpce-1"), (0xea, b"again"), (4, b"padding")]);
        assert_eq!(said, expected(&[("proxy.tlv.ea", "\u{1}vpce-1")]));
    }
}
