//! Where clients put their key.

use tidegate_sdk::prelude::*;

/// A place in the request.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Source {
    /// A header field that holds nothing else.
    Header(String),
    /// `Authorization: Bearer KEY` (RFC 6750 §2.1).
    Bearer,
    /// A parameter of the query, in the form encoding.
    Query(String),
}

/// What the request holds, over all places.
pub(crate) enum Found<'a> {
    None,
    One(&'a Source, Vec<u8>),
    /// It would be unclear who asks; another reader of the request could take another one.
    Several,
}

/// Look in all places.
pub(crate) fn find<'a>(sources: &'a [Source], request: &Request) -> Found<'a> {
    let mut found = Found::None;
    for source in sources {
        for credential in source.read(request) {
            if !matches!(found, Found::None) {
                return Found::Several;
            }
            found = Found::One(source, credential);
        }
    }
    found
}

impl Source {
    pub(crate) fn is_query(&self) -> bool {
        matches!(self, Self::Query(_))
    }

    /// The header field that holds the key.
    pub(crate) fn field(&self) -> Option<&str> {
        match self {
            Self::Header(name) => Some(name),
            Self::Bearer => Some("authorization"),
            Self::Query(_) => None,
        }
    }

    /// What a 401 asks for (RFC 9110 §11.6.1). There is no registered scheme for keys elsewhere
    /// than in `Authorization`.
    pub(crate) fn challenge(&self, realm: &str, presented: bool) -> String {
        match self {
            Self::Bearer if presented => {
                format!("Bearer realm=\"{realm}\", error=\"invalid_token\"")
            }
            Self::Bearer => format!("Bearer realm=\"{realm}\""),
            Self::Header(_) | Self::Query(_) => format!("ApiKey realm=\"{realm}\""),
        }
    }

    fn read(&self, request: &Request) -> Vec<Vec<u8>> {
        match self {
            Self::Header(name) => values(request, name),
            Self::Bearer => {
                let values = values(request, "authorization");
                values.iter().filter_map(|value| bearer(value)).collect()
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

fn values(request: &Request, name: &str) -> Vec<Vec<u8>> {
    let values = request.header_values(name).into_iter();
    values.map(HeaderValue::into_bytes).collect()
}

/// The token, where the scheme is `Bearer` in any case. Another scheme is not ours to judge.
fn bearer(value: &[u8]) -> Option<Vec<u8>> {
    let (scheme, token) = value.split_at_checked("Bearer ".len())?;
    let ours = scheme.eq_ignore_ascii_case(b"Bearer ");
    ours.then(|| token.trim_ascii().to_vec())
}

impl TryFrom<String> for Source {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "bearer" => Ok(Self::Bearer),
            Some(("header", name)) if !name.is_empty() => {
                Ok(Self::Header(name.to_ascii_lowercase()))
            }
            Some(("query", name)) if !name.is_empty() => Ok(Self::Query(name.to_owned())),
            _ => Err(format!(
                "unknown place `{text}`, expected `header:NAME`, `bearer` or `query:NAME`"
            )),
        }
    }
}
