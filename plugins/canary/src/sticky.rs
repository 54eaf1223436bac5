//! What keeps a client with its target: a part of the request, or a cookie that says it.

use std::time::Duration;

use tidegate_sdk::prelude::*;

/// What is the same in all requests of a client.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) enum Key {
    ClientAddress,
    Cookie(String),
    Header(String),
    Attribute(String),
}

impl Key {
    /// The key of this request; where it has none, the client's address.
    pub(crate) fn read(&self, request: &Request) -> Vec<u8> {
        let own = match self {
            Self::ClientAddress => None,
            Self::Cookie(name) => cookie(request, name),
            Self::Header(name) => request.header(name).map(HeaderValue::into_bytes),
            Self::Attribute(name) => attributes::text(name).map(String::into_bytes),
        };
        own.filter(|key| !key.is_empty())
            .or_else(|| attributes::text("client.address").map(String::into_bytes))
            .unwrap_or_default()
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            None if text == "client-address" => Self::ClientAddress,
            Some(("cookie", name)) if !name.is_empty() => Self::Cookie(name.to_owned()),
            Some(("header", name)) if !name.is_empty() => Self::Header(name.to_owned()),
            Some(("attribute", name)) if !name.is_empty() => Self::Attribute(name.to_owned()),
            _ => {
                return Err(format!(
                    "unknown key `{text}`, expected `client-address`, `cookie:NAME`, `header:NAME` or \
                     `attribute:NAME`"
                ));
            }
        })
    }
}

/// The first cookie of this name (RFC 6265 §4.2).
pub(crate) fn cookie(request: &Request, name: &str) -> Option<Vec<u8>> {
    let cookies = request.header("cookie")?.into_bytes();
    let mut pairs = cookies.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let value = pairs.find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    Some(value.to_vec())
}

/// A cookie that holds the target's name.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cookie {
    pub(crate) name: String,
    /// How long a client keeps it; where absent, as long as a browser runs.
    #[serde(default, with = "humantime_serde")]
    max_age: Option<Duration>,
}

impl Cookie {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if self.name.is_empty() || !self.name.bytes().all(token) {
            let message = "expected letters, digits and any of !#$%&'*+-.^_`|~";
            return Err(ConfigError::at("cookie.name", message));
        }
        Ok(())
    }

    /// The value of `Set-Cookie` (RFC 6265 §4.1).
    pub(crate) fn value(&self, target: &str, secure: bool) -> String {
        let mut value = format!("{}={target}; Path=/; HttpOnly; SameSite=Lax", self.name);
        if let Some(max_age) = self.max_age {
            value += &format!("; Max-Age={}", max_age.as_secs());
        }
        if secure {
            value += "; Secure";
        }
        value
    }
}
