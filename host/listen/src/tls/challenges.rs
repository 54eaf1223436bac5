//! Certificates that answer an authority's challenge in a handshake: ACME's `tls-alpn-01` (RFC 8737).

use super::Certificate;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

/// What a client offers that wants to see a challenge's certificate, and nothing else.
pub const ACME_TLS: &[u8] = b"acme-tls/1";

/// Challenge certificates by name, for as long as their challenges are open.
#[derive(Default)]
pub struct Challenges(RwLock<HashMap<Box<str>, Certificate>>);

impl Challenges {
    /// None yet.
    pub fn new() -> Challenges {
        Challenges::default()
    }

    /// Answer the challenge of this name (in lower case) with this certificate.
    pub fn put(&self, name: &str, certificate: Certificate) {
        let mut open = self.0.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(name.into(), certificate);
    }

    /// The challenge of this name is over.
    pub fn remove(&self, name: &str) {
        let mut open = self.0.write().unwrap_or_else(PoisonError::into_inner);
        open.remove(name);
    }

    /// The certificate for a name in lower case.
    pub(crate) fn get(&self, name: &str) -> Option<Certificate> {
        let open = self.0.read().unwrap_or_else(PoisonError::into_inner);
        open.get(name).cloned()
    }
}

impl ResolvesServerCert for Challenges {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?.to_ascii_lowercase();
        Some(self.get(&name)?.key(SystemTime::now()).clone())
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(open.keys()).finish()
    }
}
