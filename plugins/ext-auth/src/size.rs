//! Sizes in a configuration.

use serde::Deserialize;

/// A number of bytes: `65536`, `"64KiB"`, `"1MiB"`.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "Written")]
pub(crate) struct Size(pub(crate) u64);

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a size such as `\"64KiB\"`")]
enum Written {
    Number(u64),
    Text(String),
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let bytes = match &written {
            Written::Number(bytes) => Some(*bytes),
            Written::Text(text) => parse(text),
        };
        let bytes = bytes.filter(|bytes| *bytes > 0).map(Self);
        bytes.ok_or_else(|| "expected a size above 0, such as `64KiB` or `1MiB`".to_owned())
    }
}

fn parse(text: &str) -> Option<u64> {
    let (number, unit) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(number), _) => (number, 1 << 10),
        (_, Some(number)) => (number, 1 << 20),
        _ => (text, 1),
    };
    number.trim_end().parse::<u64>().ok()?.checked_mul(unit)
}
