//! TLS towards clients.
//!
//! [`Certificates`] are what is served, by name; they can be put in and replaced while it runs.
//! [`Challenges`] are those that answer an authority.

mod certificate;
mod challenges;
mod store;

pub use certificate::{Certificate, CertificateError};
pub use challenges::{ACME_TLS, Challenges};
pub use store::{Certificates, OnDemand};
