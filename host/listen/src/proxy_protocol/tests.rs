use super::*;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const ALL: &[Version] = &Version::ALL;
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v4(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn whole(bytes: &[u8]) -> (Header, usize) {
    parse(bytes, ALL).unwrap().unwrap()
}

fn error(bytes: &[u8]) -> String {
    match parse(bytes, ALL) {
        Err(error) => error.to_string(),
        Ok(header) => panic!("{header:?} from {:?}", bytes.escape_ascii().to_string()),
    }
}

/// A version 2 header: command and family, what follows them.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [V2, &[command, family], &length, rest].concat()
}

/// From 203.0.113.7:4711 to 192.0.2.1:443.
const ENDS: &[u8] = &[203, 0, 113, 7, 192, 0, 2, 1, 0x12, 0x67, 0x01, 0xbb];

#[test]
fn lines() {
    let (header, length) =
        whole(b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\nGET / HTTP/1.1\r\n");
    let addresses = header.addresses.unwrap();
    assert_eq!(addresses.source, v4("203.0.113.7:4711"));
    assert_eq!(addresses.destination, v4("192.0.2.1:443"));
    assert_eq!(length, 43);

    let (header, _) = whole(b"PROXY TCP6 2001:db8::7 ::1 0 65535\r\n");
    assert_eq!(header.addresses.unwrap().source, v4("[2001:db8::7]:0"));

    // The longest that the specification knows, and the longest there can be.
    let full = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let longest = format!("PROXY UNKNOWN {full} {full} 65535 65535\r\n");
    assert_eq!(longest.len(), 107);
    for line in [
        longest.as_bytes(),
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN \xff\0\r\n",
    ] {
        let (header, length) = whole(line);
        assert_eq!((header.addresses, length), (None, line.len()));
    }
}

#[test]
fn lines_that_are_wrong() {
    for line in [
        "PROXY \r\n",
        "PROXY TCP4\r\n",
        "PROXY  TCP4 203.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY TCP4  203.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 \r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443 1\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\r\n",
        "PROXY TCP4 203.0.113.7\t192.0.2.1 4711 443\r\n",
        "PROXY TCP4 203.0.113.007 192.0.2.1 4711 443\r\n",
        "PROXY TCP4 203.0.113.256 192.0.2.1 4711 443\r\n",
        "PROXY TCP4 203.0.113 192.0.2.1 4711 443\r\n",
        "PROXY TCP4 0xcb.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        "PROXY TCP6 203.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
        "PROXY TCP6 [::1] ::1 4711 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 +4711 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 04711 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
        "PROXY TCP4 203.0.113.7 192.0.2.1  443\r\n",
        "PROXY UDP4 203.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY tcp4 203.0.113.7 192.0.2.1 4711 443\r\n",
        "PROXY UNKNOWNS\r\n",
        "PROXY TCP4 \u{fc}03.0.113.7 192.0.2.1 4711 443\r\n",
    ] {
        assert!(error(line.as_bytes()).contains("not valid"), "{line:?}");
    }
    for line in [
        ["PROXY UNKNOWN ", &"x".repeat(93)].concat(),
        ["PROXY UNKNOWN ", &"x".repeat(92), "\r\n"].concat(),
    ] {
        assert!(error(line.as_bytes()).contains("too long"), "{line:?}");
    }
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PROPFIND ",
        b"PRI * HTTP/2.0",
        b"\x16\x03\x01",
        b"\r\nGET",
        b"proxy ",
        b"V ",
    ] {
        assert_eq!(parse(bytes, ALL), Err(Invalid::Missing), "{bytes:?}");
    }
    for bytes in [&b""[..], b"P", b"PROXY", b"PROXY ", b"\r\n\r\n\0", b"\x56"] {
        assert_eq!(parse(bytes, ALL), Ok(None), "{bytes:?}");
    }
    assert_eq!(parse(b"P", &[Version::V2]), Err(Invalid::Missing));
    let refused = parse(b"PROXY UNKNOWN\r\n", &[Version::V2]);
    assert_eq!(refused, Err(Invalid::NotAccepted(Version::V1)));
}

#[test]
fn binary() {
    for family in [0x11, 0x12] {
        let (header, length) = whole(&[&v2(0x21, family, ENDS), &b"GET"[..]].concat());
        let addresses = header.addresses.unwrap();
        assert_eq!(addresses.source, v4("203.0.113.7:4711"));
        assert_eq!(addresses.destination, v4("192.0.2.1:443"));
        assert_eq!(length, 28);
    }
    let v6: Vec<u8> = (0..36).collect();
    let source = whole(&v2(0x21, 0x21, &v6)).0.addresses.unwrap().source;
    assert_eq!(source, v4("[1:203:405:607:809:a0b:c0d:e0f]:8225"));
}

