//! How a listener leads clients to https: a redirect from plaintext, and HSTS.

use std::fmt;
use std::time::Duration;

use crate::duration::micros;
use crate::error::Invalid;
use crate::located::Located;
use crate::resolve::Resolver;
use crate::shorthand::Shorthand;
use crate::text::{Text, Textual};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer};

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hsts {
    /// How long browsers keep to https; zero makes them forget it.
    pub max_age: Duration,
    /// Whether it holds for all names below, too.
    pub include_subdomains: bool,
    /// Whether browsers may have it built in.
    pub preload: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawHsts {
    /// How long browsers keep to https. "0s" makes them forget it.
    max_age: Text<MaxAge>,
    /// Whether it holds for all names below, too.
    #[serde(default)]
    include_subdomains: bool,
    /// Whether browsers may have it built in.
    #[serde(default)]
    preload: Option<Located<bool>>,
}

impl RawHsts {
    pub(crate) fn resolve(self, resolver: &mut Resolver) -> Hsts {
        let max_age = self.max_age.0.0;
        let preload = self.preload.filter(|preload| preload.value);
        if let Some(preload) = &preload
            && (max_age < PRELOAD_MIN || !self.include_subdomains)
        {
            resolver.reject(
                preload.span,
                "browsers do not take this into their lists",
                "they expect `max_age` of at least \"365d\" and `include_subdomains = true`",
            );
        }
        Hsts {
            max_age,
            include_subdomains: self.include_subdomains,
            preload: preload.is_some(),
        }
    }
}

impl Shorthand for RawHsts {
    const EXPECTED: &'static str = "a duration such as \"365d\", or a table such as \
        { max_age = \"365d\", include_subdomains = true }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        Ok(Self {
            max_age: Text(MaxAge::parse(&text.value)?),
            include_subdomains: false,
            preload: None,
        })
    }
}

/// A time that no timer has to hold, from none to ten years.
#[derive(Debug)]
struct MaxAge(Duration);

impl Textual for MaxAge {
    const EXPECTED: &'static str = "a duration from \"0s\" to \"3650d\"";
    const PATTERN: Option<&'static str> = Duration::PATTERN;

    fn parse(text: &str) -> Result<Self, Invalid> {
        micros(text)
            .map(Duration::from_micros)
            .filter(|age| *age <= MAX_AGE_MAX)
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    format!("`{text}` is not how long browsers can keep to https"),
                    format!("expected {}", Self::EXPECTED),
                )
            })
    }

    fn write(&self) -> String {
        Some(self.0).filter(|age| !age.is_zero()).write()
    }
}

/// `https_redirect`: the port of https, if requests are sent there.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HttpsRedirect(Option<u16>);

impl HttpsRedirect {
    /// `tls` says whether the listener speaks TLS itself.
    pub(crate) fn resolve(
        written: Located<Self>,
        tls: bool,
        resolver: &mut Resolver,
    ) -> Option<u16> {
        let Located { value, span } = written;
        if value.0.is_some() && tls {
            resolver.reject(
                span,
                "`https_redirect` is for plaintext, and this listener has `tls`",
                "remove it, and put it on the listener of port 80",
            );
        }
        value.0
    }
}

impl<'de> Deserialize<'de> for HttpsRedirect {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RedirectVisitor)
    }
}

impl JsonSchema for HttpsRedirect {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HttpsRedirect".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let port = json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 });
        json_schema!({ "anyOf": [{ "type": "boolean" }, port] })
    }
}

struct RedirectVisitor;

impl Visitor<'_> for RedirectVisitor {
    type Value = HttpsRedirect;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`true`, `false` or a port from 1 to 65535")
    }

    fn visit_bool<E: de::Error>(self, on: bool) -> Result<HttpsRedirect, E> {
        Ok(HttpsRedirect(on.then_some(443)))
    }

    fn visit_i64<E: de::Error>(self, port: i64) -> Result<HttpsRedirect, E> {
        match u16::try_from(port) {
            Ok(port) if port > 0 => Ok(HttpsRedirect(Some(port))),
            _ => Err(Invalid::new(
                format!("`{port}` is not a port"),
                "expected `true` for 443, or a port from 1 to 65535",
            )
            .into_serde()),
        }
    }
}

/// What the lists of browsers expect (hstspreload.org).
const PRELOAD_MIN: Duration = Duration::from_secs(365 * 86_400);
const MAX_AGE_MAX: Duration = Duration::from_secs(3650 * 86_400);
