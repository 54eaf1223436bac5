//! Which addresses belong to the public internet.
//!
//! Source: the IANA registries of special-purpose addresses (RFC 6890), as of 2026.

use ipnet::{Ipv4Net, Ipv6Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who may be asked to reach an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It is routed on the public internet.
    Public,
    /// It means something on this machine or network only, or nothing: a grant has to say `private`.
    Private,
    /// It is no address of one server.
    Never,
}

impl Reach {
    pub(super) fn of(address: IpAddr) -> Reach {
        match address {
            IpAddr::V4(v4) => of_v4(v4),
            IpAddr::V6(v6) => of_v6(v6),
        }
    }
}

fn of_v4(address: Ipv4Addr) -> Reach {
    if contains_v4(NEVER_V4, address) {
        Reach::Never
    } else if contains_v4(PRIVATE_V4, address) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn of_v6(address: Ipv6Addr) -> Reach {
    if let Some(v4) = address.to_ipv4_mapped() {
        return of_v4(v4);
    }
    if NAT64.contains(&address) {
        let [.., a, b, c, d] = address.octets();
        return of_v4(Ipv4Addr::new(a, b, c, d));
    }
    if address.is_loopback() {
        return Reach::Private;
    }
    if contains_v6(NEVER_V6, address) {
        Reach::Never
    } else if !GLOBAL_V6.contains(&address) || contains_v6(PRIVATE_V6, address) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn contains_v4(networks: &[Ipv4Net], address: Ipv4Addr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

fn contains_v6(networks: &[Ipv6Net], address: Ipv6Addr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(a: u16, b: u16, c: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), length)
}

const NEVER_V4: &[Ipv4Net] = &[
    v4(0, 0, 0, 0, 8),   // this network; 0.0.0.0 reaches this machine
    v4(224, 0, 0, 0, 4), // multicast
    v4(240, 0, 0, 0, 4), // reserved, and broadcast
];

const PRIVATE_V4: &[Ipv4Net] = &[
    v4(10, 0, 0, 0, 8),
    v4(100, 64, 0, 0, 10), // carrier-grade NAT (RFC 6598)
    v4(127, 0, 0, 0, 8),
    v4(169, 254, 0, 0, 16), // link-local, with the metadata services of clouds
    v4(172, 16, 0, 0, 12),
    v4(192, 0, 0, 0, 24),   // IETF protocol assignments
    v4(192, 0, 2, 0, 24),   // documentation
    v4(192, 88, 99, 0, 24), // 6to4 relays, deprecated
    v4(192, 168, 0, 0, 16),
    v4(198, 18, 0, 0, 15),   // benchmarks
    v4(198, 51, 100, 0, 24), // documentation
    v4(203, 0, 113, 0, 24),  // documentation
];

/// What IANA has given out as global unicast; the rest is special or not in use.
const GLOBAL_V6: Ipv6Net = v6(0x2000, 0, 0, 3);

/// Translation to IPv4 (RFC 6052): as public as the IPv4 address in the last four bytes.
const NAT64: Ipv6Net = v6(0x64, 0xff9b, 0, 96);

const NEVER_V6: &[Ipv6Net] = &[
    v6(0, 0, 0, 96),     // unspecified, and IPv4-compatible (deprecated)
    v6(0xff00, 0, 0, 8), // multicast
];

/// Within [`GLOBAL_V6`]. Unique-local, link-local and the local NAT64 prefix are outside of it.
const PRIVATE_V6: &[Ipv6Net] = &[
    v6(0x2001, 0, 0, 23),     // IETF protocol assignments, Teredo
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4: an IPv4 address within
    v6(0x3fff, 0, 0, 20),     // documentation
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn reach(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn public_addresses() {
        for text in [
            "1.1.1.1",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2400::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
        ] {
            assert_eq!(reach(text), Reach::Public, "{text}");
        }
    }

    #[test]
    fn addresses_that_need_a_private_grant() {
        for text in [
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1.1.1.1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:0808:0808::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
        ] {
            assert_eq!(reach(text), Reach::Private, "{text}");
        }
    }

    #[test]
    fn addresses_that_no_grant_allows() {
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::127.0.0.1",
            "::ffff:0.0.0.0",
            "64:ff9b::0.0.0.0",
            "ff02::1",
        ] {
            assert_eq!(reach(text), Reach::Never, "{text}");
        }
    }

    proptest! {
        /// No spelling of an IPv4 address in IPv6 is more public than the address.
        #[test]
        fn embedded_addresses_gain_nothing(bits: u32) {
            let v4 = Ipv4Addr::from_bits(bits);
            let [a, b, c, d] = v4.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            prop_assert_eq!(Reach::of(v4.to_ipv6_mapped().into()), Reach::of(v4.into()));
            for embedding in [
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, high, low),
                Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
                Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
                Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, !high, !low),
            ] {
                let gained = Reach::of(embedding.into()) == Reach::Public;
                prop_assert!(!gained || Reach::of(v4.into()) == Reach::Public, "{}", embedding);
            }
        }
    }
}
