//! Allowed requests, remembered in a store.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tidegate_sdk::prelude::*;

use crate::grant::{Field, Grant};

/// Where and for how long, as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawCache {
    /// The name of a store.
    store: String,
    /// How long an answer is remembered.
    #[serde(with = "humantime_serde")]
    ttl: Duration,
    /// What requests have in common that share an answer; where absent, all that is sent.
    key: Option<Vec<Part>>,
}

/// Answers that allowed a request. Others are not remembered: who logs in is let in at once.
pub(crate) struct Cache {
    store: Store,
    ttl: Duration,
    key: Option<Vec<Part>>,
    /// What is asked and copied: answers for another configuration are not for this one.
    prefix: String,
}

impl Cache {
    pub(crate) fn new(raw: RawCache, prefix: String) -> Result<Self, ConfigError> {
        if raw.ttl.is_zero() {
            return Err(ConfigError::at(
                "cache.ttl",
                "is 0, expected `30s`, for example",
            ));
        }
        if raw.key.as_ref().is_some_and(Vec::is_empty) {
            // All requests would share one answer.
            return Err(ConfigError::at(
                "cache.key",
                "is empty, expected at least one part",
            ));
        }
        Ok(Self {
            store: Store::open(raw.store),
            ttl: raw.ttl,
            key: raw.key,
            prefix,
        })
    }

    /// Under which the answer to this question is kept.
    pub(crate) fn key(&self, request: &Request, question: &[Field]) -> Vec<u8> {
        let mut digest = Sha256::new();
        // With its length, so that the same text cut elsewhere is another key.
        let mut add = |value: Option<&[u8]>| {
            digest.update(
                value
                    .map_or(u64::MAX, |value| value.len() as u64)
                    .to_be_bytes(),
            );
            digest.update(value.unwrap_or_default());
        };
        add(Some(self.prefix.as_bytes()));
        match &self.key {
            Some(parts) => {
                for part in parts {
                    add(part.read(request).as_deref());
                }
            }
            None => {
                for (name, value) in question {
                    add(Some(name.as_bytes()));
                    add(Some(value));
                }
            }
        }
        digest.finalize().to_vec()
    }

    /// Without the store, the server is asked each time.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Grant> {
        let kept = self.store.get(key).ok().flatten();
        kept.and_then(|bytes| Grant::decode(&bytes))
    }

    pub(crate) fn remember(&self, key: &[u8], grant: &Grant) {
        if let Err(error) = self.store.set(key, grant.encode(), Some(self.ttl)) {
            log::warn!("an answer is not remembered: {error}");
        }
    }
}

/// What requests have in common that share an answer.
#[derive(Deserialize)]
#[serde(try_from = "String")]
enum Part {
    Method,
    Host,
    Path,
    Query,
    ClientAddress,
    Header(String),
    Cookie(String),
}

impl Part {
    fn read(&self, request: &Request) -> Option<Vec<u8>> {
        match self {
            Self::Method => Some(request.method().into_bytes()),
            Self::Host => Some(request.host().into_bytes()),
            Self::Path => Some(request.path().into_bytes()),
            Self::Query => request.query().map(String::into_bytes),
            Self::ClientAddress => attributes::text("client.address").map(String::into_bytes),
            Self::Header(name) => request.header(name).map(HeaderValue::into_bytes),
            Self::Cookie(name) => cookies(request, name),
        }
    }
}

/// All values of a cookie: two readers could take different ones.
fn cookies(request: &Request, name: &str) -> Option<Vec<u8>> {
    let cookies = request.header("cookie")?.into_bytes();
    let pairs = cookies.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let values = pairs.filter_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="));
    let values: Vec<&[u8]> = values.collect();
    (!values.is_empty()).then(|| values.join(&b';'))
}

impl TryFrom<String> for Part {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match text.split_once(':') {
            None if text == "method" => Self::Method,
            None if text == "host" => Self::Host,
            None if text == "path" => Self::Path,
            None if text == "query" => Self::Query,
            None if text == "client-address" => Self::ClientAddress,
            Some(("header", name)) if !name.is_empty() => Self::Header(name.to_owned()),
            Some(("cookie", name)) if !name.is_empty() => Self::Cookie(name.to_owned()),
            _ => {
                return Err(format!(
                    "unknown part `{text}`, expected `method`, `host`, `path`, `query`, `client-address`, \
                     `header:NAME` or `cookie:NAME`"
                ));
            }
        })
    }
}
