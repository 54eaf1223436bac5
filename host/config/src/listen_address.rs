//! Where a listener listens: an address of its own, or a socket that systemd hands over. One, or a list.

use std::fmt;

use crate::address::Address;
use crate::error::Invalid;
use crate::located::Located;
use crate::text::{Text, Textual};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

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
#[derive(Debug)]
pub(crate) struct Addresses(pub(crate) Vec<Located<ListenAddress>>);

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Located::<OneOrMany>::deserialize(deserializer)?;
        Ok(Self(match written.value {
            OneOrMany::One(address) => vec![Located::new(address, written.span)],
            OneOrMany::Many(addresses) => addresses
                .into_iter()
                .map(|address| Located::new(address.value.0, address.span))
                .collect(),
        }))
    }
}

impl JsonSchema for Addresses {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<Text<ListenAddress>>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

enum OneOrMany {
    One(ListenAddress),
    Many(Vec<Located<Text<ListenAddress>>>),
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor)
    }
}

struct OneOrManyVisitor;

impl<'de> Visitor<'de> for OneOrManyVisitor {
    type Value = OneOrMany;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of them", ListenAddress::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
        ListenAddress::parse(text)
            .map(OneOrMany::One)
            .map_err(Invalid::into_serde)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<OneOrMany, A::Error> {
        let mut addresses = Vec::new();
        while let Some(address) = seq.next_element()? {
            addresses.push(address);
        }
        if addresses.is_empty() {
            let help = format!("expected {}", ListenAddress::EXPECTED);
            return Err(Invalid::new("the list has no address", help).into_serde());
        }
        Ok(OneOrMany::Many(addresses))
    }
}
