//! TLS to the peers of an upstream: one configuration, made when the configuration is loaded, with one store of sessions to
//! resume.

use super::ConnectError;
use super::unverified::Unverified;
use rustc_hash::FxHasher;
use rustls::crypto::ring;
use rustls::{ClientConfig, RootCertStore, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// HTTP/2 and HTTP/1.1 as ALPN has them (RFC 7301 §6).
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What TLS to an upstream is made of.
#[derive(Debug)]
pub struct TlsOptions {
    /// Who may vouch for peers.
    pub roots: Arc<RootCertStore>,
    /// What the proxy shows to a peer that asks for a certificate: the chain, and its key.
    pub certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// Whether HTTP/2 is spoken, and nothing else.
    pub http2: bool,
    /// Accept whatever certificate a peer has: no protection against whoever is between it and the proxy.
    pub accept_any_certificate: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// 1.2
    V1_2,
    /// 1.3
    V1_3,
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
    /// A certificate that cannot be used, or does not go with its key.
    pub fn new(options: TlsOptions) -> Result<ClientTls, rustls::Error> {
        let key = key(&options);
        let provider = Arc::new(ring::default_provider());
        let versions: &[_] = match options.min_version {
            TlsVersion::V1_2 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V1_3 => &[&version::TLS13],
        };
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let builder = match options.accept_any_certificate {
            false => builder.with_root_certificates(options.roots),
            true => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unverified::new(&provider))),
        };
        let mut config = match options.certificate {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
        };
        let offered = if options.http2 { H2 } else { HTTP1 };
        config.alpn_protocols = vec![offered.to_vec()];
        Ok(ClientTls {
            config: Arc::new(config),
            http2: options.http2,
            key,
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

fn key(options: &TlsOptions) -> u64 {
    let mut hasher = FxHasher::default();
    for root in &options.roots.roots {
        root.subject.hash(&mut hasher);
        root.subject_public_key_info.hash(&mut hasher);
    }
    if let Some((chain, key)) = &options.certificate {
        chain.hash(&mut hasher);
        key.secret_der().hash(&mut hasher);
    }
    options.min_version.hash(&mut hasher);
    options.http2.hash(&mut hasher);
    options.accept_any_certificate.hash(&mut hasher);
    hasher.finish()
}
