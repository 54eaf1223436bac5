//! The keys that tokens are checked against.

use super::algorithm::Algorithm;
use super::public_key::Material;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use std::fmt;
use zeroize::Zeroizing;

/// Bytes of a key set.
pub(super) const JWKS_BYTES_MAX: usize = 512 << 10;
/// Keys of a set.
const KEYS_MAX: usize = 100;

/// Keys, each for the algorithms that fit it. Never shows them.
pub struct KeySet(Vec<Key>);

/// A key with what its issuer says of it.
pub(super) struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    material: Material,
}

/// Why something is not a set of keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// More than 512 KiB or 100 keys.
    #[error("a key set has at most 512 KiB and 100 keys")]
    TooLarge,
    /// Not a JWK set.
    #[error("is not a JWK set (RFC 7517): line {line}, column {column}")]
    #[allow(missing_docs, reason = "say what they are")]
    NotJwks { line: usize, column: usize },
    /// There are keys, and none that could verify a signature.
    #[error("none of the keys can verify a signature")]
    NoneFits,
    /// Not a PEM with a public key.
    #[error("is not a PEM with a `PUBLIC KEY`")]
    NotPem,
    /// A key that is not secure, or of a kind that is not known.
    #[error("{0}")]
    Unfit(&'static str),
}

impl KeySet {
    /// Read a JWK set (RFC 7517). Keys that are not for signatures, not secure or of unknown kinds are left
    /// out, as §5 wants it.
    ///
    /// # Errors
    /// It is not one, is too large, or has keys and none that can be used.
    pub fn from_jwks(json: &[u8]) -> Result<KeySet, KeyError> {
        if json.len() > JWKS_BYTES_MAX {
            return Err(KeyError::TooLarge);
        }
        // Only the place: the message would quote what may be a secret.
        let set: RawSet = serde_json::from_slice(json).map_err(|error| KeyError::NotJwks {
            line: error.line(),
            column: error.column(),
        })?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeyError::TooLarge);
        }
        let some = !set.keys.is_empty();
        let keys: Vec<Key> = set.keys.into_iter().filter_map(Key::from_jwk).collect();
        if some && keys.is_empty() {
            return Err(KeyError::NoneFits);
        }
        Ok(KeySet(keys))
    }

    /// Read a public key: a PEM with a `PUBLIC KEY` (RFC 7468 §13) of RSA, P-256, P-384 or Ed25519.
    ///
    /// # Errors
    /// It is none, or not secure.
    pub fn from_pem(pem: &[u8]) -> Result<KeySet, KeyError> {
        Material::from_pem(pem).map(KeySet::one)
    }

    /// A shared key, for HS256, HS384 and HS512.
    ///
    /// # Errors
    /// It has less than 32 bytes, or is a PEM.
    pub fn from_shared(key: &[u8]) -> Result<KeySet, KeyError> {
        Material::shared(key).map(KeySet::one)
    }

    /// Read the value of a secret, which may be any of these: a PEM and a JWK set say what they are, everything else
    /// is a shared key.
    ///
    /// # Errors
    /// It is not what it says to be.
    pub fn from_secret(value: &[u8]) -> Result<KeySet, KeyError> {
        let text = value.trim_ascii_start();
        if text.starts_with(b"-----BEGIN") {
            KeySet::from_pem(value)
        } else if text.starts_with(b"{") {
            KeySet::from_jwks(value)
        } else {
            KeySet::from_shared(value)
        }
    }

    /// Keys for a token with this algorithm and key id. A key without an id may be any.
    pub(super) fn candidates<'a>(
        &'a self,
        algorithm: Algorithm,
        id: Option<&'a str>,
    ) -> impl Iterator<Item = &'a Material> {
        let fitting = self.0.iter().filter(move |key| {
            let named = id.is_none() || key.id.is_none() || key.id.as_deref() == id;
            let meant = key.algorithm.is_none_or(|meant| meant == algorithm);
            named && meant && key.material.fits(algorithm)
        });
        fitting.map(|key| &key.material)
    }

    fn one(material: Material) -> KeySet {
        KeySet(vec![Key {
            id: None,
            algorithm: None,
            material,
        }])
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.0.len())
    }
}

impl Key {
    fn from_jwk(jwk: serde_json::Value) -> Option<Key> {
        let jwk = Jwk::deserialize(jwk).ok()?;
        let verifies = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig")
            || !jwk.key_ops.as_ref().is_none_or(verifies)
        {
            return None;
        }
        let algorithm = match &jwk.alg {
            Some(name) => Some(name.parse::<Algorithm>().ok()?),
            None => None,
        };
        let material = jwk.material()?;
        if algorithm.is_some_and(|algorithm| !material.fits(algorithm)) {
            return None;
        }
        Some(Key {
            id: jwk.kid,
            algorithm,
            material,
        })
    }
}

#[derive(Deserialize)]
struct RawSet {
    /// As values, so that one that is of no use does not spoil the rest.
    keys: Vec<serde_json::Value>,
}

/// RFC 7517 §4, RFC 7518 §6, RFC 8037 §2.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    k: Option<Zeroizing<String>>,
}

