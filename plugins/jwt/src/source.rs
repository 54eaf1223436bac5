//! Where clients put their token.

use tidegate_sdk::FieldName;
use tidegate_sdk::prelude::*;

/// A place in the request.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Source {
    /// `Authorization: Bearer TOKEN` (RFC 6750 §2.1).
    Bearer,
    /// A cookie (RFC 6265 §4.2).
    Cookie(String),
    /// A header field that holds nothing else.
    Header(FieldName),
    /// A parameter of the query, in the form encoding (RFC 6750 §2.3).
    Query(String),
}

/// What the request holds, over all places.
pub(crate) enum Found<'a> {
    None,
    One(&'a Source, Vec<u8>),
    /// RFC 6750 §2 forbids it: another reader of the request could take another one.
    Several,
}

/// Look in all places. What is empty counts as absent.
pub(crate) fn find<'a>(sources: &'a [Source], request: &Request) -> Found<'a> {
    let mut found = Found::None;
    for source in sources {
        for token in source.read(request).into_iter().filter(|t| !t.is_empty()) {
            if !matches!(found, Found::None) {
                return Found::Several;
            }
            found = Found::One(source, token);
        }
    }
    found
}

impl Source {
    /// Remove the token, which the upstream has no business with.
    pub(crate) fn strip(&self, request: &mut Request) -> Result<(), Error> {
        match self {
            Self::Bearer => request.remove_header("authorization"),
            Self::Header(name) => request.remove_header(name.as_str()),
            Self::Cookie(name) => {
                let Some(cookies) = request.header("cookie") else {
                    return Ok(());
                };
                let others =
                    pairs(cookies.as_bytes()).filter(|pair| value_of(pair, name).is_none());
                let others: Vec<&[u8]> = others.collect();
                if others.is_empty() {
                    request.remove_header("cookie")
                } else {
                    request.set_header("cookie", others.join(&b"; "[..]))
                }
            }
            Self::Query(name) => {
                let query = request.query().unwrap_or_default();
                let others: Vec<&str> = query
                    .split('&')
                    .filter(|one| !is_named(one, name))
                    .collect();
                let others = others.join("&");
                request.set_query(Some(others.as_str()).filter(|query| !query.is_empty()))
            }
        }
    }

    fn read(&self, request: &Request) -> Vec<Vec<u8>> {
        match self {
            Self::Bearer => {
                let values = request.header_values("authorization");
                values.iter().filter_map(bearer).collect()
            }
            Self::Header(name) => {
                let values = request.header_values(name.as_str()).into_iter();
                values.map(HeaderValue::into_bytes).collect()
            }
            Self::Cookie(name) => {
                let cookies = request.header("cookie").map(HeaderValue::into_bytes);
                let cookies = cookies.unwrap_or_default();
                let values = pairs(&cookies).filter_map(|pair| value_of(pair, name));
                values.map(<[u8]>::to_vec).collect()
            }
            Self::Query(name) => {
                let query = request.query().unwrap_or_default();
                form_urlencoded::parse(query.as_bytes())
                    .filter(|(parameter, _)| parameter == name)
                    .map(|(_, value)| value.into_owned().into_bytes())
                    .collect()
            }
        }
    }
}

/// The token, where the scheme is `Bearer` in any case. Another scheme is not ours to judge.
fn bearer(value: &HeaderValue) -> Option<Vec<u8>> {
    let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
    let ours = scheme.eq_ignore_ascii_case(b"Bearer ");
    ours.then(|| token.trim_ascii().to_vec())
}

/// The pairs of a `Cookie` field.
fn pairs(cookies: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pairs = cookies.split(|&byte| byte == b';');
    pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
}

/// The cookie's value, if this is its name.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

fn is_named(parameter: &str, name: &str) -> bool {
    let mut decoded = form_urlencoded::parse(parameter.as_bytes());
    decoded.next().is_some_and(|(known, _)| known == name)
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("header", name)) => FieldName::try_from(name.to_owned()).map(Self::Header),
            Some(("cookie", name)) if !name.is_empty() => Ok(Self::Cookie(name.to_owned())),
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            _ => Err(format!(
                "unknown place `{text}`, expected `bearer`, `cookie:NAME`, `header:NAME` or `query:NAME`"
            )),
        }
    }
}
