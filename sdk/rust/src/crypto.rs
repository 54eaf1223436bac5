//! Cryptography at native speed, in the host.
//!
//! [`verify_password`] waits, and so does [`verify_jws_url`] while it has no keys: a plugin that
//! uses them is called asynchronously. The others answer at once.
//!
//! ```
//! use tidegate_sdk::crypto::{Algorithm, JwsError, KeyUrl};
//! use tidegate_sdk::prelude::*;
//! use tidegate_sdk::testing::{Exchange, Host};
//!
//! #[derive(Deserialize)]
//! struct Settings {
//!     keys: String,
//!     algorithms: Vec<Algorithm>,
//! }
//!
//! struct Token {
//!     keys: KeyUrl,
//!     algorithms: Vec<Algorithm>,
//! }
//!
//! #[plugin]
//! impl Plugin for Token {
//!     type Config = Settings;
//!
//!     fn configure(config: Settings, _: &mut Interest) -> Result<Self, Vec<ConfigError>> {
//!         Ok(Self { keys: KeyUrl::new(config.keys), algorithms: config.algorithms })
//!     }
//!
//!     fn on_request(&self, request: &mut Request) -> Action {
//!         let value = request.header("authorization");
//!         let token = value.as_ref().and_then(|value| value.as_str()?.strip_prefix("Bearer "));
//!         let Some(token) = token else {
//!             return request.respond(Reply::new(401));
//!         };
//!         match crypto::verify_jws_url(token, &self.keys, &self.algorithms) {
//!             // The claims in `jws.payload` are the plugin's to check.
//!             Ok(_jws) => Action::Proceed,
//!             Err(JwsError::Unavailable) => Action::Fail,
//!             Err(_) => request.respond(Reply::new(401)),
//!         }
//!     }
//! }
//!
//! let mut host = Host::new();
//! host.set_jws("good.to.ken", r#"{"alg":"RS256"}"#, r#"{"sub":"ada"}"#);
//! let config = r#"{ "keys": "https://issuer.example/keys", "algorithms": ["RS256"] }"#;
//! let mut token = host.configure::<Token>(config).unwrap();
//! let ask = |value| Exchange::get("/").header("authorization", value);
//! assert_eq!(token.on_request(&mut ask("Bearer good.to.ken")), Action::Proceed);
//! assert_eq!(token.on_request(&mut ask("Bearer bad.to.ken")), Action::Respond);
//! ```

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use crate::bindings::host::tidegate::plugin::crypto as wit;
use crate::host::crypto as host;
use crate::time::nanoseconds;
use crate::{Error, Secret};

pub use wit::{Hash, Jws, JwsError};

/// A digest (FIPS 180-4).
pub fn digest(hash: Hash, data: impl AsRef<[u8]>) -> Vec<u8> {
    host::digest(hash, data.as_ref())
}

/// An authentication code (RFC 2104), with a key of bytes or a [`Secret`].
///
/// # Errors
///
/// [`Error::Unavailable`] where the host does not have the secret at the moment.
pub fn hmac(hash: Hash, key: impl Into<Key>, data: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
    host::hmac(hash, &key.into().0, data.as_ref())
}

/// Whether both are the same, in a time that tells nothing about where they differ.
pub fn equal(a: impl AsRef<[u8]>, b: impl AsRef<[u8]>) -> bool {
    host::equal(a.as_ref(), b.as_ref())
}

/// Whether this is the secret's value, in a time that tells nothing about where they differ.
///
/// # Errors
///
/// As for [`hmac()`].
pub fn equals_secret(value: impl AsRef<[u8]>, secret: &Secret) -> Result<bool, Error> {
    host::equals_secret(value.as_ref(), secret.0)
}

/// Whether a password fits a hash: a PHC string of argon2 or scrypt, or bcrypt (`$2b$…`). Waits: it
/// is computed beside the data path.
///
/// # Errors
///
/// [`Error::InvalidValue`] for a hash that is none, or that costs too much to compute.
pub fn verify_password(hash: &str, password: impl AsRef<[u8]>) -> Result<bool, Error> {
    host::verify_password(hash, password.as_ref())
}

/// Verify a compact JWS (RFC 7515), such as a JWT, up to 16 KiB. Only the algorithms that are listed
/// are accepted. Claims are the plugin's to check.
///
/// # Errors
///
/// Why the token is not accepted; [`JwsError::Unavailable`] says nothing about the token.
pub fn verify_jws(token: &str, keys: &Keys, algorithms: &[Algorithm]) -> Result<Jws, JwsError> {
    host::verify_jws(token, &keys.0, &names(algorithms))
}

/// As [`verify_jws`], with keys from a URL. Waits when they are not there yet, or when a token
/// names an unknown key.
///
/// # Errors
///
/// As for [`verify_jws`].
pub fn verify_jws_url(
    token: &str,
    keys: &KeyUrl,
    algorithms: &[Algorithm],
) -> Result<Jws, JwsError> {
    host::verify_jws_url(token, &keys.0, &names(algorithms))
}

fn names(algorithms: &[Algorithm]) -> Vec<String> {
    algorithms.iter().map(Algorithm::to_string).collect()
}

/// An algorithm of a signature (RFC 7518 §3.1, RFC 8037 §3.1). In a configuration it is written as
/// in a token's header: `"RS256"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
    /// HMAC with SHA-256: who can verify can sign.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
        })
    }
}

/// A key: bytes, or a secret that stays in the host.
#[derive(Clone)]
pub struct Key(wit::Key);

impl From<&Secret> for Key {
    fn from(secret: &Secret) -> Self {
        Self(wit::Key::Secret(secret.0))
    }
}

impl From<Vec<u8>> for Key {
    fn from(bytes: Vec<u8>) -> Self {
        Self(wit::Key::Bytes(bytes))
    }
}

impl From<&[u8]> for Key {
    fn from(bytes: &[u8]) -> Self {
        bytes.to_vec().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// Keys that are at hand, for [`verify_jws`].
#[derive(Clone)]
pub struct Keys(wit::Keys);

impl Keys {
    /// A JWK set (RFC 7517), as JSON.
    pub fn jwks(json: impl Into<String>) -> Self {
        Self(wit::Keys::Jwks(json.into()))
    }

    /// A public key, PEM.
    pub fn pem(pem: impl Into<String>) -> Self {
        Self(wit::Keys::Pem(pem.into()))
    }

    /// A key of HS256, HS384, HS512; a secret may also hold a JWK set or a public key.
    pub fn shared(key: impl Into<Key>) -> Self {
        Self(wit::Keys::Shared(key.into().0))
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

/// A JWK set (RFC 7517) at a URL, whose origin must be granted for `http`. The host fetches it,
/// keeps it for all instances, and refreshes it in the background.
#[derive(Clone, Debug)]
pub struct KeyUrl(wit::KeyUrl);

impl KeyUrl {
    /// The set at this URL, fetched again after 10 minutes, and in use for a day longer while a new
    /// one cannot be had.
    pub fn new(url: impl Into<String>) -> Self {
        Self(wit::KeyUrl {
            url: url.into(),
            refresh: nanoseconds(Duration::from_secs(600)),
            stale: nanoseconds(Duration::from_secs(86_400)),
        })
    }

    /// The time after which it is fetched again, at least 10 s.
    #[must_use]
    pub fn refresh(mut self, time: Duration) -> Self {
        self.0.refresh = nanoseconds(time);
        self
    }

    /// The time for which the last good set serves while a new one cannot be had.
    #[must_use]
    pub fn stale(mut self, time: Duration) -> Self {
        self.0.stale = nanoseconds(time);
        self
    }
}
