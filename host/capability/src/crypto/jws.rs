//! Verification of a JSON Web Signature in its compact form (RFC 7515 §5.2, with the advice of RFC 8725).

use super::algorithm::Algorithm;
use super::key_set::KeySet;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// Keys that are tried for one token. Each costs a verification.
const CANDIDATES_MAX: usize = 8;

/// A token whose signature was verified. Its claims are the caller's to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws {
    /// The protected header, JSON as it was signed.
    pub header: String,
    /// What was signed; of a JWT, JSON.
    pub payload: Vec<u8>,
}

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Not a compact JWS, larger than 16 KiB, or with extensions that have to be understood.
    #[error("is not a compact JWS of at most 16 KiB: {0}")]
    Malformed(&'static str),
    /// Its algorithm is not among the allowed ones.
    #[error("its algorithm is not allowed")]
    Algorithm,
    /// No key has its id and fits its algorithm.
    #[error("no key fits it")]
    UnknownKey,
    /// The signature is wrong.
    #[error("its signature is wrong")]
    Signature,
    /// The keys cannot be had at the moment.
    #[error("the keys cannot be had: {0}")]
    Unavailable(String),
}

/// Verify a token. Only `allowed` algorithms count, and of those what fits a key's kind.
///
/// # Errors
/// It is not accepted; nothing in it can be trusted.
pub fn verify_jws(token: &str, keys: &KeySet, allowed: &[Algorithm]) -> Result<Jws, JwsError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(JwsError::Malformed("it is larger"));
    }
    let parts = token.rsplit_once('.').and_then(|(signed, signature)| {
        let (header, payload) = signed.split_once('.')?;
        Some((signed, header, payload, signature))
    });
    let Some((signed, header, payload, signature)) = parts else {
        return Err(JwsError::Malformed("it has not three parts"));
    };
    let text = String::from_utf8(decode(header)?).map_err(|_| BAD_HEADER)?;
    let header = Header::parse(&text)?;
    let (payload, signature) = (decode(payload)?, decode(signature)?);
    let algorithm = header
        .algorithm
        .filter(|algorithm| allowed.contains(algorithm));
    let algorithm = algorithm.ok_or(JwsError::Algorithm)?;
    let mut error = JwsError::UnknownKey;
    for key in keys
        .candidates(algorithm, header.key_id.as_deref())
        .take(CANDIDATES_MAX)
    {
        if key.verifies(algorithm, signed.as_bytes(), &signature) {
            return Ok(Jws {
                header: text,
                payload,
            });
        }
        error = JwsError::Signature;
    }
    Err(error)
}

const BAD_HEADER: JwsError = JwsError::Malformed("its header is not a JSON object");

/// Strict: no padding, no other characters, no bits left over, so that a token has one spelling.
fn decode(part: &str) -> Result<Vec<u8>, JwsError> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| JwsError::Malformed("a part is not base64url"))
}

/// What matters of a header.
struct Header {
    /// None if it is not one of ours.
    algorithm: Option<Algorithm>,
    key_id: Option<String>,
}

impl Header {
    fn parse(text: &str) -> Result<Header, JwsError> {
        let Members(mut members) = serde_json::from_str(text).map_err(|_| BAD_HEADER)?;
        if members.contains_key("crit") {
            return Err(JwsError::Malformed("it has critical extensions"));
        }
        let Some(Value::String(algorithm)) = members.remove("alg") else {
            return Err(JwsError::Malformed("its header has no algorithm"));
        };
        let key_id = match members.remove("kid") {
            None => None,
            Some(Value::String(id)) => Some(id),
            Some(_) => return Err(JwsError::Malformed("its key id is not a text")),
        };
        Ok(Header {
            algorithm: algorithm.parse().ok(),
            key_id,
        })
    }
}

/// An object in which no name stands twice (RFC 7515 §5.2): another reader might take the other value.
struct Members(HashMap<String, Value>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Members, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Members, A::Error> {
                let mut members = HashMap::new();
                while let Some((name, value)) = object.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a name stands twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
#[path = "jws_tests.rs"]
mod tests;
