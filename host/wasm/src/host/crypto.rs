//! `crypto`: digests, codes, tokens and passwords, computed by the host.

use super::Host;
use crate::wit::{WitError, WitHash, WitJws, WitJwsError, WitKey, WitKeyUrl, WitKeys};
use std::time::Duration;
use tidegate_capability::crypto::{
    Algorithm, Jws, JwsError, KeyError, KeySet, KeyUrl, PasswordError, digest, equal, hmac,
    verify_jws,
};
use wasmtime::component::{LinkerInstance, WasmList};
use wasmtime::{Result, StoreContextMut};

type Caller<'a> = StoreContextMut<'a, Host>;
type Answer<T> = std::result::Result<T, WitError>;
type Verified = std::result::Result<WitJws, WitJwsError>;

/// Key sets that an instance keeps.
const KEY_SETS_MAX: usize = 8;

pub(super) fn link(crypto: &mut LinkerInstance<'_, Host>) -> Result<()> {
    crypto.func_wrap(
        "digest",
        |host: Caller<'_>, (hash, data): (WitHash, WasmList<u8>)| {
            Ok((digest(hash.into(), data.as_le_slice(&host)),))
        },
    )?;
    crypto.func_wrap(
        "hmac",
        |host: Caller<'_>, (hash, key, data): (WitHash, WitKey, WasmList<u8>)| {
            let code = host
                .data()
                .with_key(&key, |key| hmac(hash.into(), key, data.as_le_slice(&host)));
            Ok((code,))
        },
    )?;
    crypto.func_wrap(
        "equal",
        |host: Caller<'_>, (a, b): (WasmList<u8>, WasmList<u8>)| {
            Ok((equal(a.as_le_slice(&host), b.as_le_slice(&host)),))
        },
    )?;
    crypto.func_wrap(
        "equals-secret",
        |host: Caller<'_>, (a, secret): (WasmList<u8>, u32)| {
            let secret = host.data().secret(secret);
            let same = secret.map(|secret| equal(a.as_le_slice(&host), secret.expose()));
            Ok((same,))
        },
    )?;
    crypto.func_wrap(
        "verify-jws",
        |mut host: Caller<'_>, (token, keys, algorithms): (String, WitKeys, Vec<String>)| {
            Ok((host.data_mut().verify(&token, keys, &algorithms),))
        },
    )?;
    link_waiting(crypto)
}

/// What is computed beside the data path, or fetched.
fn link_waiting(crypto: &mut LinkerInstance<'_, Host>) -> Result<()> {
    crypto.func_wrap_async(
        "verify-password",
        |host: Caller<'_>, (hash, password): (String, Vec<u8>)| {
            let passwords = host.data().capabilities.passwords.clone();
            Box::new(async move {
                let Some(passwords) = passwords else {
                    return Ok((Err(WitError::Unavailable),));
                };
                let fits = passwords.verify(&hash, &password).await;
                let fits: Answer<bool> = fits.map_err(|error| match error {
                    PasswordError::NotAHash | PasswordError::TooCostly | PasswordError::TooLong => {
                        WitError::InvalidValue
                    }
                    PasswordError::Busy => WitError::LimitReached,
                });
                Ok((fits,))
            })
        },
    )?;
    crypto.func_wrap_async(
        "verify-jws-url",
        |host: Caller<'_>, (token, keys, allowed): (String, WitKeyUrl, Vec<String>)| {
            let granted = host.data().capabilities.clone();
            Box::new(async move {
                let (Some(jwks), Some(client)) = (&granted.jwks, &granted.http) else {
                    return Ok((Err(WitJwsError::Unavailable),));
                };
                let refresh = Duration::from_nanos(keys.refresh);
                let stale = Duration::from_nanos(keys.stale);
                let Ok(source) = KeyUrl::new(&keys.url, refresh, stale) else {
                    return Ok((Err(WitJwsError::InvalidKeys),));
                };
                let verified: Verified = match algorithms(&allowed) {
                    Some(allowed) => jwks
                        .verify(client, &source, &token, &allowed)
                        .await
                        .map(WitJws::from)
                        .map_err(refused),
                    None => Err(WitJwsError::Algorithm),
                };
                Ok((verified,))
            })
        },
    )
}

impl Host {
    fn with_key<T>(&self, key: &WitKey, work: impl FnOnce(&[u8]) -> T) -> Answer<T> {
        match key {
            WitKey::Bytes(bytes) => Ok(work(bytes)),
            WitKey::Secret(handle) => Ok(work(self.secret(*handle)?.expose())),
        }
    }

    fn verify(&mut self, token: &str, keys: WitKeys, allowed: &[String]) -> Verified {
        let allowed = algorithms(allowed).ok_or(WitJwsError::Algorithm)?;
        let keys = match keys {
            WitKeys::Jwks(text) => self.key_set(text, KeySet::from_jwks)?,
            WitKeys::Pem(text) => self.key_set(text, KeySet::from_pem)?,
            WitKeys::Shared(WitKey::Bytes(key)) => &parsed(KeySet::from_shared(&key))?,
            WitKeys::Shared(WitKey::Secret(handle)) => {
                let secret = self.secret(handle);
                let secret = secret.map_err(|_| WitJwsError::Unavailable)?;
                &parsed(KeySet::from_secret(secret.expose()))?
            }
        };
        verify_jws(token, keys, &allowed)
            .map(WitJws::from)
            .map_err(refused)
    }

    /// Keys that are given as text are those of the configuration, nearly always: they are parsed once.
    fn key_set(
        &mut self,
        text: String,
        parse: impl FnOnce(&[u8]) -> std::result::Result<KeySet, KeyError>,
    ) -> std::result::Result<&KeySet, WitJwsError> {
        let known = self.key_sets.iter().position(|(of, _)| *of == text);
        let place = match known {
            Some(place) => place,
            None => {
                let keys = parsed(parse(text.as_bytes()))?;
                if self.key_sets.len() >= KEY_SETS_MAX {
                    self.key_sets.clear();
                }
                self.key_sets.push((text, keys));
                self.key_sets.len() - 1
            }
        };
        let known = self.key_sets.get(place).map(|(_, keys)| keys);
        known.ok_or(WitJwsError::Unavailable)
    }
}

fn parsed(keys: std::result::Result<KeySet, KeyError>) -> std::result::Result<KeySet, WitJwsError> {
    keys.map_err(|_| WitJwsError::InvalidKeys)
}

fn algorithms(names: &[String]) -> Option<Vec<Algorithm>> {
    names.iter().map(|name| name.parse().ok()).collect()
}

impl From<Jws> for WitJws {
    fn from(jws: Jws) -> WitJws {
        WitJws {
            header: jws.header,
            payload: jws.payload,
        }
    }
}

fn refused(error: JwsError) -> WitJwsError {
    match error {
        JwsError::Malformed(_) => WitJwsError::Malformed,
        JwsError::Algorithm => WitJwsError::Algorithm,
        JwsError::UnknownKey => WitJwsError::UnknownKey,
        JwsError::Signature => WitJwsError::Signature,
        JwsError::Unavailable(reason) => {
            tracing::warn!("keys of tokens cannot be had: {reason}");
            WitJwsError::Unavailable
        }
    }
}
