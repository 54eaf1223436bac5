//! `[upstream.NAME.tls]`: TLS to the peers of an upstream.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::dns_name::DnsName;
use crate::error::Invalid;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::text::{Text, Textual};
use crate::tls::CertificateFiles;
use crate::tls_names::TlsVersion;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[upstream.NAME.tls]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Where the section is.
    pub span: Span,
    /// A PEM file of the authorities that vouch for peers; absolute. `None` is the system's.
    pub ca: Option<Located<PathBuf>>,
    /// The name or address that the certificates of peers are for; `None` is the host of each peer.
    pub server_name: Option<ServerName>,
    /// What the proxy shows a peer that asks for a certificate.
    pub certificate: Option<CertificateFiles>,
    /// The oldest version.
    pub min_version: TlsVersion,
    /// Whether certificates are not verified at all. Where it is true, warn.
    pub danger_accept_any_certificate: bool,
}

/// Whom a certificate of a server has to be for. `Display` gives what stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ServerName {
    /// A name, without a wildcard; sent as SNI.
    Name(DnsName),
    /// An address; not sent (RFC 6066 §3).
    Address(IpAddr),
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ServerName::Name(name) => name.fmt(f),
            ServerName::Address(address) => address.fmt(f),
        }
    }
}

impl Textual for ServerName {
    const EXPECTED: &'static str = "a name such as \"app.internal\", or an address";

    fn parse(text: &str) -> Result<Self, Invalid> {
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address));
        }
        match DnsName::parse(text) {
            Ok(name) if !name.is_wildcard() => Ok(Self::Name(name)),
            _ => Err(Invalid::new(
                format!("`{text}` is not the name of a server"),
                format!("expected {}", Self::EXPECTED),
            )),
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

// === as written ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawUpstreamTls {
    /// The authorities that vouch for the peers, a PEM file relative to this file. Without it, the system's.
    #[schemars(example = &"ca.pem")]
    ca: Option<Located<PathBuf>>,
    /// The name that is asked for and that the certificate must be for. Without it, the host of each peer.
    #[schemars(example = &"app.internal")]
    server_name: Option<Text<ServerName>>,
    /// What the proxy shows a peer that asks for a certificate (mutual TLS), PEM files relative to this file.
    #[schemars(schema_with = "certificate_schema", example = serde_json::json!({ "cert": "edge.pem", "key": "edge.key" }))]
    #[serde(default)]
    certificate: Option<Located<RawIdentity>>,
    /// The oldest version: "1.2" or "1.3".
    #[serde(default = "min_version")]
    min_version: TlsVersion,
    /// Whether certificates of peers are not verified: whoever is between them and the proxy can read and
    /// change everything. Each start warns of it. To trust one authority, set `ca`.
    #[schemars(extend("default" = false))]
    danger_accept_any_certificate: Option<Located<bool>>,
}

fn min_version() -> TlsVersion {
    TlsVersion::V1_2
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    /// The chain, the certificate itself first.
    cert: PathBuf,
    /// The private key.
    key: PathBuf,
}

/// In one line of the reference.
fn certificate_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "allOf": [generator.subschema_for::<RawIdentity>()] })
}

impl RawUpstreamTls {
    /// `span` is the section's; `unix` says whether a peer has no host whose name could be asked for.
    pub(crate) fn resolve(self, span: Span, unix: bool, resolver: &mut Resolver) -> UpstreamTls {
        let danger = self.danger_accept_any_certificate;
        if let (Some(ca), Some(Located { value: true, .. })) = (&self.ca, &danger) {
            resolver.reject(
                ca.span,
                "`ca` is of no use where any certificate is accepted",
                "remove `danger_accept_any_certificate`, or `ca`",
            );
        }
        if unix && self.server_name.is_none() {
            resolver.reject(
                span,
                "TLS on a Unix socket needs a name that the certificate is for",
                "add `server_name = \"app.internal\"`",
            );
        }
        let source = resolver.source();
        UpstreamTls {
            span,
            ca: self
                .ca
                .map(|ca| Located::new(source.resolve_path(ca.value), ca.span)),
            server_name: self.server_name.map(|name| name.0),
            certificate: self.certificate.map(|certificate| CertificateFiles {
                cert: source.resolve_path(certificate.value.cert),
                key: source.resolve_path(certificate.value.key),
                ocsp: None,
                span: certificate.span,
            }),
            min_version: self.min_version,
            danger_accept_any_certificate: danger.is_some_and(|danger| danger.value),
        }
    }
}
