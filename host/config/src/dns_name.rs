//! Names in DNS: of servers, zones and keys, and what clients ask for: `"example.com"`, `"*.example.com"`.

use std::fmt;

use crate::error::Invalid;
use crate::text::Textual;

/// A name in DNS, or all names one label below one (RFC 6125 §6.4.3).
/// Lower case, without a dot at the end. `Display` gives what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    /// The name, with its `*.` where it has one.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all names one label below.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name without its `*.`.
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Textual for DnsName {
    const EXPECTED: &'static str = "a DNS name such as \"example.com\" or \"*.example.com\"";

    fn parse(text: &str) -> Result<Self, Invalid> {
        let base = text.strip_prefix("*.").unwrap_or(text);
        let base = base.strip_suffix('.').unwrap_or(base);
        let help = match () {
            () if !text.is_ascii() => {
                "write its form in ASCII, such as \"xn--bcher-kva.example\"".to_owned()
            }
            () => format!("expected {}", Self::EXPECTED),
        };
        // Digits alone at the end are an IPv4 address (RFC 3696 §2).
        let numeric = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
        let legal = base.len() <= 253
            && base.split('.').all(is_label)
            && !base.rsplit('.').next().is_some_and(numeric);
        if !legal {
            return Err(Invalid::new(format!("`{text}` is not a DNS name"), help));
        }
        let wildcard = if text.starts_with("*.") { "*." } else { "" };
        Ok(Self(format!("{wildcard}{}", base.to_ascii_lowercase())))
    }

    fn write(&self) -> String {
        self.0.clone()
    }
}

/// A label of a host's name (RFC 1123 §2.1), and `_`, which is seen in names of services.
fn is_label(label: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=63).contains(&label.len())
        && label.bytes().all(legal)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_lower_case_and_without_a_last_dot() {
        for (text, written) in [
            ("Example.COM", "example.com"),
            ("example.com.", "example.com"),
            ("*.Example.com", "*.example.com"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_acme.example", "_acme.example"),
        ] {
            assert_eq!(DnsName::parse(text).unwrap().write(), written);
        }
    }

    #[test]
    fn refuses_what_is_no_name() {
        for text in [
            "",
            ".",
            "*",
            "*.",
            "a..b",
            ".a",
            "a.*.b",
            "*.*.b",
            "*a.b",
            "-a.b",
            "a-.b",
            "a b",
            "1.2.3.4",
            "*.1.2.3.4",
            "::1",
            "a:443",
            "https://a",
            "bücher.example",
        ] {
            assert!(DnsName::parse(text).is_err(), "{text}");
        }
        assert!(DnsName::parse(&"a".repeat(64)).is_err());
        assert!(DnsName::parse(&"a.".repeat(128)).is_err());
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(text in "(\\*\\.)?[a-c0-2.*_-]{1,12}") {
            if let Ok(name) = DnsName::parse(&text) {
                prop_assert_eq!(DnsName::parse(&name.write()), Ok(name));
            }
        }
    }
}
