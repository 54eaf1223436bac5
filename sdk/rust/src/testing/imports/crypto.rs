//! The interface `crypto`: real digests and codes; what needs real keys is as the test says.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac, digest::KeyInit};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::super::Host;
use super::super::call::with;
use super::secrets::Secrets;
use crate::Error;
use crate::bindings::host::tidegate::plugin::crypto::{Key, KeyUrl, Keys};
use crate::crypto::{Hash, Jws, JwsError};

/// The most bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What the test says of tokens and passwords.
#[derive(Default)]
pub(in crate::testing) struct Credentials {
    tokens: BTreeMap<String, Result<Jws, JwsError>>,
    /// By hash.
    passwords: BTreeMap<String, Vec<u8>>,
}

impl Host {
    /// A token whose signature is right, whatever the keys, with its header and payload in JSON.
    /// The algorithm in the header must be one that the plugin allows. The signatures of other
    /// tokens are wrong.
    pub fn set_jws(&mut self, token: &str, header: &str, payload: &str) {
        let jws = Jws {
            header: header.to_owned(),
            payload: payload.as_bytes().to_vec(),
        };
        self.credentials.tokens.insert(token.to_owned(), Ok(jws));
    }

    /// A token that is not accepted.
    pub fn set_jws_error(&mut self, token: &str, error: JwsError) {
        self.credentials.tokens.insert(token.to_owned(), Err(error));
    }

    /// A hash and the password that fits it. Other texts are no hashes.
    pub fn set_password(&mut self, hash: &str, password: impl Into<Vec<u8>>) {
        let passwords = &mut self.credentials.passwords;
        passwords.insert(hash.to_owned(), password.into());
    }
}

pub(crate) fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha1 => Sha1::digest(data).to_vec(),
        Hash::Sha256 => Sha256::digest(data).to_vec(),
        Hash::Sha384 => Sha384::digest(data).to_vec(),
        Hash::Sha512 => Sha512::digest(data).to_vec(),
    }
}

pub(crate) fn hmac(hash: Hash, key: &Key, data: &[u8]) -> Result<Vec<u8>, Error> {
    with(|current| {
        let key = bytes(&current.host.secrets, key)?;
        match hash {
            Hash::Sha1 => code::<Hmac<Sha1>>(key, data),
            Hash::Sha256 => code::<Hmac<Sha256>>(key, data),
            Hash::Sha384 => code::<Hmac<Sha384>>(key, data),
            Hash::Sha512 => code::<Hmac<Sha512>>(key, data),
        }
    })
}

fn code<M: Mac + KeyInit>(key: &[u8], data: &[u8]) -> Result<Vec<u8>, Error> {
    let mut mac = <M as Mac>::new_from_slice(key).map_err(|_| Error::InvalidArgument)?;
    mac.update(data);
    Ok(mac.finalize().into_bytes().to_vec())
}

pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a == b
}

pub(crate) fn equals_secret(value: &[u8], secret: u32) -> Result<bool, Error> {
    with(|current| Ok(value == current.host.secrets.value(secret)?))
}

pub(crate) fn verify_password(hash: &str, password: &[u8]) -> Result<bool, Error> {
    with(|current| {
        let fitting = current.host.credentials.passwords.get(hash);
        Ok(fitting.ok_or(Error::InvalidValue)? == password)
    })
}

pub(crate) fn verify_jws(token: &str, keys: &Keys, algorithms: &[String]) -> Result<Jws, JwsError> {
    if let Keys::Shared(key) = keys {
        with(|current| bytes(&current.host.secrets, key).map(drop))
            .map_err(|_| JwsError::Unavailable)?;
    }
    verify(token, algorithms)
}

pub(crate) fn verify_jws_url(
    token: &str,
    _keys: &KeyUrl,
    algorithms: &[String],
) -> Result<Jws, JwsError> {
    verify(token, algorithms)
}

fn verify(token: &str, algorithms: &[String]) -> Result<Jws, JwsError> {
    if token.len() > TOKEN_BYTES_MAX || token.split('.').count() != 3 {
        return Err(JwsError::Malformed);
    }
    let known = with(|current| current.host.credentials.tokens.get(token).cloned());
    let jws = known.unwrap_or(Err(JwsError::Signature))?;
    let header: serde_json::Value =
        serde_json::from_str(&jws.header).map_err(|_| JwsError::Malformed)?;
    let algorithm = header.get("alg").and_then(|name| name.as_str());
    if algorithms
        .iter()
        .any(|allowed| Some(allowed.as_str()) == algorithm)
    {
        Ok(jws)
    } else {
        Err(JwsError::Algorithm)
    }
}

fn bytes<'a>(secrets: &'a Secrets, key: &'a Key) -> Result<&'a [u8], Error> {
    match key {
        Key::Bytes(bytes) => Ok(bytes),
        Key::Secret(handle) => secrets.value(*handle),
    }
}
