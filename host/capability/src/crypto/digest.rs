//! Digests and authentication codes.

use ring::{digest as ring_digest, hmac as ring_hmac};
use subtle::ConstantTimeEq;

/// A hash function (FIPS 180-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// Broken for signatures; for protocols that still ask for it.
    Sha1,
    /// 32 bytes.
    Sha256,
    /// 48 bytes.
    Sha384,
    /// 64 bytes.
    Sha512,
}

/// The digest of `data`.
pub fn digest(hash: Hash, data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => &ring_digest::SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => &ring_digest::SHA256,
        Hash::Sha384 => &ring_digest::SHA384,
        Hash::Sha512 => &ring_digest::SHA512,
    };
    ring_digest::digest(algorithm, data).as_ref().to_vec()
}

/// The authentication code of `data` (RFC 2104).
pub fn hmac(hash: Hash, key: &[u8], data: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha1 => ring_hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Hash::Sha256 => ring_hmac::HMAC_SHA256,
        Hash::Sha384 => ring_hmac::HMAC_SHA384,
        Hash::Sha512 => ring_hmac::HMAC_SHA512,
    };
    let key = ring_hmac::Key::new(algorithm, key);
    ring_hmac::sign(&key, data).as_ref().to_vec()
}

/// Whether both are the same, in a time that tells their lengths and nothing of where they differ.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FIPS 180-4, "abc"; the longer ones by their beginning.
    #[test]
    fn digests_are_the_standard_ones() {
        for (hash, begin, bytes) in [
            (Hash::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d", 20),
            (Hash::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a3", 32),
            (Hash::Sha384, "cb00753f45a35e8bb5a03d699ac65007272c32ab", 48),
            (Hash::Sha512, "ddaf35a193617abacc417349ae20413112e6fa4e", 64),
        ] {
            let digest = digest(hash, b"abc");
            assert_eq!(digest.len(), bytes);
            assert!(hex(&digest).starts_with(begin), "{hash:?}");
        }
    }

    /// RFC 4231 §4.3 and RFC 2202 §3, test case 2; the longer ones by their beginning.
    #[test]
    fn codes_are_the_standard_ones() {
        for (hash, begin) in [
            (Hash::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Hash::Sha256, "5bdcc146bf60754e6a042426089575c75a003f08"),
            (Hash::Sha384, "af45d2e376484031617f78d2b58a6b1b9c7ef464"),
            (Hash::Sha512, "164b7a7bfcf819e2e395fbe73b56e0a387bd6422"),
        ] {
            let code = hmac(hash, b"Jefe", b"what do ya want for nothing?");
            assert!(hex(&code).starts_with(begin), "{hash:?}");
        }
    }

    proptest! {
        #[test]
        fn equal_is_equality(a: Vec<u8>, b: Vec<u8>) {
            prop_assert!(equal(&a, &a));
            prop_assert_eq!(equal(&a, &b), a == b);
        }
    }
}
