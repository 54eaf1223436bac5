//! Encryption of files at rest: AES-256-GCM under a key that is derived for each file anew.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// What a sealed file begins with.
const MAGIC: &[u8] = b"tidegate-sealed-1\n";
const SALT_LEN: usize = 32;
/// The fewest bytes of a secret: it is a key and not a password, so nothing slows down guessing.
const SECRET_MIN: usize = 16;

/// The key of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreKey(Secret);

/// Why bytes could not be sealed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error("it is encrypted, and there is no key: set `encryption` as it was")]
    Sealed,
    #[error(
        "it was changed, or encrypted with another key: set `encryption` as it was, or remove the file, and what it held is got anew"
    )]
    Opaque,
    #[error("the system gives no random numbers")]
    Random,
}

/// A secret that is too short to be a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the key of a store has at least {SECRET_MIN} bytes, such as `openssl rand -base64 32` gives"
)]
pub struct KeyTooShort;

impl StoreKey {
    /// A key from a secret.
    ///
    /// # Errors
    /// It is too short to be a key.
    pub fn new(secret: Secret) -> Result<StoreKey, KeyTooShort> {
        if secret.expose().len() < SECRET_MIN {
            return Err(KeyTooShort);
        }
        Ok(StoreKey(secret))
    }

    /// With HKDF (RFC 5869). The salt is random, so no two files have the same key, and a nonce cannot
    /// come twice under one.
    fn derive(&self, salt: &[u8]) -> Option<LessSafeKey> {
        let key = Salt::new(HKDF_SHA256, salt).extract(self.0.expose());
        let key = key.expand(&[MAGIC], &AES_256_GCM).ok()?;
        Some(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Seals the content of a file. `place` is bound to it: what was sealed for one file is not opened as
    /// another.
    pub(super) fn seal(&self, place: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
        let random = SystemRandom::new();
        let (mut salt, mut nonce) = ([0; SALT_LEN], [0; NONCE_LEN]);
        random.fill(&mut salt).map_err(|_| SealError::Random)?;
        random.fill(&mut nonce).map_err(|_| SealError::Random)?;
        let key = self.derive(&salt).ok_or(SealError::Opaque)?;
        let mut sealed = [MAGIC, &salt, &nonce].concat();
        let mut body = Zeroizing::new(content.to_vec());
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(place), &mut body)
            .map_err(|_| SealError::Opaque)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(sealed)
    }

    fn open(&self, place: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (salt, rest) = sealed.split_at_checked(SALT_LEN)?;
        let (nonce, body) = rest.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut body = Zeroizing::new(body.to_vec());
        let key = self.derive(salt)?;
        let length = key.open_in_place(nonce, Aad::from(place), &mut body).ok()?;
        let length = length.len();
        body.truncate(length);
        Some(body)
    }
}

/// The content of a file, whether it is sealed or not: encryption can be switched on later.
pub(super) fn open(
    key: Option<&StoreKey>,
    place: &str,
    content: Zeroizing<Vec<u8>>,
) -> Result<Zeroizing<Vec<u8>>, SealError> {
    match (content.strip_prefix(MAGIC), key) {
        (None, _) => Ok(content),
        (Some(_), None) => Err(SealError::Sealed),
        (Some(sealed), Some(key)) => key.open(place, sealed).ok_or(SealError::Opaque),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(text: &str) -> StoreKey {
        StoreKey::new(Secret::new(text)).unwrap()
    }

    fn opened(key: Option<&StoreKey>, place: &str, content: &[u8]) -> Result<Vec<u8>, SealError> {
        open(key, place, Zeroizing::new(content.to_vec())).map(|content| content.to_vec())
    }

    #[test]
    fn what_is_sealed_is_opened_with_the_key_at_its_place_only() {
        let ours = key("0123456789abcdef");
        let sealed = ours.seal("a", b"-----BEGIN").unwrap();
        assert!(!sealed.windows(5).any(|window| window == b"BEGIN"));
        assert_ne!(sealed, ours.seal("a", b"-----BEGIN").unwrap());
        assert_eq!(opened(Some(&ours), "a", &sealed).unwrap(), b"-----BEGIN");
        let other = key("another key, long enough");
        assert_eq!(opened(Some(&other), "a", &sealed), Err(SealError::Opaque));
        assert_eq!(opened(Some(&ours), "b", &sealed), Err(SealError::Opaque));
        assert_eq!(opened(None, "a", &sealed), Err(SealError::Sealed));
        assert_eq!(opened(Some(&ours), "a", b"plain").unwrap(), b"plain");
    }

    #[test]
    fn a_short_secret_is_no_key_and_none_is_shown() {
        assert_eq!(StoreKey::new(Secret::new("short")), Err(KeyTooShort));
        assert!(!format!("{:?}", key("0123456789abcdef")).contains("0123"));
    }

    proptest! {
        #[test]
        fn every_flipped_bit_is_seen(content: Vec<u8>, at: prop::sample::Index, bit in 0..8u8) {
            let ours = key("0123456789abcdef");
            let mut sealed = ours.seal("a", &content).unwrap();
            prop_assert_eq!(opened(Some(&ours), "a", &sealed).unwrap(), content);
            let at = MAGIC.len() + at.index(sealed.len() - MAGIC.len());
            sealed[at] ^= 1 << bit;
            prop_assert_eq!(opened(Some(&ours), "a", &sealed), Err(SealError::Opaque));
            prop_assert!(opened(Some(&ours), "a", &sealed[..at]).is_err());
        }
    }
}
