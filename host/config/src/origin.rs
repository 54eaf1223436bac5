//! Origins that plugins may call: `"https://issuer.example"`, `"https://*.example.com:8443"`.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::address::host_name;
use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::shorthand::{Brief, Shorthand};
use crate::text::{Text, Textual};
use http::uri::Authority;
use schemars::JsonSchema;
use serde::Deserialize;

/// Scheme, host and port (RFC 6454 §4). `Display` gives all three, as in `https://*.example.com:443`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// How it is called.
    pub scheme: Scheme,
    /// Whom.
    pub host: OriginHost,
    /// Not 0; the scheme's own where none was written.
    pub port: u16,
}

/// The scheme of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

/// The host of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginHost {
    /// This name; lower case.
    Name(String),
    /// Every name that ends with a dot and this one, but not this one itself; lower case.
    Subdomains(String),
    /// This address.
    Address(IpAddr),
}

/// An origin that a plugin may call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpGrant {
    /// Which.
    pub origin: Origin,
    /// Whether it may be at a private, loopback or other special address.
    pub private: bool,
    /// A file of PEM certificates that are trusted instead of the usual authorities; absolute. Only with `https`.
    pub ca: Option<PathBuf>,
    /// Where it was written, for a file that turns out not to exist.
    pub span: Span,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Textual for Origin {
    const EXPECTED: &'static str =
        "an origin such as \"https://issuer.example\" or \"https://*.example.com:8443\"";
    const PATTERN: Option<&'static str> = Some("^https?://[^/?#@]+$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let invalid = |why: String| Invalid::new(why, format!("expected {}", Self::EXPECTED));
        let no_origin = || invalid(format!("`{text}` is not an origin"));
        let (scheme, rest) = text.split_once("://").ok_or_else(no_origin)?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            other => return Err(invalid(format!("`{other}` is neither `http` nor `https`"))),
        };
        if rest.contains('@') {
            return Err(invalid("an origin has no user and no password".to_owned()));
        }
        if let Some(end) = rest.find(['/', '?', '#']) {
            let (origin, _) = rest.split_at(end);
            return Err(Invalid::new(
                "an origin has no path and no query",
                format!("write \"{scheme}://{origin}\": all of it is allowed or nothing"),
            ));
        }
        let authority: Authority = rest.parse().map_err(|_| no_origin())?;
        let port = match authority.port() {
            Some(port) => port.as_u16(),
            None if authority.host() == authority.as_str() => scheme.default_port(),
            None => return Err(no_origin()),
        };
        if port == 0 {
            return Err(invalid(format!("`{text}` has port 0")));
        }
        let host = OriginHost::parse(authority.host()).ok_or_else(no_origin)?;
        Ok(Self { scheme, host, port })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl OriginHost {
    fn parse(text: &str) -> Option<Self> {
        if let Some(suffix) = text.strip_prefix("*.") {
            return host_name(suffix).map(OriginHost::Subdomains);
        }
        let address = match text.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']')?.parse().map(IpAddr::V6).ok(),
            None => text.parse().map(IpAddr::V4).ok(),
        };
        match address {
            Some(address) => Some(OriginHost::Address(address)),
            None => host_name(text).map(OriginHost::Name),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

impl fmt::Display for OriginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OriginHost::Name(name) => f.write_str(name),
            OriginHost::Subdomains(suffix) => write!(f, "*.{suffix}"),
            OriginHost::Address(IpAddr::V4(address)) => address.fmt(f),
            OriginHost::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

// === as written: an origin, or a table ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHttpGrant {
    /// Scheme, host and, if it is not the usual one, port. "*.example.com" is every name below it.
    origin: Located<Text<Origin>>,
    /// Whether it may be at a private, loopback or other special address.
    #[serde(default)]
    private: bool,
    /// A file of PEM certificates that are trusted instead of the usual authorities, relative to this file.
    ca: Option<Located<PathBuf>>,
}

impl RawHttpGrant {
    pub(crate) fn resolve(raw: Brief<Self>, resolver: &mut Resolver) -> HttpGrant {
        let Self {
            origin,
            private,
            ca,
        } = raw.0;
        let (origin, span) = (origin.value.0, origin.span);
        if let Some(ca) = ca.as_ref().filter(|_| origin.scheme == Scheme::Http) {
            resolver.reject(
                ca.span,
                "`ca` is for https only",
                "remove it, or write \"https://…\"",
            );
        }
        HttpGrant {
            origin,
            private,
            ca: ca.map(|ca| resolver.source().resolve_path(ca.value)),
            span,
        }
    }
}

impl Shorthand for RawHttpGrant {
    const EXPECTED: &'static str = "an origin such as \"https://issuer.example\", or a table such as \
        { origin = \"http://10.0.0.5:8080\", private = true }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        let origin = Text(Origin::parse(&text.value)?);
        Ok(Self {
            origin: Located::new(origin, text.span),
            private: false,
            ca: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn origins_are_written_with_their_port() {
        for (text, written) in [
            ("https://Issuer.Example", "https://issuer.example:443"),
            ("HTTP://issuer.example:8080", "http://issuer.example:8080"),
            ("https://*.example.com", "https://*.example.com:443"),
            ("http://10.0.0.5", "http://10.0.0.5:80"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
        ] {
            let origin = Origin::parse(text).unwrap();
            assert_eq!(origin.write(), written);
            assert_eq!(Origin::parse(written), Ok(origin));
        }
    }

    #[test]
    fn refuses_what_is_no_origin() {
        for text in [
            "",
            "issuer.example",
            "ftp://issuer.example",
            "https://",
            "https://user@issuer.example",
            "https://issuer.example/",
            "https://issuer.example?x",
            "https://issuer.example#x",
            "https://issuer.example:",
            "https://issuer.example:0",
            "https://issuer.example:99999",
            "https://*",
            "https://*.",
            "https://a.*.example",
            "https://*.*.example",
            "https://*.10.0.0.1",
            "https://1.2.3",
            "https://[::1",
            "https://::1",
            "https://[10.0.0.1]",
            "https://[fe80::1%eth0]",
            "https://issuer example",
            "https://bücher.example",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reads_what_it_writes(text in "https?://[a-c0-2.*:\\[\\]%@/]{1,12}") {
            if let Ok(origin) = Origin::parse(&text) {
                prop_assert_eq!(Origin::parse(&origin.write()), Ok(origin));
            }
        }
    }
}
