//! Let only requests with a known API key pass.
//!
//! The configuration holds the SHA-256 of each key. `configure` sorts them; the request phase
//! hashes what the client presents, finds it, and puts the key's `id` and attributes where later
//! plugins, the upstream's headers and the access log can use them. A key itself is never logged.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod key;
mod source;
#[cfg(test)]
mod tests;

use key::{Key, KeyRing, RawKey, Verdict};
use sha2::{Digest, Sha256};
use source::{Found, Source};
use tidegate_sdk::prelude::*;

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients put their key.
    #[serde(default = "x_api_key")]
    sources: Vec<Source>,
    /// The keys that are known.
    keys: Vec<RawKey>,
    /// Whether the key is removed before the request is forwarded.
    #[serde(default)]
    strip: bool,
    /// What the keys are for, as a 401 tells the client.
    #[serde(default = "api")]
    realm: String,
}

/// The plugin.
pub struct ApiKey {
    sources: Vec<Source>,
    keys: KeyRing,
    strip: bool,
    realm: String,
}

#[plugin]
impl Plugin for ApiKey {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        if config.sources.is_empty() {
            return Err(ConfigError::at("sources", "is empty, expected at least one place").into());
        }
        if config.strip && config.sources.iter().any(Source::is_query) {
            let message = "a key in the query cannot be removed, it is forwarded with the path; \
                           take the key from a header, or set `strip` to false";
            return Err(ConfigError::at("strip", message).into());
        }
        let printable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !config.realm.bytes().all(printable) {
            let message = "expected printable ASCII without quotes and backslashes";
            return Err(ConfigError::at("realm", message).into());
        }
        Ok(Self {
            sources: config.sources,
            keys: KeyRing::new(config.keys)?,
            strip: config.strip,
            realm: config.realm,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let (source, credential) = match source::find(&self.sources, request) {
            Found::One(source, credential) => (source, credential),
            Found::None => return self.refuse(request, Denial::Missing, None),
            Found::Several => return self.refuse(request, Denial::Ambiguous, None),
        };
        let digest = Sha256::digest(&credential).into();
        let key = match self.keys.find(digest) {
            Verdict::Valid(key) => key,
            Verdict::Unknown => return self.refuse(request, Denial::Unknown, None),
            Verdict::Disabled(key) => return self.refuse(request, Denial::Disabled, Some(key)),
            Verdict::Expired(key) => return self.refuse(request, Denial::Expired, Some(key)),
        };
        match self.admit(request, source, key) {
            Ok(()) => Action::Proceed,
            Err(error) => {
                log::error!("the proxy refused what key `{}` brings: {error}", key.id);
                Action::Fail
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Denial {
    Missing,
    Ambiguous,
    Unknown,
    Disabled,
    Expired,
}

impl ApiKey {
    fn admit(&self, request: &mut Request, source: &Source, key: &Key) -> Result<(), Error> {
        attributes::set("api-key.id", key.id.as_str())?;
        for (name, value) in &key.attributes {
            attributes::set(name, value.clone())?;
        }
        match source.field() {
            Some(name) if self.strip => request.remove_header(name),
            _ => Ok(()),
        }
    }

    fn refuse(&self, request: &mut Request, denial: Denial, key: Option<&Key>) -> Action {
        let reason = denial.reason();
        if let Some(key) = key {
            log::info!("refused key `{}`: {reason}", key.id);
        }
        if let Err(error) = metrics::count("refused", &[("reason", reason)], 1) {
            log::debug!("metric refused: {error}");
        }
        if denial == Denial::Ambiguous {
            return request.respond(Reply::new(400).text("more than one API key\n"));
        }
        // An outsider does not learn whether a key was ever known.
        let text = match denial {
            Denial::Missing => "an API key is required\n",
            _ => "the API key is not valid\n",
        };
        let mut reply = Reply::new(401);
        let mut challenges: Vec<String> = Vec::new();
        for source in &self.sources {
            let challenge = source.challenge(&self.realm, denial != Denial::Missing);
            if !challenges.contains(&challenge) {
                reply = reply.header("www-authenticate", challenge.as_str());
                challenges.push(challenge);
            }
        }
        request.respond(reply.text(text))
    }
}

impl Denial {
    /// For the metric and the log.
    fn reason(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
        }
    }
}

fn x_api_key() -> Vec<Source> {
    vec![Source::Header("x-api-key".to_owned())]
}

fn api() -> String {
    "api".to_owned()
}
