//! TLS to the peers of an upstream: one configuration, made when the configuration is loaded, with one store of sessions to
//! resume.

use super::ConnectError;
use super::unverified::Unverified;
use rustc_hash::FxHasher;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use tidegate_listen::tls::Version;

/// HTTP/2 and HTTP/1.1 as ALPN has them (RFC 7301 §6).
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What TLS to an upstream is made of.
#[derive(Default)]
pub struct TlsOptions<'a> {
    /// The authorities that vouch for peers, PEM; `None` is the system's.
    pub ca: Option<&'a [u8]>,
    /// What the proxy shows to a peer that asks for a certificate: the chain and its key, PEM.
    pub certificate: Option<(&'a [u8], &'a [u8])>,
    /// The oldest version.
    pub min_version: Version,
    /// Whether HTTP/2 is spoken, and nothing else.
    pub http2: bool,
    /// Accept whatever certificate a peer has: no protection against whoever is between it and the proxy.
    pub accept_any_certificate: bool,
}

/// Files that TLS to an upstream cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// No certificates, or one that cannot be read.
    #[error("there is no certificate of an authority in `ca` that can be read")]
    Ca,
    /// The system has none.
    #[error(
        "the system has no certificates of authorities; install them (Debian: ca-certificates) or set `ca`"
    )]
    NoSystemRoots,
    /// No certificates, or one that cannot be read.
    #[error("there is no certificate in `certificate.cert` that can be read")]
    Certificate,
    /// No key, or one that cannot be read.
    #[error("there is no private key in `certificate.key` that can be read")]
    Key,
    /// They do not fit, or are of a kind that is not supported.
    #[error("the certificate and its key cannot be used: {0}")]
    Pair(#[from] rustls::Error),
}

/// TLS to an upstream.
#[derive(Debug)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    http2: bool,
    /// Of all that was given: connections are shared only between equal ones.
    key: u64,
}

impl ClientTls {
    /// Put it together.
    ///
    /// # Errors
    /// A certificate or key that cannot be used.
    pub fn new(options: &TlsOptions<'_>) -> Result<ClientTls, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match options.min_version {
            Version::Tls12 => &[&version::TLS13, &version::TLS12],
            Version::Tls13 => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(versions)?;
        let builder = match options.accept_any_certificate {
            false => builder.with_root_certificates(roots(options.ca)?),
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified::new(&provider))),
        };
        let mut config = match options.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let chain = certificates(chain).ok_or(TlsError::Certificate)?;
                let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
                builder.with_client_auth_cert(chain, key)?
            }
        };
        let offered = if options.http2 { H2 } else { HTTP1 };
        config.alpn_protocols = vec![offered.to_vec()];
        Ok(ClientTls {
            config: Arc::new(config),
            http2: options.http2,
            key: key(options),
        })
    }

    /// Equal where everything that was given is equal.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// HTTP/2 is for peers that agree to it. Many that speak HTTP/1.1 know nothing of ALPN.
    pub(super) fn check_protocol(&self, agreed: Option<&[u8]>) -> Result<(), ConnectError> {
        match !self.http2 || agreed == Some(H2) {
            true => Ok(()),
            false => Err(ConnectError::Protocol),
        }
    }
}

/// All certificates of a PEM file; `None` where there is none, or one that cannot be read.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    all.ok().filter(|all| !all.is_empty())
}

fn roots(ca: Option<&[u8]>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in certificates(pem).ok_or(TlsError::Ca)? {
                roots.add(certificate).map_err(|_| TlsError::Ca)?;
            }
        }
        // What the system has is not ours to judge: what cannot be read vouches for nobody.
        None => _ = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs),
    }
    match roots.is_empty() {
        true => Err(TlsError::NoSystemRoots),
        false => Ok(roots),
    }
}

fn key(options: &TlsOptions<'_>) -> u64 {
    let mut hasher = FxHasher::default();
    options.ca.hash(&mut hasher);
    options.certificate.hash(&mut hasher);
    options.min_version.hash(&mut hasher);
    options.http2.hash(&mut hasher);
    options.accept_any_certificate.hash(&mut hasher);
    hasher.finish()
}
