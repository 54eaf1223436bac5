//! Sizes in bytes, as the proxy's configuration writes them.

use std::fmt;

use serde::de::{Error, Visitor};
use tidegate_sdk::prelude::*;

/// `"64KiB"`, `"1MiB"` or a whole number of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Size(pub(crate) u64);

const UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as `64KiB` or `1MiB`, or a whole number of bytes")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<Size, E> {
        Ok(Size(bytes))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Size, E> {
        let parsed = UNITS.iter().find_map(|(unit, bytes)| {
            let number = text.strip_suffix(unit)?;
            let digits = number.bytes().all(|byte| byte.is_ascii_digit());
            number
                .parse::<u64>()
                .ok()
                .filter(|_| digits)?
                .checked_mul(*bytes)
        });
        parsed.map(Size).ok_or_else(|| {
            E::custom(format!(
                "`{text}` is not a size, expected one such as `64KiB` or `1MiB`"
            ))
        })
    }
}
