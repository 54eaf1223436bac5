//! Let only requests with a known user name and password pass (RFC 7617).
//!
//! The host checks passwords against their hashes, beside the data path, because that is meant to
//! take long; a store may remember which passwords were right. A password is never logged or stored.

#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod credentials;
#[cfg(test)]
mod tests;
mod users;

use std::time::Duration;

use credentials::{Credentials, Presented};
use tidegate_sdk::FieldName;
use tidegate_sdk::crypto::Hash;
use tidegate_sdk::prelude::*;
use users::{Candidate, Users};

/// What the route's `config` holds.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Lines of an `htpasswd` file.
    users: Option<Vec<String>>,
    /// Instead: the name of a secret that holds such a file.
    secret: Option<String>,
    /// What the users may enter, as a 401 tells them.
    #[serde(default = "restricted")]
    realm: String,
    /// Where to remember who was let in.
    cache: Option<RawCache>,
    /// The request field that tells the upstream who it is.
    header: Option<FieldName>,
    /// Whether the credentials are removed before the request is forwarded.
    #[serde(default)]
    strip: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCache {
    /// The name of a store.
    store: String,
    /// How long a right password is remembered.
    #[serde(default = "five_minutes", with = "humantime_serde")]
    ttl: Duration,
}

/// The plugin.
pub struct BasicAuth {
    users: Users,
    /// Of a 401.
    challenge: String,
    cache: Option<Cache>,
    header: Option<FieldName>,
    strip: bool,
}

#[plugin]
impl Plugin for BasicAuth {
    type Config = Config;

    fn configure(config: Config, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
        let printable = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if !config.realm.bytes().all(printable) {
            let message = "expected printable ASCII without quotes and backslashes";
            return Err(ConfigError::at("realm", message).into());
        }
        if config
            .cache
            .as_ref()
            .is_some_and(|cache| cache.ttl.is_zero())
        {
            return Err(ConfigError::at("cache.ttl", "is 0, expected `5m`, for example").into());
        }
        Ok(Self {
            users: Users::new(config.users, config.secret)?,
            challenge: format!("Basic realm=\"{}\", charset=\"UTF-8\"", config.realm),
            cache: config.cache.map(|cache| Cache {
                store: Store::open(cache.store),
                ttl: cache.ttl,
            }),
            header: config.header,
            strip: config.strip,
        })
    }

    fn on_request(&self, request: &mut Request) -> Action {
        let credentials = match Presented::read(request) {
            Presented::One(credentials) => credentials,
            Presented::Nothing => return self.refuse(request, "missing"),
            Presented::Malformed => return self.refuse(request, "malformed"),
            Presented::Several => {
                count_refused("several");
                return request.respond(Reply::new(400).text("more than one user\n"));
            }
        };
        let passed = match self.is_right(&credentials) {
            Ok(true) => self.admit(request, &credentials.name),
            Ok(false) => return self.refuse(request, "wrong"),
            Err(error) => Err(error),
        };
        match passed {
            Ok(()) => Action::Proceed,
            Err(error) => {
                log::error!("it cannot be told who may enter: {error}");
                Action::Fail
            }
        }
    }
}

impl BasicAuth {
    fn is_right(&self, credentials: &Credentials) -> Result<bool, Error> {
        let Some(candidate) = self.users.candidate(&credentials.name)? else {
            log::warn!("there are no users");
            return Ok(false);
        };
        let Some(cache) = self.cache.as_ref().filter(|_| candidate.is_asked) else {
            return fits(&candidate, credentials);
        };
        let key = cache_key(&candidate, credentials)?;
        if cache.has(&key) {
            return Ok(true);
        }
        let right = fits(&candidate, credentials)?;
        if right {
            cache.remember(&key);
        }
        Ok(right)
    }

    fn admit(&self, request: &mut Request, name: &str) -> Result<(), Error> {
        attributes::set("basic-auth.user", name)?;
        let mut edits = Edits::new();
        if self.strip {
            edits.remove("authorization");
        }
        if let Some(header) = &self.header {
            edits.set(header.as_str(), name);
        }
        request.edit(&edits)
    }

    fn refuse(&self, request: &mut Request, reason: &str) -> Action {
        count_refused(reason);
        let reply = Reply::new(401).header("www-authenticate", self.challenge.as_str());
        request.respond(reply.text("a user name and a password are required\n"))
    }
}

/// Whether the password is right. It is checked against a stand-in too, which takes as long.
fn fits(candidate: &Candidate, credentials: &Credentials) -> Result<bool, Error> {
    match crypto::verify_password(&candidate.hash, &credentials.password) {
        Ok(fits) => Ok(fits && candidate.is_asked),
        // Not the client's fault; but a name must not be enough to make the plugin fail.
        Err(Error::InvalidValue) => {
            log::error!("the hash of `{}` cannot be checked", candidate.name);
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Under which a right password is remembered. Another hash, such as that of a new password, makes
/// another key; who sees only the store cannot try passwords without the hash.
fn cache_key(candidate: &Candidate, credentials: &Credentials) -> Result<Vec<u8>, Error> {
    let mut message = credentials.name.clone().into_bytes();
    // Names have no colon.
    message.push(b':');
    message.extend(&credentials.password);
    crypto::hmac(Hash::Sha256, candidate.hash.as_bytes(), message)
}

/// Which passwords were right.
struct Cache {
    store: Store,
    ttl: Duration,
}

impl Cache {
    /// Without the store, passwords are checked each time.
    fn has(&self, key: &[u8]) -> bool {
        self.store.get(key).is_ok_and(|value| value.is_some())
    }

    fn remember(&self, key: &[u8]) {
        if let Err(error) = self.store.set(key, b"1", Some(self.ttl)) {
            log::warn!("a right password is not remembered: {error}");
        }
    }
}

fn count_refused(reason: &str) {
    if let Err(error) = metrics::count("refused", &[("reason", reason)], 1) {
        log::debug!("metric refused: {error}");
    }
}

fn restricted() -> String {
    "restricted".to_owned()
}

fn five_minutes() -> Duration {
    Duration::from_secs(300)
}
