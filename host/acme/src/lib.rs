//! Certificates from authorities that speak ACME (RFC 8555).
//!
//! [`Acme`] looks after the certificates of a configuration: it keeps them in a [`Store`], gives them to
//! whoever [`Serve`]s them, and renews them when the [`Schedule`] says so. Control of a name is shown by
//! requests ([`Tokens`]), by handshakes, or by records in DNS ([`Dns`]). Authorities that fail are asked
//! again later, those named as `fallback` in their place; until then the last good certificate is served,
//! or one that we sign ourselves.
//!
//! No proxy engine and no configuration files in here: settings are typed ([`Authority`]).
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod acme;
mod authority;
mod blocking;
pub mod certdefs;
mod certificate;
mod challenge;
mod claim;
mod dns;
mod failure;
mod issuer;
mod metrics;
mod name;
mod order;
mod permission;
mod rate;
mod refused;
mod renewal;
mod schedule;
mod secret;
mod serve;
mod store;
mod web;

pub use acme::{Acme, PrepareError, Prepared};
pub use authority::{Authority, Challenge, ExternalAccount, KeyType, OnDemand};
pub use certificate::{Certificate, CertificateError};
pub use challenge::Tokens;
pub use dns::{Dns, DnsError, Hook, Key, KeyError, Update};
pub use metrics::Metrics;
pub use name::{NAMES_MAX, Name, NameError, Names};
pub use rate::Rate;
pub use schedule::{Backoff, History, Renew, Schedule, Suggestion, Validity};
pub use secret::Secret;
pub use serve::Serve;
pub use store::{KeyTooShort, SealError, Shelf, Store, StoreError, StoreKey, check as check_store};
pub use web::RootsError;
