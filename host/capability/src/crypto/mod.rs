//! Cryptography for plugins at native speed: digests, authentication codes, signatures of tokens,
//! passwords.
//!
//! - [`digest`], [`hmac`] and [`equal`] compute at once.
//! - [`verify_jws`] checks a token against a [`KeySet`] that is at hand; [`Jwks`] fetches key sets and keeps
//!   them.
//! - [`Passwords`] checks passwords beside the data path, because that is meant to take long.

mod algorithm;
mod digest;
mod jwks;
mod jws;
mod key_set;
mod password;
mod public_key;

pub use algorithm::{Algorithm, UnknownAlgorithm};
pub use digest::{Hash, digest, equal, hmac};
pub use jwks::{Clock, Jwks, JwksSettings, KeyUrl};
pub use jws::{Jws, JwsError, verify_jws};
pub use key_set::{KeyError, KeySet};
pub use password::{PasswordError, PasswordSettings, Passwords};