#[test]
fn a_sender_may_speak_for_itself() {
    let cut_off = &[0x01, 0x00, 0x05, b'h'][..];
    for bytes in [
        v2(0x20, 0x00, b""),
        // All of its block is to be discarded, whatever it is.
        v2(0x20, 0x11, ENDS),
        v2(0x20, 0xff, cut_off),
        v2(0x21, 0x00, cut_off),
        v2(0x21, 0x31, &[0; 216]),
        v2(0x21, 0x32, &[0; 216]),
    ] {
        let (header, length) = whole(&bytes);
        assert_eq!((header.addresses, length), (None, bytes.len()));
    }
}

#[test]
fn binary_that_is_wrong() {
    let long = u16::try_from(BYTES_MAX - 15).unwrap();
    for (bytes, part) in [
        (v2(0x11, 0x11, ENDS), "version"),
        (v2(0x31, 0x11, ENDS), "version"),
        (v2(0x22, 0x11, ENDS), "command"),
        (v2(0x21, 0x41, ENDS), "family"),
        (v2(0x21, 0x01, ENDS), "family"),
        (v2(0x21, 0x10, ENDS), "transport"),
        (v2(0x21, 0x13, ENDS), "transport"),
        (v2(0x21, 0x11, &ENDS[..11]), "too short"),
        (v2(0x21, 0x21, &[0; 35]), "too short"),
        (v2(0x21, 0x31, &[0; 215]), "too short"),
        (
            [V2, &[0x21, 0x11], &long.to_be_bytes()].concat(),
            "too long",
        ),
    ] {
        assert!(error(&bytes).contains(part), "{part}: {}", error(&bytes));
    }
}

fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
    v2(0x21, 0x11, &[ENDS, tlvs].concat())
}

#[test]
fn tlvs_are_read() {
    let tls = [&[0x20, 0, 15, 1, 0, 0, 0, 0, 0x21, 0, 7][..], b"TLSv1.3"].concat();
    let tlvs = [&b"\x02\0\x05a.com"[..], b"\x04\0\x02xx", &tls, b"\xea\0\0"].concat();
    let header = whole(&with_tlvs(&tlvs)).0;
    let tlvs = header.tlvs;
    assert_eq!(tlvs.get(Kind::AUTHORITY), Some(&b"a.com"[..]));
    assert_eq!(tlvs.get(Kind(0xea)), Some(&b""[..]));
    assert_eq!(tlvs.get(Kind::ALPN), None);
    assert_eq!(tlvs.iter().count(), 4);
    let tls = tlvs.tls().unwrap();
    assert_eq!((tls.client, tls.verify), (1, 0));
    assert_eq!(tls.tlvs.get(Kind::TLS_VERSION), Some(&b"TLSv1.3"[..]));
    assert_eq!(tls.tlvs.get(Kind::TLS_CN), None);
}

#[test]
fn tlvs_that_are_cut_off() {
    for tlvs in [
        &b"\x02"[..],
        b"\x02\0",
        b"\x02\0\x05a.co",
        b"\x02\0\x01a\x01\xff\xff",
        b"\x20\0\x04\x01\0\0\0",
        b"\x20\0\x07\x01\0\0\0\0\x21\0",
        b"\x20\0\x08\x01\0\0\0\0\x21\0\x01",
    ] {
        assert!(error(&with_tlvs(tlvs)).contains("cut off"), "{tlvs:?}");
    }
}

#[test]
fn a_checksum_has_to_be_right() {
    let good = with_tlvs(b"\x03\0\x04\0\0\0\0\x02\0\x01a");
    let sum = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(&good);
    let tlv = [&[3, 0, 4][..], &sum.to_be_bytes(), b"\x02\0\x01a"].concat();
    let header = whole(&with_tlvs(&tlv)).0;
    assert_eq!(header.tlvs.get(Kind::AUTHORITY), Some(&b"a"[..]));
    let mut flipped = with_tlvs(&tlv);
    *flipped.last_mut().unwrap() ^= 1;
    assert!(error(&flipped).contains("checksum is wrong"));
    assert!(error(&with_tlvs(b"\x03\0\x03\0\0\0")).contains("checksum is wrong"));
    let twice = [&tlv[..7], &tlv[..7]].concat();
    assert!(error(&with_tlvs(&twice)).contains("two checksums"));
}

