//! How TLS is spoken: what a configuration chooses for a listener or a name.

use super::tickets;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::server::{
    NoServerSessionStorage, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier,
};
use rustls::version::{TLS12, TLS13};
use rustls::{
    CipherSuite, NamedGroup, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion,
};
use std::sync::Arc;
use std::time::Duration;

/// How TLS is spoken with those who ask for certain names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The oldest version.
    pub min_version: Version,
    /// The newest version.
    pub max_version: Version,
    /// In the order of preference. With all that there are, the client's order counts, who knows what its
    /// hardware is good at.
    pub cipher_suites: Vec<CipherSuite>,
    /// Groups for the exchange of keys, in the order of preference.
    pub key_exchange: Vec<NamedGroup>,
    /// In the order of preference.
    pub alpn: Vec<Alpn>,
    /// The life of session tickets; without one there are none.
    pub tickets: Option<Duration>,
    /// Who may, or must, show a certificate.
    pub client_certificates: Option<ClientCertificates>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// RFC 5246
    #[default]
    Tls12,
    /// RFC 8446
    Tls13,
}

/// What is spoken inside of TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2
    H2,
    /// HTTP/1.1
    Http1,
}

/// Clients are asked for a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Who vouches for them.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Whether a client without one is refused. One with a wrong one always is.
    pub required: bool,
    /// What upstreams are told of it.
    pub forward: Forward,
}

/// What upstreams are told of a client's certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// Its subject.
    pub subject: bool,
    /// Its alternative names.
    pub san: bool,
    /// Its fingerprint.
    pub fingerprint: bool,
    /// Itself, and its chain.
    pub certificate: bool,
}

/// Settings that cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The suites, groups and versions leave nothing, or ask for what is not there.
    #[error("these versions, cipher suites and groups do not go together: {0}")]
    Nothing(rustls::Error),
    /// An authority that cannot vouch for anybody.
    #[error("an authority for client certificates is not valid: {0}")]
    Authority(rustls::Error),
    /// There is no authority.
    #[error("there is no certificate of an authority for client certificates")]
    NoAuthority,
    /// The system gives no random bytes.
    #[error("no keys for session tickets: {0}")]
    Tickets(rustls::Error),
}

impl Alpn {
    /// As it stands in a handshake.
    pub fn as_str(self) -> &'static str {
        match self {
            Alpn::H2 => "h2",
            Alpn::Http1 => "http/1.1",
        }
    }

    /// From a handshake.
    pub(super) fn parse(bytes: &[u8]) -> Option<Alpn> {
        let all = [Alpn::H2, Alpn::Http1];
        all.into_iter().find(|one| one.as_str().as_bytes() == bytes)
    }
}

impl Settings {
    /// What rustls needs to speak so. Each answer has ticket keys of its own, so that a session is
    /// resumed only under the settings that it began with.
    pub(super) fn server_config(
        &self,
        certificates: Arc<dyn ResolvesServerCert>,
    ) -> Result<ServerConfig, SettingsError> {
        let provider = Arc::new(self.provider());
        let config = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions())
            .map_err(SettingsError::Nothing)?;
        let config = match &self.client_certificates {
            None => config.with_no_client_auth(),
            Some(clients) => config.with_client_cert_verifier(clients.verifier(&provider)?),
        };
        let mut config = config.with_cert_resolver(certificates);
        let all = ring::default_provider().cipher_suites.len();
        config.ignore_client_order = self.cipher_suites.len() < all;
        config.alpn_protocols = self.alpn.iter().map(|one| one.as_str().into()).collect();
        // Tickets hold sessions, we hold none.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match self.tickets {
            Some(life) => {
                config.ticketer = tickets::ticketer(life).map_err(SettingsError::Tickets)?;
            }
            None => config.send_tls13_tickets = 0,
        }
        // A request that comes before the handshake is done can be one that somebody else sends again
        // (RFC 8470).
        config.max_early_data_size = 0;
        Ok(config)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let all = [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)];
        let chosen = self.min_version..=self.max_version;
        let chosen = all.into_iter().filter(|(one, _)| chosen.contains(one));
        chosen.map(|(_, version)| version).collect()
    }

    fn provider(&self) -> CryptoProvider {
        let all = ring::default_provider();
        let suite = |wanted: &CipherSuite| {
            let mut suites = all.cipher_suites.iter();
            suites.find(|one: &&SupportedCipherSuite| one.suite() == *wanted)
        };
        let suites = self.cipher_suites.iter().filter_map(suite).copied();
        let group = |wanted: &NamedGroup| all.kx_groups.iter().find(|one| one.name() == *wanted);
        let groups = self.key_exchange.iter().filter_map(group).copied();
        CryptoProvider {
            cipher_suites: suites.collect(),
            kx_groups: groups.collect(),
            ..ring::default_provider()
        }
    }
}

impl ClientCertificates {
    fn verifier(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, SettingsError> {
        let mut roots = RootCertStore::empty();
        for authority in &self.authorities {
            let added = roots.add(authority.clone());
            added.map_err(SettingsError::Authority)?;
        }
        let mut verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if !self.required {
            verifier = verifier.allow_unauthenticated();
        }
        verifier.build().map_err(|error| match error {
            VerifierBuilderError::NoRootAnchors => SettingsError::NoAuthority,
            other => SettingsError::Authority(rustls::Error::General(other.to_string())),
        })
    }
}
