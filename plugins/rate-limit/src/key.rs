//! What requests must have in common to share a bucket.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use serde::de::{SeqAccess, Visitor, value::SeqAccessDeserializer};
use serde::{Deserialize, Deserializer};
use tidegate_sdk::{HeaderValue, Request, attributes};

/// One part or a list of parts.
pub(crate) struct Key(Vec<Part>);

impl Key {
    pub(crate) fn parts(&self) -> &[Part] {
        &self.0
    }
}

impl Default for Key {
    fn default() -> Self {
        Self(vec![Part::ClientAddress])
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Key;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a part of the key or a list of parts")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Key, E> {
                let part = Part::try_from(text.to_owned()).map_err(E::custom)?;
                Ok(Key(vec![part]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<Key, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(parts)).map(Key)
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}

/// What requests must have in common.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Part {
    ClientAddress,
    Path,
    Host,
    Method,
    Header(String),
    Attribute(String),
}

impl Part {
    /// The part's value, or `None` where the request has none.
    pub(crate) fn read(&self, request: &Request, ipv6_prefix: u8) -> Option<Vec<u8>> {
        match self {
            Self::ClientAddress => {
                let address = attributes::text("client.address")?;
                Some(client(address.parse().ok()?, ipv6_prefix))
            }
            Self::Path => Some(request.path().into_bytes()),
            Self::Host => Some(request.host().into_bytes()),
            Self::Method => Some(request.method().into_bytes()),
            Self::Header(name) => request.header(name).map(HeaderValue::into_bytes),
            Self::Attribute(name) => attributes::text(name).map(String::into_bytes),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientAddress => f.write_str("client address"),
            Self::Path => f.write_str("path"),
            Self::Host => f.write_str("host"),
            Self::Method => f.write_str("method"),
            Self::Header(name) => write!(f, "header field `{name}`"),
            Self::Attribute(name) => write!(f, "attribute `{name}`"),
        }
    }
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            None if text == "client-address" => Self::ClientAddress,
            None if text == "path" => Self::Path,
            None if text == "host" => Self::Host,
            None if text == "method" => Self::Method,
            Some(("header", name)) if !name.is_empty() => Self::Header(name.to_owned()),
            Some(("attribute", name)) if !name.is_empty() => Self::Attribute(name.to_owned()),
            _ => {
                return Err(format!(
                    "unknown part `{text}`, expected `client-address`, `path`, `host`, `method`, \
                     `header:NAME` or `attribute:NAME`"
                ));
            }
        })
    }
}

/// One client: an IPv4 address, or an IPv6 network, because a customer gets a whole one.
fn client(address: IpAddr, ipv6_prefix: u8) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => {
            let mask = u128::MAX << (128 - u32::from(ipv6_prefix.clamp(1, 128)));
            Ipv6Addr::from_bits(address.to_bits() & mask)
                .octets()
                .to_vec()
        }
    }
}
