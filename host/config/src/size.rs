//! Sizes in bytes: `"32KiB"`, `"100MiB"`, `"1GiB"`, or a plain integer.

use std::fmt;

use crate::error::Invalid;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serializer};

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;

/// Reads a number of bytes; for plain fields as `#[serde(with = "Size::<KIB>")]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Size<const MIN: u64, const MAX: u64 = { 1 << 50 }>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Size<MIN, MAX> {
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(SizeVisitor::<MIN, MAX>)
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        match bytes {
            0 => serializer.serialize_u64(0),
            _ => serializer.serialize_str(&write(*bytes)),
        }
    }

    fn check(bytes: u64) -> Result<u64, Invalid> {
        if (MIN..=MAX).contains(&bytes) {
            return Ok(bytes);
        }
        let (what, bound) = match bytes < MIN {
            true => ("small", format!("expected at least \"{}\"", write(MIN))),
            false => ("large", format!("expected at most \"{}\"", write(MAX))),
        };
        Err(Invalid::new(
            format!("`{}` is too {what}", write(bytes)),
            bound,
        ))
    }
}

impl<'de, const MIN: u64, const MAX: u64> Deserialize<'de> for Size<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Size::<MIN, MAX>::deserialize(deserializer).map(Self)
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Size<MIN, MAX> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Size{MIN}To{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [
            { "type": "string", "pattern": "^[0-9]+(B|KiB|MiB|GiB|TiB)$" },
            { "type": "integer", "minimum": MIN, "maximum": MAX },
        ] })
    }
}

struct SizeVisitor<const MIN: u64, const MAX: u64>;

impl<const MIN: u64, const MAX: u64> Visitor<'_> for SizeVisitor<MIN, MAX> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        let bytes = u64::try_from(bytes)
            .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))?;
        self.visit_u64(bytes)
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Size::<MIN, MAX>::check(bytes).map_err(Invalid::into_serde)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse(text)
            .and_then(Size::<MIN, MAX>::check)
            .map_err(Invalid::into_serde)
    }
}

fn parse(text: &str) -> Result<u64, Invalid> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.strip_prefix(number).unwrap_or_default();
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .and_then(|(_, bytes)| number.parse::<u64>().ok()?.checked_mul(*bytes))
        .ok_or_else(|| {
            Invalid::new(
                format!("`{text}` is not a size"),
                format!("expected {EXPECTED}"),
            )
        })
}

/// In the largest unit that leaves no rest.
pub(crate) fn write(bytes: u64) -> String {
    UNITS
        .iter()
        .find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit))
        .map_or_else(
            || format!("{bytes}B"),
            |(name, unit)| format!("{}{name}", bytes / unit),
        )
}

const EXPECTED: &str =
    "a size such as \"64KiB\", \"32MiB\" or \"1GiB\", or a whole number of bytes";
const UNITS: [(&str, u64); 5] = [
    ("TiB", 1 << 40),
    ("GiB", GIB),
    ("MiB", MIB),
    ("KiB", KIB),
    ("B", 1),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["1B", "1000B", "64KiB", "1025KiB", "32MiB", "3GiB", "1TiB"] {
            assert_eq!(write(parse(text).unwrap()), text);
        }
    }

    #[test]
    fn refuses_what_is_not_a_size() {
        for text in [
            "",
            "KiB",
            "64",
            "64KB",
            "64kib",
            "1.5MiB",
            "-1B",
            "64 KiB",
            "99999999TiB",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
