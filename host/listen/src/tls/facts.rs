//! What is known of a connection by its handshake.

use super::names::Names;
use super::{Alpn, Certificate, ClientCertificate, Forward, Settings};
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};
use std::sync::Arc;

/// What is known of a connection by its handshake.
#[derive(Debug)]
pub struct TlsFacts {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The suite, as the registry has it: `TLS_AES_256_GCM_SHA384`.
    pub cipher: &'static str,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// What both sides agreed to speak.
    pub alpn: Option<Alpn>,
    /// Whether a ticket stood for the handshake.
    pub resumed: bool,
    /// Whom the client has shown to be.
    pub client: Option<ClientCertificate>,
    pub(super) names: Arc<Names>,
    pub(super) endpoint: usize,
    pub(super) certificate: Certificate,
    pub(super) allow_mismatch: bool,
}

impl TlsFacts {
    /// Whether requests for this host (a name in lower case or an address; empty for none) may come on
    /// this connection. If not they deserve a 421 (RFC 9110 §15.5.20): its client should ask for the
    /// host's name in a handshake of its own.
    pub fn may_ask_for(&self, host: &str) -> bool {
        let Some(name) = self.server_name.as_deref() else {
            return self.names.endpoint(Some(host)) == self.endpoint;
        };
        if host == name || host.is_empty() {
            return true;
        }
        // What holds for the one may not hold for the other: who may connect, and how.
        self.names.endpoint(Some(host)) == self.endpoint
            && (self.allow_mismatch || self.certificate.covers(host))
    }

    /// Whether these are the authorities that vouched for the client.
    pub(super) fn is_vouched_for_by(&self, authorities: &[CertificateDer<'static>]) -> bool {
        let clients = self.settings().client_certificates.as_ref();
        clients.is_some_and(|clients| *clients.authorities == *authorities)
    }

    /// How TLS was to be spoken.
    fn settings(&self) -> &Settings {
        self.names.settings(self.endpoint)
    }

    /// What of `client` upstreams are told.
    pub fn forward(&self) -> Forward {
        let clients = self.settings().client_certificates.as_ref();
        clients.map(|clients| clients.forward).unwrap_or_default()
    }

    /// Whether this may be spoken; where nothing was agreed on in the handshake, it is found out later.
    pub fn speaks(&self, alpn: Alpn) -> bool {
        match self.alpn {
            Some(agreed) => agreed == alpn,
            None => self.settings().alpn.contains(&alpn),
        }
    }
}

/// What the engine knows.
pub(super) struct Negotiated {
    pub(super) version: &'static str,
    pub(super) cipher: &'static str,
    pub(super) alpn: Option<Alpn>,
    pub(super) resumed: bool,
}

impl Negotiated {
    pub(super) fn of(connection: &ServerConnection) -> Negotiated {
        let suite = connection.negotiated_cipher_suite();
        Negotiated {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLSv1.2",
            },
            cipher: match suite.map(|suite| suite.suite()) {
                // The engine's names for these are its own.
                Some(CipherSuite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
                Some(CipherSuite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
                Some(CipherSuite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
                other => other.and_then(|suite| suite.as_str()).unwrap_or("unknown"),
            },
            alpn: connection.alpn_protocol().and_then(Alpn::parse),
            resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
