//! Rates: `"10/m"`.

use std::time::Duration;

use crate::error::Invalid;
use crate::text::Textual;

/// So many in so much time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub count: u32,
    /// A second, a minute, an hour or a day.
    pub period: Duration,
}

impl Textual for Rate {
    const EXPECTED: &'static str = "a rate such as \"1/s\", \"10/m\", \"100/h\" or \"1000/d\"";
    const PATTERN: Option<&'static str> = Some("^[0-9]+/[smhd]$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let (count, unit) = text.split_once('/').unwrap_or((text, ""));
        let digits = !count.is_empty() && count.bytes().all(|byte| byte.is_ascii_digit());
        let count = count.parse().ok().filter(|count| digits && *count > 0);
        let period = UNITS.iter().find(|(name, _)| *name == unit);
        count
            .zip(period)
            .map(|(count, (_, seconds))| Self {
                count,
                period: Duration::from_secs(*seconds),
            })
            .ok_or_else(|| {
                Invalid::new(
                    format!("`{text}` is not a rate"),
                    format!("expected {}", Self::EXPECTED),
                )
            })
    }

    fn write(&self) -> String {
        let seconds = self.period.as_secs();
        let unit = UNITS.iter().find(|(_, of)| *of == seconds);
        format!("{}/{}", self.count, unit.map_or("s", |(name, _)| name))
    }
}

const UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for text in ["1/s", "10/m", "100/h", "4294967295/d"] {
            assert_eq!(Rate::parse(text).unwrap().write(), text);
        }
        for text in [
            "",
            "10",
            "/m",
            "0/m",
            "10/",
            "10/w",
            "+1/s",
            "1.5/s",
            "4294967296/s",
        ] {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