impl Jwk {
    fn material(&self) -> Option<Material> {
        let material = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Material::rsa(&bytes(&self.n)?, &bytes(&self.e)?),
            ("EC", Some("P-256")) => Material::p256(self.point(32)?),
            ("EC", Some("P-384")) => Material::p384(self.point(48)?),
            ("OKP", Some("Ed25519")) => Material::ed25519(bytes(&self.x)?),
            ("oct", _) => {
                let key = URL_SAFE_NO_PAD.decode(self.k.as_ref()?.as_bytes()).ok()?;
                Material::shared(&Zeroizing::new(key))
            }
            _ => return None,
        };
        material.ok()
    }

    /// Coordinates have their full length (RFC 7518 §6.2.1.2).
    fn point(&self, coordinate: usize) -> Option<Vec<u8>> {
        let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
        (x.len() == coordinate && y.len() == coordinate).then(|| [&[4], &*x, &*y].concat())
    }
}

fn bytes(member: &Option<String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(member.as_ref()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn vectors() -> Value {
        serde_json::from_str(include_str!("vectors.json")).unwrap()
    }

    fn jwk(id: &str) -> Value {
        let vectors = vectors();
        let keys = vectors["jwks"]["keys"].as_array().unwrap();
        keys.iter().find(|key| key["kid"] == id).unwrap().clone()
    }

    fn read(keys: &[Value]) -> Result<KeySet, KeyError> {
        KeySet::from_jwks(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn with(id: &str, name: &str, value: Value) -> Value {
        let mut key = jwk(id);
        key[name] = value;
        key
    }

    #[test]
    fn keys_that_cannot_verify_are_left_out() {
        let good = jwk("p256");
        for other in [
            with("rsa", "use", json!("enc")),
            with("rsa", "key_ops", json!(["sign"])),
            with("rsa", "alg", json!("RSA-OAEP")),
            with("rsa", "alg", json!("ES256")),
            with("rsa", "n", json!("AQAB")),
            with("rsa", "e", json!("AQ")),
            with("rsa", "e", Value::Null),
            with("p256", "y", json!("AQAB")),
            with("p256", "crv", json!("P-521")),
            with("p384", "crv", json!("P-256")),
            with("ed25519", "crv", json!("X25519")),
            with("ed25519", "x", json!("AQAB")),
            with("shared", "k", json!("AQAB")),
            with("rsa", "kid", json!(7)),
            json!({ "kty": "AKP", "kid": "later" }),
            json!("no object"),
        ] {
            assert_eq!(
                read(&[other.clone(), good.clone()]).unwrap().0.len(),
                1,
                "{other}"
            );
            assert_eq!(read(&[other]).unwrap_err(), KeyError::NoneFits);
        }
        for fitting in [
            with("rsa", "use", json!("sig")),
            with("rsa", "key_ops", json!(["verify", "sign"])),
            with("rsa", "alg", json!("PS384")),
            with("rsa", "unknown", json!({})),
        ] {
            assert_eq!(read(&[fitting, good.clone()]).unwrap().0.len(), 2);
        }
    }

    #[test]
    fn sets_are_bounded() {
        assert_eq!(read(&[]).unwrap().0.len(), 0);
        assert_eq!(
            read(&vec![jwk("p256"); KEYS_MAX]).unwrap().0.len(),
            KEYS_MAX
        );
        assert_eq!(
            read(&vec![jwk("p256"); KEYS_MAX + 1]).unwrap_err(),
            KeyError::TooLarge
        );
        let padded = format!("{{\"keys\":[]{}}}", " ".repeat(JWKS_BYTES_MAX));
        assert_eq!(
            KeySet::from_jwks(padded.as_bytes()).unwrap_err(),
            KeyError::TooLarge
        );
        for text in ["", "[]", "{}", "{\"keys\":{}}", "{\"keys\":[]} x", "<html>"] {
            let error = KeySet::from_jwks(text.as_bytes()).unwrap_err();
            assert!(matches!(error, KeyError::NotJwks { .. }), "{text}");
        }
    }

    #[test]
    fn a_secret_says_what_it_is() {
        let vectors = vectors();
        let pem = vectors["pem"]["rsa"].as_str().unwrap();
        for secret in [
            pem,
            &vectors["jwks"].to_string(),
            vectors["shared"].as_str().unwrap(),
        ] {
            assert!(KeySet::from_secret(secret.as_bytes()).is_ok());
        }
        // A public key is no shared one, however it comes.
        assert!(matches!(
            KeySet::from_shared(pem.as_bytes()),
            Err(KeyError::Unfit(_))
        ));
        assert!(matches!(
            KeySet::from_secret(b"too short"),
            Err(KeyError::Unfit(_))
        ));
        assert!(matches!(
            KeySet::from_secret(b"{\"a\":1}"),
            Err(KeyError::NotJwks { .. })
        ));
    }

    #[test]
    fn unfit_pems_are_refused() {
        for (name, pem) in vectors()["unfit_pem"].as_object().unwrap() {
            let error = KeySet::from_pem(pem.as_str().unwrap().as_bytes()).unwrap_err();
            assert!(matches!(error, KeyError::Unfit(_)), "{name}: {error}");
        }
        for pem in [
            "",
            "x",
            "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ] {
            assert_eq!(
                KeySet::from_pem(pem.as_bytes()).unwrap_err(),
                KeyError::NotPem
            );
        }
    }

    #[test]
    fn keys_are_not_shown() {
        let set = KeySet::from_shared(&[b'x'; 32]).unwrap();
        assert_eq!(format!("{set:?}"), "KeySet(1 keys)");
        let error = KeySet::from_secret(b"{\"keys\":\"hunter2\"}").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
