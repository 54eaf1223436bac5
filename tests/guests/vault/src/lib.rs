//! Makes the call of `secrets` or `crypto` that the field `x-call` describes in JSON, and answers with what
//! came of it: 200 and the value, or 400 and the name of the error.

#![forbid(unsafe_code)]

use std::time::Duration;

use tidegate_sdk::crypto::{Algorithm, Hash, Jws, JwsError, Key, KeyUrl, Keys};
use tidegate_sdk::prelude::*;

#[derive(Deserialize)]
struct Vault {}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Call {
    Reveal(String),
    /// A guess of the value of a secret.
    Guess {
        secret: String,
        value: String,
    },
    Digest {
        hash: String,
        data: String,
    },
    Hmac {
        hash: String,
        key: KeyOf,
        data: String,
    },
    Equal(String, String),
    Password {
        hash: String,
        password: String,
    },
    Jws {
        token: String,
        keys: KeysOf,
        algorithms: Vec<Algorithm>,
    },
    /// Times are in seconds.
    JwsUrl {
        token: String,
        url: String,
        refresh: u64,
        stale: u64,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeyOf {
    Bytes(String),
    Secret(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeysOf {
    Jwks(String),
    Pem(String),
    Shared(KeyOf),
}

#[plugin]
impl Plugin for Vault {
    fn on_request(&self, request: &mut Request) -> Action {
        let Some(call) = request.header("x-call") else {
            return Action::Proceed;
        };
        let answer = match serde_json::from_slice(call.as_bytes()) {
            Ok(call) => make(call),
            Err(error) => Err(error.to_string()),
        };
        let (status, text) = match answer {
            Ok(text) => (200, text),
            Err(text) => (400, text),
        };
        request.respond(Reply::new(status).text(text))
    }
}

fn make(call: Call) -> Result<String, String> {
    match call {
        Call::Jws {
            token,
            keys,
            algorithms,
        } => {
            let keys = keys.open().map_err(named)?;
            payload(crypto::verify_jws(&token, &keys, &algorithms))
        }
        Call::JwsUrl {
            token,
            url,
            refresh,
            stale,
        } => {
            let keys = KeyUrl::new(url)
                .refresh(Duration::from_secs(refresh))
                .stale(Duration::from_secs(stale));
            payload(crypto::verify_jws_url(&token, &keys, &[Algorithm::EdDsa]))
        }
        other => simple(other).map_err(named),
    }
}

fn simple(call: Call) -> Result<String, Error> {
    Ok(match call {
        Call::Reveal(secret) => {
            String::from_utf8_lossy(&secrets::open(&secret)?.reveal()?).into_owned()
        }
        Call::Guess { secret, value } => {
            crypto::equals_secret(value, &secrets::open(&secret)?)?.to_string()
        }
        Call::Digest { hash, data } => hex(&crypto::digest(hash_of(&hash)?, data)),
        Call::Hmac { hash, key, data } => hex(&crypto::hmac(hash_of(&hash)?, key.open()?, data)?),
        Call::Equal(a, b) => crypto::equal(a, b).to_string(),
        Call::Password { hash, password } => crypto::verify_password(&hash, password)?.to_string(),
        Call::Jws { .. } | Call::JwsUrl { .. } => return Err(Error::Internal),
    })
}

impl KeyOf {
    fn open(self) -> Result<Key, Error> {
        Ok(match self {
            KeyOf::Bytes(bytes) => bytes.into_bytes().into(),
            KeyOf::Secret(name) => (&secrets::open(&name)?).into(),
        })
    }
}

impl KeysOf {
    fn open(self) -> Result<Keys, Error> {
        Ok(match self {
            KeysOf::Jwks(json) => Keys::jwks(json),
            KeysOf::Pem(pem) => Keys::pem(pem),
            KeysOf::Shared(key) => Keys::shared(key.open()?),
        })
    }
}

fn payload(verified: Result<Jws, JwsError>) -> Result<String, String> {
    match verified {
        Ok(jws) => Ok(String::from_utf8_lossy(&jws.payload).into_owned()),
        Err(error) => Err(error.name().to_owned()),
    }
}

fn named(error: Error) -> String {
    error.name().to_owned()
}

fn hash_of(name: &str) -> Result<Hash, Error> {
    Ok(match name {
        "sha1" => Hash::Sha1,
        "sha256" => Hash::Sha256,
        "sha384" => Hash::Sha384,
        "sha512" => Hash::Sha512,
        _ => return Err(Error::InvalidArgument),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
