//! Durations: `"30s"`, `"250ms"`, `"1m30s"`. Nearly every duration of the file is a timeout or a deadline, so
//! zero is refused unless it turns something off, and so is more than a year, which a timer may be unable to hold.

use std::time::Duration;

use crate::error::Invalid;
use crate::text::Textual;

impl Textual for Duration {
    const EXPECTED: &'static str = "a duration such as \"30s\", \"250ms\" or \"1m30s\"";
    const PATTERN: Option<&'static str> = Some("^([0-9]+(us|ms|s|m|h|d))+$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        match micros(text) {
            None => Err(Invalid::new(
                format!("`{text}` is not a duration"),
                format!("expected {}", Self::EXPECTED),
            )),
            Some(0) => Err(Invalid::new(
                "the duration is zero",
                "expected more than zero",
            )),
            Some(micros) if micros > MICROS_MAX => Err(Invalid::new(
                format!("`{text}` is too long"),
                "expected at most \"365d\"",
            )),
            Some(micros) => Ok(Duration::from_micros(micros)),
        }
    }

    fn write(&self) -> String {
        let mut rest = u64::try_from(self.as_micros()).unwrap_or(u64::MAX);
        let mut text = String::new();
        for (unit, micros) in UNITS {
            if rest >= micros {
                text.push_str(&format!("{}{unit}", rest / micros));
                rest %= micros;
            }
        }
        text
    }
}

/// A duration, or `"0s"` for none.
impl Textual for Option<Duration> {
    const EXPECTED: &'static str = "a duration such as \"30s\" or \"1h\", or \"0s\" for none";
    const PATTERN: Option<&'static str> = Duration::PATTERN;

    fn parse(text: &str) -> Result<Self, Invalid> {
        match micros(text) {
            Some(0) => Ok(None),
            _ => Duration::parse(text).map(Some),
        }
    }

    fn write(&self) -> String {
        self.map_or_else(|| "0s".to_owned(), |duration| duration.write())
    }
}

/// The sum of all pairs of number and unit; `None` where the text is something else. Saturates.
pub(crate) fn micros(text: &str) -> Option<u64> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail
            .find(|c: char| !c.is_ascii_lowercase())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
        let number: u64 = number.parse().ok()?;
        total = total.saturating_add(number.saturating_mul(*unit));
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

const UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];
const MICROS_MAX: u64 = 365 * 86_400_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in [
            "1us",
            "250ms",
            "30s",
            "1m30s",
            "2h",
            "1d1h1m1s1ms1us",
            "365d",
        ] {
            assert_eq!(Duration::parse(text).unwrap().write(), text);
        }
        assert_eq!(Duration::parse("90s").unwrap().write(), "1m30s");
    }

    #[test]
    fn refuses_what_is_not_a_duration() {
        for text in [
            "",
            "s",
            "30",
            "30 s",
            "1.5s",
            "-1s",
            "30S",
            "30sec",
            "0s",
            "366d",
            "s30",
            "99999999999999999999d",
        ] {
            assert!(Duration::parse(text).is_err(), "{text}");
        }
    }
}
