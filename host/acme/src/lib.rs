//! Certificates from authorities that speak ACME (RFC 8555).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod certdefs;
mod certificate;
mod challenge;
mod name;
mod schedule;
mod secret;
mod serve;
mod store;

pub use certificate::{Certificate, CertificateError};
pub use challenge::Tokens;
pub use name::{NAMES_MAX, Name, NameError, Names};
pub use schedule::{Backoff, History, Renew, Schedule, Suggestion, Validity};
pub use secret::Secret;
pub use serve::Serve;
pub use store::{KeyTooShort, SealError, Shelf, Store, StoreError, StoreKey};
