//! TLS towards clients, with rustls.
//!
//! An [`Acceptor`] makes a [`Stream`](crate::Stream) out of an accepted socket, and says in [`TlsFacts`] what
//! the handshake has shown. How TLS is spoken follows from the name that the client asks for: each distinct
//! [`Settings`] is one configuration of rustls, built when the acceptor is.
//!
//! [`Certificates`] are what is served, by name. They can be put in and replaced while it runs: from files, or
//! by whoever gets them from an authority. [`Challenges`] are those that answer an authority.

mod acceptor;
mod certificate;
mod challenges;
mod client_certificate;
mod facts;
mod failed;
mod hello;
mod names;
mod ocsp;
mod settings;
mod store;
mod tickets;

pub use acceptor::{Acceptor, Options};
pub use certificate::{Certificate, CertificateError};
pub use challenges::{ACME_TLS, Challenges};
pub use client_certificate::{ClientCertificate, Unreadable};
pub use facts::TlsFacts;
pub use failed::{Failed, Refused};
pub use ocsp::{OcspError, Status as OcspStatus};
pub use rustls::{CipherSuite, NamedGroup};
pub use settings::{Alpn, ClientCertificates, Forward, Settings, SettingsError, Version};
pub use store::{Certificates, OnDemand};
