//! The names that a certificate is for.

use std::fmt;
use std::sync::Arc;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The most names of one certificate. Let's Encrypt takes no more either.
pub const NAMES_MAX: usize = 100;

/// A DNS name in the form that certificates and resolvers use: lower case, ASCII (RFC 5890 A-labels),
/// without a dot at the end. The first label may be `*`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The names of one certificate: the main one and others, each once.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Names(Arc<[Name]>);

/// Why a text is not a name that a certificate can be for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("`{0}` is not a DNS name")]
    NotAName(String),
    #[error("`{0}` is an address; certificates are ordered for names")]
    Address(String),
    #[error("`{0}`: `*` can only be the first label, with a name of two labels or more after it")]
    Wildcard(String),
    #[error("a certificate needs a name")]
    Empty,
    #[error("a certificate cannot have more than {NAMES_MAX} names")]
    TooMany,
}

impl Name {
    /// Reads a name as people write it: in any case, with or without letters beyond ASCII or a dot at the end.
    ///
    /// # Errors
    /// It is not a name that a certificate can be for.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        // What is shown in an error is bounded too.
        let shown = || text.chars().take(300).collect::<String>();
        let (is_wildcard, host) = match text.strip_prefix("*.") {
            Some(host) => (true, host),
            None => (false, text),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.contains('*') {
            return Err(NameError::Wildcard(shown()));
        }
        if host.parse::<std::net::IpAddr>().is_ok() {
            return Err(NameError::Address(shown()));
        }
        let ascii = Uts46::new()
            .to_ascii(
                host.as_bytes(),
                AsciiDenyList::STD3,
                Hyphens::CheckFirstLast,
                DnsLength::Verify,
            )
            .map_err(|_| NameError::NotAName(shown()))?;
        // The last label of an address in dots is a number, that of a name is not (RFC 3696 §2).
        let last = ascii.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NameError::NotAName(shown()));
        }
        if !is_wildcard {
            return Ok(Name(ascii.as_ref().into()));
        }
        if !ascii.contains('.') {
            return Err(NameError::Wildcard(shown()));
        }
        Ok(Name(format!("*.{ascii}").into()))
    }

    /// As it stands in a certificate.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it stands for all names one label below another.
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with("*.")
    }

    /// The name that is validated: without `*.` (RFC 8555 §7.1.3).
    pub fn base(&self) -> &str {
        self.0.strip_prefix("*.").unwrap_or(&self.0)
    }

    /// Whether its record is one of `zone` (lower case), which it is or is below.
    pub fn is_within(&self, zone: &str) -> bool {
        let above = self.base().strip_suffix(zone);
        above.is_some_and(|above| above.is_empty() || above.ends_with('.'))
    }

    /// Whether a certificate for this name is one for `host` (lower case), too.
    pub fn covers(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            None => *self.0 == *host,
            Some(parent) => host
                .strip_suffix(parent)
                .is_some_and(|label| !label.is_empty() && !label.contains('.')),
        }
    }
}

impl Names {
    /// The first name is the main one. A name that comes twice counts once.
    ///
    /// # Errors
    /// There is none, or more than [`NAMES_MAX`].
    pub fn new(names: impl IntoIterator<Item = Name>) -> Result<Names, NameError> {
        let mut unique: Vec<Name> = Vec::new();
        for name in names {
            if unique.contains(&name) {
                continue;
            }
            if unique.len() == NAMES_MAX {
                return Err(NameError::TooMany);
            }
            unique.push(name);
        }
        if unique.is_empty() {
            return Err(NameError::Empty);
        }
        Ok(Names(unique.into()))
    }

    /// The names of a list of texts.
    ///
    /// # Errors
    /// As [`Name::parse`] and [`Names::new`].
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Names, NameError> {
        let names: Result<Vec<Name>, NameError> = texts.into_iter().map(Name::parse).collect();
        Names::new(names?)
    }

    /// The one under which the certificate is kept.
    pub fn main(&self) -> &Name {
        // There is one: `new` sees to it.
        &self.0[0]
    }

    /// All of them, the main one first.
    pub fn iter(&self) -> std::slice::Iter<'_, Name> {
        self.0.iter()
    }

    /// Whether a certificate for these names is one for `host` (lower case), too.
    pub fn cover(&self, host: &str) -> bool {
        self.iter().any(|name| name.covers(host))
    }
}

impl From<Name> for Names {
    fn from(name: Name) -> Names {
        Names([name].into())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, name) in self.iter().enumerate() {
            if place > 0 {
                f.write_str(", ")?;
            }
            fmt::Display::fmt(name, f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_one_form() {
        for (text, name) in [
            ("Example.COM", "example.com"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("*.Bücher.example", "*.xn--bcher-kva.example"),
            ("a.example.", "a.example"),
            ("localhost", "localhost"),
            ("r3---sn-x.example", "r3---sn-x.example"),
        ] {
            assert_eq!(Name::parse(text).unwrap().as_str(), name);
        }
    }

    #[test]
    fn what_cannot_be_in_a_certificate_is_refused() {
        for text in [
            "",
            ".",
            "a..b",
            "a.example..",
            "-a.example",
            "a_b.example",
            "a b",
            "*",
            "*.",
            "*.com",
            "*.*.example.com",
            "a.*.example",
            "a*.example.com",
            "127.0.0.1",
            "::1",
            "1.2.3",
            "a.example/",
            "a.example:443",
            "a\0.example",
        ] {
            assert!(Name::parse(text).is_err(), "{text:?}");
        }
        assert!(Name::parse(&format!("{}.example", "a".repeat(64))).is_err());
        assert!(Name::parse(&"abcdefgh.".repeat(40)).is_err());
    }

    #[test]
    fn a_wildcard_covers_one_label() {
        let name = Name::parse("*.example.com").unwrap();
        assert!(name.covers("a.example.com"));
        assert!(!name.covers("example.com"));
        assert!(!name.covers("a.b.example.com"));
        assert!(!name.covers(".example.com"));
        assert!(!name.covers("aexample.com"));
    }

    #[test]
    fn a_name_is_within_its_zone() {
        let is_within = |name: &str| Name::parse(name).unwrap().is_within("example.org");
        for inside in [
            "example.org",
            "a.example.org",
            "*.example.org",
            "*.b.example.org",
        ] {
            assert!(is_within(inside), "{inside}");
        }
        for outside in ["badexample.org", "example.com", "org"] {
            assert!(!is_within(outside), "{outside}");
        }
    }

    #[test]
    fn names_are_there_once_and_bounded() {
        let names = Names::parse(["B.example", "a.example", "b.EXAMPLE"]).unwrap();
        assert_eq!(names.to_string(), "b.example, a.example");
        assert_eq!(names.main().as_str(), "b.example");
        assert_eq!(Names::parse([]), Err(NameError::Empty));
        let many: Vec<String> = (0..=NAMES_MAX).map(|n| format!("n{n}.example")).collect();
        let many = Names::parse(many.iter().map(String::as_str));
        assert_eq!(many, Err(NameError::TooMany));
    }

    proptest! {
        #[test]
        fn a_name_is_read_again_as_itself(text in "\\PC{0,40}") {
            if let Ok(name) = Name::parse(&text) {
                prop_assert_eq!(Name::parse(name.as_str()), Ok(name.clone()));
                prop_assert!(name.as_str().bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase()));
                prop_assert!(!name.as_str().contains('/'));
            }
        }
    }
}
