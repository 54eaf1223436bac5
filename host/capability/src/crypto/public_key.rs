//! The material of a key, and what it can verify.

use super::algorithm::Algorithm;
use super::key_set::KeyError;
use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier, UintRef};
use der::{Decode, Sequence};
use ring::{hmac, signature};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;
use spki::SubjectPublicKeyInfo;
use zeroize::Zeroizing;

/// Bits of an RSA modulus: what RFC 7518 §3.3 demands, and what can be verified in reasonable time.
const RSA_BITS_MIN: usize = 2048;
const RSA_BITS_MAX: usize = 8192;
/// Bytes of an RSA exponent.
const RSA_EXPONENT_BYTES_MAX: usize = 4;
/// Bytes of a shared key: as many as the shortest code (RFC 7518 §3.2).
const SHARED_BYTES_MIN: usize = 32;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A key that fits its kind: sizes are checked.
pub(super) enum Material {
    /// Big-endian, without leading zeros.
    Rsa {
        modulus: Vec<u8>,
        exponent: Vec<u8>,
    },
    /// Uncompressed points (SEC 1 §2.3.3).
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
    Shared(Zeroizing<Vec<u8>>),
}

impl Material {
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Material, KeyError> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let unused = modulus
            .first()
            .map_or(0, |byte| byte.leading_zeros() as usize);
        let bits = modulus.len() * 8 - unused;
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !odd(modulus) {
            return Err(KeyError::Unfit("an RSA key has 2048 to 8192 bits"));
        }
        if exponent.len() > RSA_EXPONENT_BYTES_MAX || exponent == [1] || !odd(exponent) {
            return Err(KeyError::Unfit(
                "an RSA key has an odd exponent of 3 to 2^32",
            ));
        }
        Ok(Material::Rsa {
            modulus: modulus.to_vec(),
            exponent: exponent.to_vec(),
        })
    }

    pub(super) fn p256(point: Vec<u8>) -> Result<Material, KeyError> {
        uncompressed(&point, 32)
            .then_some(Material::P256(point))
            .ok_or(BAD_POINT)
    }

    pub(super) fn p384(point: Vec<u8>) -> Result<Material, KeyError> {
        uncompressed(&point, 48)
            .then_some(Material::P384(point))
            .ok_or(BAD_POINT)
    }

    pub(super) fn ed25519(key: Vec<u8>) -> Result<Material, KeyError> {
        let fits = key.len() == 32;
        fits.then_some(Material::Ed25519(key)).ok_or(BAD_POINT)
    }

    pub(super) fn shared(key: &[u8]) -> Result<Material, KeyError> {
        // Who takes a public key for a shared one accepts what anybody signs with it.
        if key.trim_ascii_start().starts_with(b"-----BEGIN") {
            return Err(KeyError::Unfit("a PEM is not a shared key"));
        }
        if key.len() < SHARED_BYTES_MIN {
            return Err(KeyError::Unfit(
                "a shared key has at least 32 bytes (RFC 7518 §3.2)",
            ));
        }
        Ok(Material::Shared(Zeroizing::new(key.to_vec())))
    }

    /// A PEM with a `PUBLIC KEY` (RFC 7468 §13).
    pub(super) fn from_pem(pem: &[u8]) -> Result<Material, KeyError> {
        let der = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(|_| KeyError::NotPem)?;
        let info = SubjectPublicKeyInfo::<AnyRef<'_>, BitStringRef<'_>>::from_der(&der);
        let info = info.map_err(|_| KeyError::NotPem)?;
        let key = info.subject_public_key.as_bytes().ok_or(KeyError::NotPem)?;
        let curve = info
            .algorithm
            .parameters
            .map(|any| any.decode_as::<ObjectIdentifier>());
        match (info.algorithm.oid, curve) {
            (RSA, _) => {
                let key = RsaPublicKey::from_der(key).map_err(|_| KeyError::NotPem)?;
                Material::rsa(key.modulus.as_bytes(), key.exponent.as_bytes())
            }
            (EC, Some(Ok(P256))) => Material::p256(key.to_vec()),
            (EC, Some(Ok(P384))) => Material::p384(key.to_vec()),
            (ED25519, None) => Material::ed25519(key.to_vec()),
            _ => Err(KeyError::Unfit(
                "a public key is RSA, P-256, P-384 or Ed25519",
            )),
        }
    }

    /// Whether keys of this kind are for this algorithm. It is the key that decides, never the token.
    pub(super) fn fits(&self, algorithm: Algorithm) -> bool {
        use Algorithm::*;
        match self {
            Material::Rsa { .. } => {
                matches!(algorithm, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
            }
            Material::P256(_) => algorithm == Es256,
            Material::P384(_) => algorithm == Es384,
            Material::Ed25519(_) => algorithm == EdDsa,
            Material::Shared(_) => matches!(algorithm, Hs256 | Hs384 | Hs512),
        }
    }

    /// Whether this key made the signature. False if it does not fit the algorithm.
    pub(super) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Material::Rsa { modulus, exponent } => rsa(algorithm).is_some_and(|parameters| {
                let key = signature::RsaPublicKeyComponents {
                    n: modulus,
                    e: exponent,
                };
                key.verify(parameters, message, signature).is_ok()
            }),
            Material::Shared(key) => code(algorithm).is_some_and(|algorithm| {
                let key = hmac::Key::new(algorithm, key);
                hmac::verify(&key, message, signature).is_ok()
            }),
            Material::P256(key) | Material::P384(key) | Material::Ed25519(key) => curve(algorithm)
                .filter(|_| self.fits(algorithm))
                .is_some_and(|curve| {
                    let key = signature::UnparsedPublicKey::new(curve, key);
                    key.verify(message, signature).is_ok()
                }),
        }
    }
}

const BAD_POINT: KeyError = KeyError::Unfit("the point of a curve has another length");

/// RFC 8017 A.1.1.
#[derive(Sequence)]
struct RsaPublicKey<'a> {
    modulus: UintRef<'a>,
    exponent: UintRef<'a>,
}

fn rsa(algorithm: Algorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn curve(algorithm: Algorithm) -> Option<&'static dyn signature::VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::Es256 => &signature::ECDSA_P256_SHA256_FIXED,
        Algorithm::Es384 => &signature::ECDSA_P384_SHA384_FIXED,
        Algorithm::EdDsa => &signature::ED25519,
        _ => return None,
    })
}

fn code(algorithm: Algorithm) -> Option<hmac::Algorithm> {
    Some(match algorithm {
        Algorithm::Hs256 => hmac::HMAC_SHA256,
        Algorithm::Hs384 => hmac::HMAC_SHA384,
        Algorithm::Hs512 => hmac::HMAC_SHA512,
        _ => return None,
    })
}

fn uncompressed(point: &[u8], coordinate: usize) -> bool {
    point.len() == 1 + 2 * coordinate && point.starts_with(&[4])
}

/// Some issuers write one, against RFC 7518 §6.3.1.1.
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}
