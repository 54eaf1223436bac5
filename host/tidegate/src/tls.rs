//! TLS of the listeners, as a configuration describes it.

use crate::certificates::Store;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tidegate_config::{self as config, Config, Error, Listener, ListenerTls, TlsSettings};
use tidegate_http::State;
use tidegate_listen::tls::{
    Acceptor, Alpn, Challenges, CipherSuite, ClientCertificates, Forward, NamedGroup, Options,
    Settings, Version,
};

/// What of TLS lives as long as the process.
pub struct Tls {
    /// Certificates.
    pub certificates: Store,
    /// Open challenges of authorities.
    pub challenges: Arc<Challenges>,
    /// Of the state that runs, by listener.
    running: Mutex<HashMap<Arc<str>, Arc<Acceptor>>>,
}

impl Tls {
    /// No listener has any yet.
    pub fn new(certificates: Store) -> Tls {
        Tls {
            certificates,
            challenges: Arc::default(),
            running: Mutex::default(),
        }
    }

    /// A state is the running one from now on; what the next one has in common with it goes on.
    pub fn start(&self, state: &State) {
        let with_tls = state.listeners.iter();
        let with_tls = with_tls.filter_map(|(name, one)| Some((name.clone(), one.tls.clone()?)));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = with_tls.collect();
    }

    /// What a listener's connections begin with.
    ///
    /// # Errors
    /// Files that are not right, at their places in the configuration.
    pub fn acceptor(
        &self,
        config: &Config,
        listener: &Listener,
        tls: &ListenerTls,
    ) -> Result<Arc<Acceptor>, Vec<Error>> {
        let mut errors = Vec::new();
        let mut certificates = Vec::new();
        if !tls.certificates.is_empty() {
            match self.certificates.of_files(config, &tls.certificates) {
                Ok(of_files) => certificates.push(of_files),
                Err(more) => errors.extend(more),
            }
        }
        let issued = tls.acme.iter().map(|name| self.certificates.issued(name));
        certificates.extend(issued);
        let mut settings = |of: &TlsSettings| {
            let settings = self.settings(config, tls, of);
            settings.map_err(|error| errors.push(error)).ok()
        };
        let default = settings(&tls.settings);
        let named = tls.names.iter();
        let named = named.filter_map(|(name, of)| Some((name.as_str().into(), settings(of)?)));
        let named = named.collect();
        let Some(default) = default.filter(|_| errors.is_empty()) else {
            return Err(errors);
        };
        let options = Options {
            settings: default,
            named,
            certificates,
            challenges: self.challenges.clone(),
            handshakes: config.limits.handshakes as usize,
            handshakes_per_address: config.limits.handshakes_per_address as usize,
            client_hello_bytes: usize::try_from(config.limits.client_hello_bytes)
                .unwrap_or(usize::MAX),
            refuse_unknown_names: tls.unknown_name == config::UnknownName::Refuse,
            allow_mismatch: tls.mismatch == config::Mismatch::Allow,
        };
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = running.get(listener.name.as_str()).map(|one| &**one);
        let built = Acceptor::new(options, previous);
        let built = built.map_err(|error| vec![config.error(tls.span, error.to_string())])?;
        Ok(Arc::new(built))
    }

    fn settings(
        &self,
        config: &Config,
        tls: &ListenerTls,
        of: &TlsSettings,
    ) -> Result<Settings, Error> {
        let clients = of.client_certificates.as_ref();
        let clients = clients.map(|clients| {
            let authorities = self.certificates.authorities(&clients.ca);
            let authorities = authorities.map_err(|problem| config.error(clients.span, problem))?;
            let has = |field| clients.forward.contains(&field);
            Ok(ClientCertificates {
                authorities,
                required: clients.required,
                forward: Forward {
                    subject: has(config::ClientCertificateField::Subject),
                    san: has(config::ClientCertificateField::San),
                    fingerprint: has(config::ClientCertificateField::Fingerprint),
                    certificate: has(config::ClientCertificateField::Certificate),
                },
            })
        });
        Ok(Settings {
            min_version: version(of.min_version),
            max_version: version(of.max_version),
            cipher_suites: of.cipher_suites.iter().copied().map(suite).collect(),
            key_exchange: of.key_exchange.iter().copied().map(group).collect(),
            alpn: of.alpn.iter().copied().map(alpn).collect(),
            tickets: tls.tickets,
            client_certificates: clients.transpose()?,
        })
    }
}

/// The files of authorities for clients.
pub fn authorities(config: &Config) -> BTreeSet<PathBuf> {
    let tls = config.listeners.iter().filter_map(|l| l.tls.as_ref());
    let settings = tls.flat_map(|tls| std::iter::once(&tls.settings).chain(tls.names.values()));
    let clients = settings.filter_map(|of| of.client_certificates.as_ref());
    clients.map(|clients| clients.ca.clone()).collect()
}

/// The folders of all files that a configuration names for TLS with clients.
pub fn folders(config: &Config) -> BTreeSet<PathBuf> {
    let tls = config.listeners.iter().filter_map(|l| l.tls.as_ref());
    let certificates = tls.flat_map(|tls| &tls.certificates);
    let files = certificates.flat_map(|one| [Some(&one.cert), Some(&one.key), one.ocsp.as_ref()]);
    let authorities = authorities(config);
    let files = files.flatten().chain(&authorities);
    let folders = files.filter_map(|file| file.parent());
    folders.map(|folder| folder.to_owned()).collect()
}

pub(crate) fn version(version: config::TlsVersion) -> Version {
    match version {
        config::TlsVersion::V1_2 => Version::Tls12,
        config::TlsVersion::V1_3 => Version::Tls13,
    }
}

fn alpn(alpn: config::Alpn) -> Alpn {
    match alpn {
        config::Alpn::H2 => Alpn::H2,
        config::Alpn::Http1 => Alpn::Http1,
    }
}

fn group(group: config::KeyExchange) -> NamedGroup {
    match group {
        config::KeyExchange::X25519 => NamedGroup::X25519,
        config::KeyExchange::Secp256r1 => NamedGroup::secp256r1,
        config::KeyExchange::Secp384r1 => NamedGroup::secp384r1,
    }
}

fn suite(suite: config::CipherSuite) -> CipherSuite {
    use CipherSuite as To;
    use config::CipherSuite::*;
    match suite {
        TLS13_AES_256_GCM_SHA384 => To::TLS13_AES_256_GCM_SHA384,
        TLS13_AES_128_GCM_SHA256 => To::TLS13_AES_128_GCM_SHA256,
        TLS13_CHACHA20_POLY1305_SHA256 => To::TLS13_CHACHA20_POLY1305_SHA256,
        TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => To::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => To::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => {
            To::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
        }
        TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => To::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => To::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => {
            To::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
        }
    }
}