#[test]
fn simple_headers() {
    let client = Ipv4Addr::new(203, 0, 113, 7).to_ipv6_mapped().octets();
    let proxy = Ipv6Addr::LOCALHOST.octets();
    let bytes = [
        &[0x56, 0xec][..],
        &client,
        &proxy,
        &[0x12, 0x67, 0x01, 0xbb],
        b"GET",
    ]
    .concat();
    let (header, length) = whole(&bytes);
    let addresses = header.addresses.unwrap();
    assert_eq!(addresses.source, v4("203.0.113.7:4711"));
    assert_eq!(addresses.destination, v4("[::1]:443"));
    assert_eq!(length, 38);
    assert_eq!(parse(&bytes[..37], ALL), Ok(None));
}

#[test]
fn ends_of_two_families_are_written_as_one() {
    let addresses = Addresses {
        source: v4("203.0.113.7:4711"),
        destination: v4("[::1]:443"),
    };
    let line = write(Version::V1, Some(&addresses), &Tlvs::default());
    assert_eq!(line, b"PROXY TCP6 ::ffff:203.0.113.7 ::1 4711 443\r\n");
    let mapped = Addresses {
        source: v4("[::ffff:203.0.113.7]:4711"),
        destination: v4("192.0.2.1:443"),
    };
    let line = write(Version::V1, Some(&mapped), &Tlvs::default());
    assert_eq!(line, b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n");
    assert_eq!(
        write(Version::V2, Some(&mapped), &Tlvs::default()),
        v2(0x21, 0x11, ENDS)
    );
}

#[test]
fn tlvs_have_a_bound() {
    let mut tlvs = Tlvs::default();
    tlvs.push(Kind::UNIQUE_ID, &[0; 4041]).unwrap();
    assert_eq!(tlvs.push(Kind::NOOP, b""), Err(Invalid::TooLong));
    let v6 = Addresses {
        source: v4("[::2]:1"),
        destination: v4("[::3]:2"),
    };
    let bytes = write(Version::V2, Some(&v6), &tlvs);
    assert_eq!(bytes.len(), BYTES_MAX);
    assert_eq!(whole(&bytes).0.tlvs, tlvs);
}

fn ends() -> impl Strategy<Value = Addresses> {
    let v4 = || any::<[u8; 4]>().prop_map(IpAddr::from);
    let v6 = || any::<[u8; 16]>().prop_map(IpAddr::from);
    let ips = prop_oneof![(v4(), v4()), (v6(), v6()), (v4(), v6()), (v6(), v4())];
    (ips, any::<[u16; 2]>()).prop_map(|((from, to), [from_port, to_port])| Addresses {
        source: SocketAddr::new(from, from_port),
        destination: SocketAddr::new(to, to_port),
    })
}

fn same(one: SocketAddr, other: SocketAddr) -> bool {
    canonical(one) == canonical(other)
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(start in 0..4usize, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let start = [&b""[..], b"PROXY ", V2, b"\x56\xec"][start];
        let bytes = [start, &bytes].concat();
        if let Ok(Some((header, length))) = parse(&bytes, ALL) {
            prop_assert!(length <= bytes.len());
            // What was understood can be said again, but for a sum over other bytes.
            if header.tlvs.get(Kind::CRC32C).is_none() {
                let again = write(Version::V2, header.addresses.as_ref(), &header.tlvs);
                let source = |header: &Header| header.addresses.map(|all| canonical(all.source));
                prop_assert_eq!(source(&whole(&again).0), source(&header));
            }
        }
    }

    #[test]
    fn what_is_written_is_read(
        addresses in prop::option::of(ends()),
        version in prop::sample::select(ALL),
        values in prop::collection::vec((0x30..0xffu8, prop::collection::vec(any::<u8>(), 0..100)), 0..8),
        after in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut tlvs = Tlvs::default();
        for (kind, value) in &values {
            tlvs.push(Kind(*kind), value).unwrap();
        }
        let header = write(version, addresses.as_ref(), &tlvs);
        let bytes = [&header[..], &after].concat();
        let (read, length) = whole(&bytes);
        let sent = read.tlvs;
        prop_assert_eq!(length, header.len());
        match (read.addresses, addresses) {
            (Some(read), Some(written)) => {
                prop_assert!(same(read.source, written.source));
                prop_assert!(same(read.destination, written.destination));
                prop_assert_eq!(sent.iter().count(), if version == Version::V2 { values.len() } else { 0 });
            }
            (read, written) => prop_assert_eq!(read, written),
        }
        // Before it is whole, it is awaited.
        for end in 0..header.len() {
            prop_assert_eq!(parse(&header[..end], ALL), Ok(None));
        }
    }
}
