//! `client_certificates` of a listener or of a name: who must show a certificate, and who hears of it.

use std::path::PathBuf;

use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::shorthand::Shorthand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Clients are asked for certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// A PEM file of the authorities that vouch for clients; absolute.
    pub ca: PathBuf,
    /// Where the file was written, for one that turns out to be wrong.
    pub span: Span,
    /// Whether a client without one is refused. One that shows a wrong one always is.
    pub required: bool,
    /// What upstreams are told of it; nothing twice.
    pub forward: Vec<ClientCertificateField>,
}

/// What an upstream is told of a client's certificate, each in a header field of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ClientCertificateField {
    /// `x-client-cert-subject`: the distinguished name (RFC 4514).
    Subject,
    /// `x-client-cert-san`: the alternative names.
    San,
    /// `x-client-cert-fingerprint`: SHA-256 of the certificate, hexadecimal.
    Fingerprint,
    /// `Client-Cert`: the certificate itself (RFC 9440).
    Certificate,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawClientCertificates {
    /// The authorities that vouch for clients, a PEM file relative to this file.
    #[schemars(example = &"clients.pem")]
    ca: Located<PathBuf>,
    /// Whether a client without a certificate is refused. One that shows a wrong certificate always is.
    #[serde(default = "required")]
    required: bool,
    /// What upstreams are told of it: "subject", "san", "fingerprint" (fields x-client-cert-subject, -san and
    /// -fingerprint) and "certificate" (Client-Cert, RFC 9440). All four are taken out of what clients send.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["subject", "fingerprint"]))]
    forward: Vec<ClientCertificateField>,
}

fn required() -> bool {
    true
}

impl RawClientCertificates {
    pub(crate) fn resolve(self, resolver: &Resolver) -> ClientCertificates {
        let mut forward = Vec::with_capacity(self.forward.len());
        for field in self.forward {
            if !forward.contains(&field) {
                forward.push(field);
            }
        }
        ClientCertificates {
            ca: resolver.source().resolve_path(self.ca.value),
            span: self.ca.span,
            required: self.required,
            forward,
        }
    }
}

/// For a single name: a table, or `"off"`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(from = "RawClientCertificates")]
pub(crate) struct RawNameClients(
    #[schemars(with = "RawClientCertificates")] pub(crate) Option<RawClientCertificates>,
);

impl From<RawClientCertificates> for RawNameClients {
    fn from(raw: RawClientCertificates) -> Self {
        Self(Some(raw))
    }
}

impl Shorthand for RawNameClients {
    const EXPECTED: &'static str = "a table such as { ca = \"clients.pem\" }, or \"off\"";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        match text.value.as_str() {
            "off" => Ok(Self(None)),
            other => Err(Invalid::new(
                format!("unknown value `{other}`"),
                format!("expected {}", Self::EXPECTED),
            )),
        }
    }
}
