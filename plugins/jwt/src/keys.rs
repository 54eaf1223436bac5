//! The keys that tokens are signed with.

use std::time::Duration;

use serde_json::Value;
use tidegate_sdk::crypto::{self, Algorithm, Jws, JwsError, KeyUrl};
use tidegate_sdk::prelude::*;

/// Where the keys are, as written.
pub(crate) struct RawKeys {
    pub(crate) jwks_url: Option<String>,
    pub(crate) refresh: Option<Duration>,
    pub(crate) stale: Option<Duration>,
    pub(crate) jwks: Option<Value>,
    pub(crate) pem: Option<String>,
    pub(crate) secret: Option<String>,
}

/// Where the keys are.
pub(crate) enum Keys {
    /// The host fetches and keeps them.
    Url(KeyUrl),
    Held(crypto::Keys),
}

impl Keys {
    pub(crate) fn new(raw: RawKeys, algorithms: &[Algorithm]) -> Result<Self, ConfigError> {
        let is_shared = |one: &&Algorithm| {
            matches!(one, Algorithm::Hs256 | Algorithm::Hs384 | Algorithm::Hs512)
        };
        if let (Some(shared), None) = (algorithms.iter().find(is_shared), &raw.secret) {
            // A public key that served as a shared one would let everybody sign (RFC 8725 §2.1).
            let message = format!("`{shared}` needs a shared key, which is given with `secret`");
            return Err(ConfigError::at("algorithms", message));
        }
        if raw.jwks_url.is_none() {
            let fetching = [("refresh", raw.refresh), ("stale", raw.stale)];
            if let Some((name, _)) = fetching.iter().find(|(_, time)| time.is_some()) {
                return Err(ConfigError::at(name, "is of no use without `jwks_url`"));
            }
        }
        match (raw.jwks_url, raw.jwks, raw.pem, raw.secret) {
            (Some(url), None, None, None) => from_url(url, raw.refresh, raw.stale).map(Self::Url),
            (None, Some(Value::String(set)), None, None) => held("jwks", crypto::Keys::jwks(set)),
            (None, Some(set), None, None) => held("jwks", crypto::Keys::jwks(set.to_string())),
            (None, None, Some(pem), None) => held("pem", crypto::Keys::pem(pem)),
            (None, None, None, Some(name)) => {
                let secret = secrets::open(&name);
                let secret = secret.map_err(|error| {
                    ConfigError::at("secret", format!("`{name}` cannot be used: {error}"))
                })?;
                held("secret", crypto::Keys::shared(&secret))
            }
            _ => Err(ConfigError::at(
                "",
                "expected exactly one of `jwks_url`, `jwks`, `pem` and `secret`",
            )),
        }
    }

    pub(crate) fn verify(&self, token: &str, algorithms: &[Algorithm]) -> Result<Jws, JwsError> {
        match self {
            Self::Url(url) => crypto::verify_jws_url(token, url, algorithms),
            Self::Held(keys) => crypto::verify_jws(token, keys, algorithms),
        }
    }
}

fn from_url(
    url: String,
    refresh: Option<Duration>,
    stale: Option<Duration>,
) -> Result<KeyUrl, ConfigError> {
    if !["https://", "http://"]
        .iter()
        .any(|scheme| url.starts_with(scheme))
    {
        return Err(ConfigError::at(
            "jwks_url",
            "expected a URL that begins with `https://` or `http://`",
        ));
    }
    if refresh.is_some_and(|time| time < Duration::from_secs(10)) {
        return Err(ConfigError::at("refresh", "expected at least `10s`"));
    }
    let keys = KeyUrl::new(url);
    let keys = refresh.into_iter().fold(keys, KeyUrl::refresh);
    Ok(stale.into_iter().fold(keys, KeyUrl::stale))
}

/// Keys that are at hand. That they are keys shows in the verification of any token.
fn held(path: &str, keys: crypto::Keys) -> Result<Keys, ConfigError> {
    match crypto::verify_jws("..", &keys, &[Algorithm::Es256]) {
        Err(JwsError::InvalidKeys) => Err(ConfigError::at(path, EXPECTED)),
        _ => Ok(Keys::Held(keys)),
    }
}

const EXPECTED: &str = "expected a JWK set, a PEM with a `PUBLIC KEY`, or in a secret \
                        a shared key of at least 32 bytes";
