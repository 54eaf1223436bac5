//! What the other server is asked: the request's head, without what is the proxy's own.

use serde::Deserialize;
use tidegate_sdk::{FieldName, Request, attributes};

/// The most fields, and the most bytes of their names and values. The host sends no more than 100
/// and 32 KiB; a larger question is the client's fault.
const FIELDS_MAX: usize = 96;
const BYTES_MAX: usize = 30 << 10;

/// Request fields that are sent along: a name, or a beginning of names with `*`.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Pattern {
    Name(FieldName),
    Beginning(String),
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Name(known) => known.as_str() == name,
            Self::Beginning(beginning) => name.starts_with(beginning.as_str()),
        }
    }
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once('*') {
            None => FieldName::try_from(text).map(Self::Name),
            Some((beginning, "")) => Ok(Self::Beginning(beginning.to_ascii_lowercase())),
            Some(_) => Err(format!("`{text}` may have a `*` at its end only")),
        }
    }
}

/// More than can be sent.
pub(crate) struct TooLarge;

/// The fields of the question: those that the patterns name, as the client sent them, and what the
/// proxy says of the request.
pub(crate) fn fields(
    patterns: &[Pattern],
    request: &Request,
) -> Result<Vec<(String, Vec<u8>)>, TooLarge> {
    let mut fields = about(request);
    for name in request.header_names() {
        let sendable = FieldName::try_from(name.clone()).is_ok() && !KEPT.contains(&name.as_str());
        // What the proxy says is not the client's to say.
        let ours = fields.iter().any(|(known, _)| *known == name);
        if sendable && !ours && patterns.iter().any(|pattern| pattern.fits(&name)) {
            // Joined where there are several, so that each name is there once.
            let value = request.header(&name);
            fields.extend(value.map(|value| (name, value.into_bytes())));
        }
    }
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if fields.len() > FIELDS_MAX || bytes > BYTES_MAX {
        return Err(TooLarge);
    }
    Ok(fields)
}

/// The request, under the names that servers for nginx and Envoy know and under those that servers
/// for Traefik and Caddy know.
fn about(request: &Request) -> Vec<(String, Vec<u8>)> {
    let uri = match request.query() {
        Some(query) => format!("{}?{query}", request.path()),
        None => request.path(),
    };
    let client = attributes::text("client.address").unwrap_or_default();
    [
        ("x-original-method", request.method()),
        ("x-original-uri", uri.clone()),
        ("x-forwarded-method", request.method()),
        ("x-forwarded-proto", request.scheme()),
        ("x-forwarded-host", request.host()),
        ("x-forwarded-uri", uri),
        ("x-forwarded-for", client),
    ]
    .map(|(name, value)| (name.to_owned(), value.into_bytes()))
    .into()
}

/// Fields that are said to this proxy only, or belong to a body that is not sent.
const KEPT: [&str; 4] = [
    "content-type",
    "content-encoding",
    "expect",
    "proxy-authorization",
];
