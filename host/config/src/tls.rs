//! `[listener.tls]`: certificates, and the settings of TLS of a listener and of single names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::client_certificates::{ClientCertificates, RawClientCertificates, RawNameClients};
use crate::dns_name::DnsName;
use crate::keyed::Keyed;
use crate::list::List;
use crate::located::{Located, Span};
use crate::names::Section;
use crate::resolve::Resolver;
use crate::shorthand::Brief;
use crate::text::{Text, Textual};
use crate::tls_names::{Alpn, CipherSuite, KeyExchange, TlsVersion};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[listener.tls]`
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerTls {
    /// Where the section is.
    pub span: Span,
    /// Certificates from files; empty only where `acme` is not. The first one is the default.
    pub certificates: Vec<CertificateFiles>,
    /// Names of the `[acme.NAME]` whose certificates are served too; each exists, none twice.
    pub acme: Vec<String>,
    /// What holds for names that have no settings of their own.
    pub settings: TlsSettings,
    /// Settings of single names and of wildcards, complete: what a name does not set is the listener's.
    pub names: BTreeMap<DnsName, TlsSettings>,
    /// The life of a session ticket, at most 7 days; `None` gives out no tickets.
    pub tickets: Option<Duration>,
    /// What a client gets that asks for a name without a certificate, or for none.
    pub unknown_name: UnknownName,
    /// What a request gets for a host that the certificate of its connection does not cover.
    pub mismatch: Mismatch,
}

/// A certificate, or one of a client of TLS, in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The chain in PEM, the certificate itself first; absolute.
    pub cert: PathBuf,
    /// The private key in PEM; absolute.
    pub key: PathBuf,
    /// The response of an OCSP server in DER, to be stapled; absolute.
    pub ocsp: Option<PathBuf>,
    /// Where the certificate was written, for files that turn out to be wrong.
    pub span: Span,
}

/// Settings of TLS. Every version from `min_version` to `max_version` has a suite.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsSettings {
    /// The oldest version.
    pub min_version: TlsVersion,
    /// The newest version, not below the oldest.
    pub max_version: TlsVersion,
    /// In the order of preference; at least one, all of versions that are allowed.
    pub cipher_suites: Vec<CipherSuite>,
    /// In the order of preference; at least one.
    pub key_exchange: Vec<KeyExchange>,
    /// In the order of preference; at least one.
    pub alpn: Vec<Alpn>,
    /// Whether clients are asked for certificates, and whose.
    pub client_certificates: Option<ClientCertificates>,
}

/// What a client gets that asks for a name that no certificate covers, or does not say a name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum UnknownName {
    /// The default certificate.
    #[default]
    Default,
    /// The alert `unrecognized_name` (RFC 6066 §3).
    Refuse,
}

/// What a request gets whose host is not covered by the certificate of its connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mismatch {
    /// 421 (RFC 9110 §15.5.20).
    #[default]
    Refuse,
    /// An answer, as long as both names have the same settings.
    Allow,
}

impl Default for TlsSettings {
    fn default() -> Self {
        Self {
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            cipher_suites: CipherSuite::ALL.into(),
            key_exchange: KeyExchange::ALL.into(),
            alpn: Alpn::ALL.into(),
            client_certificates: None,
        }
    }
}

// === as written ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawTls {
    /// Certificates with their keys, PEM files relative to this file, which are watched. Each is served for the
    /// names that it covers, and the first one where no name fits. One name may have an RSA and an ECDSA
    /// certificate. `ocsp` is a response of its authority in DER, to be stapled:
    /// { cert = "a.pem", key = "a.key", ocsp = "a.ocsp" }.
    #[serde(default)]
    #[schemars(example = serde_json::json!([{ "cert": "example.pem", "key": "example.key" }]))]
    certificates: Vec<Located<RawCertificate>>,
    /// The [acme.NAME] whose certificates are served too, or a list of them.
    #[serde(default)]
    #[schemars(example = &"letsencrypt")]
    acme: List,
    /// The oldest version: "1.2", or "1.3", which alone makes it TLS 1.3 only.
    #[schemars(extend("default" = "1.2"))]
    min_version: Option<Located<TlsVersion>>,
    /// The newest version.
    #[schemars(extend("default" = "1.3"))]
    max_version: Option<Located<TlsVersion>>,
    /// The cipher suites, in the order of preference. Without it, all that are safe.
    #[schemars(example = serde_json::json!(["TLS13_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]))]
    cipher_suites: Option<Located<Vec<CipherSuite>>>,
    /// The groups for the exchange of keys, in the order of preference.
    #[schemars(extend("default" = ["x25519", "secp256r1", "secp384r1"]))]
    key_exchange: Option<Located<Vec<KeyExchange>>>,
    /// What may be spoken, in the order of preference: "h2" (HTTP/2), "http/1.1".
    #[schemars(extend("default" = ["h2", "http/1.1"]))]
    alpn: Option<Located<Vec<Alpn>>>,
    /// The life of a session ticket, at most "7d"; keys change within it. "0s" gives out no tickets.
    #[serde(default)]
    #[schemars(extend("default" = "12h"))]
    tickets: Option<Located<Text<Option<Duration>>>>,
    /// For a client that asks for a name without a certificate, or for none: "default" (the default
    /// certificate) or "refuse" (the alert unrecognized_name).
    #[serde(default)]
    unknown_name: UnknownName,
    /// For a request whose host is not covered by the certificate of its connection: "refuse" (421) or "allow".
    /// If the host has other settings of TLS than the name of the connection, it is 421 always.
    #[serde(default)]
    mismatch: Mismatch,
    /// Ask clients for certificates (mutual TLS).
    client_certificates: Option<RawClientCertificates>,
    /// Other settings for one name, or for all names below one ("*.example.com").
    #[serde(default)]
    sni: Keyed<Located<RawSettings>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawCertificate {
    /// The chain, the certificate itself first.
    cert: PathBuf,
    /// The private key.
    key: PathBuf,
    /// A response of its authority in DER, to be stapled.
    ocsp: Option<PathBuf>,
}

/// Settings of one name; what is left out is as for the listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawSettings {
    /// As for the listener, as all keys here.
    #[schemars(example = &"1.3")]
    min_version: Option<Located<TlsVersion>>,
    /// The newest version.
    #[schemars(example = &"1.3")]
    max_version: Option<Located<TlsVersion>>,
    /// The cipher suites.
    #[schemars(example = serde_json::json!(["TLS13_AES_256_GCM_SHA384"]))]
    cipher_suites: Option<Located<Vec<CipherSuite>>>,
    /// The groups for the exchange of keys.
    #[schemars(example = serde_json::json!(["x25519"]))]
    key_exchange: Option<Located<Vec<KeyExchange>>>,
    /// What may be spoken.
    #[schemars(example = serde_json::json!(["h2"]))]
    alpn: Option<Located<Vec<Alpn>>>,
    /// Ask clients of this name for certificates, or "off" where the listener does.
    #[schemars(example = serde_json::json!({ "ca": "admins.pem" }))]
    client_certificates: Option<Brief<RawNameClients>>,
}

impl RawTls {
    /// `span` is the section's.
    pub(crate) fn resolve(self, span: Span, resolver: &mut Resolver) -> ListenerTls {
        if self.certificates.is_empty() && self.acme.0.is_empty() {
            resolver.reject(
                span,
                "TLS needs a certificate",
                "add `certificates = [{ cert = \"FILE\", key = \"FILE\" }]` or `acme = \"NAME\"`",
            );
        }
        let own = RawSettings {
            min_version: self.min_version,
            max_version: self.max_version,
            cipher_suites: self.cipher_suites,
            key_exchange: self.key_exchange,
            alpn: self.alpn,
            client_certificates: self
                .client_certificates
                .map(|clients| Brief(RawNameClients(Some(clients)))),
        };
        // What names inherit is what was written, before it is narrowed to what is possible.
        let (written, settings) = own.over(&TlsSettings::default(), span, resolver);
        let mut names = BTreeMap::new();
        for (name, raw) in self.sni.0 {
            let (_, settings) = raw.value.over(&written, name.span, resolver);
            match DnsName::parse(&name.value) {
                Err(invalid) => resolver.reject(name.span, invalid.message, invalid.help),
                Ok(parsed) => {
                    if names.insert(parsed, settings).is_some() {
                        resolver.reject(
                            name.span,
                            format!("`{}` has settings already", name.value),
                            "names are the same in upper and lower case; remove one of the two",
                        );
                    }
                }
            }
        }
        ListenerTls {
            span,
            certificates: self
                .certificates
                .into_iter()
                .map(|certificate| certificate.value.resolve(certificate.span, resolver))
                .collect(),
            acme: resolve_acme(self.acme, resolver),
            settings,
            names,
            tickets: resolve_tickets(self.tickets, resolver),
            unknown_name: self.unknown_name,
            mismatch: self.mismatch,
        }
    }
}

fn resolve_acme(acme: List, resolver: &mut Resolver) -> Vec<String> {
    let mut names = Vec::new();
    for name in acme.0 {
        if let Some(name) = resolver.refer(Section::Acme, name)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn resolve_tickets(
    tickets: Option<Located<Text<Option<Duration>>>>,
    resolver: &mut Resolver,
) -> Option<Duration> {
    let Some(tickets) = tickets else {
        return Some(TICKETS);
    };
    let life = tickets.value.0;
    if life.is_some_and(|life| life > TICKETS_MAX) {
        resolver.reject(
            tickets.span,
            "tickets live too long",
            "expected at most \"7d\" (RFC 8446 §4.6.1)",
        );
    }
    life
}

impl RawCertificate {
    fn resolve(self, span: Span, resolver: &Resolver) -> CertificateFiles {
        let source = resolver.source();
        CertificateFiles {
            cert: source.resolve_path(self.cert),
            key: source.resolve_path(self.key),
            ocsp: self.ocsp.map(|ocsp| source.resolve_path(ocsp)),
            span,
        }
    }
}

impl RawSettings {
    /// What is written here over `base`: as it is, and narrowed to what is possible. `span` is the section's.
    fn over(
        self,
        base: &TlsSettings,
        span: Span,
        resolver: &mut Resolver,
    ) -> (TlsSettings, TlsSettings) {
        let place = |given: Option<Span>| given.unwrap_or(span);
        let min_span = self.min_version.as_ref().map(|given| given.span);
        let max_span = self.max_version.as_ref().map(|given| given.span);
        let suites_span = self.cipher_suites.as_ref().map(|given| given.span);
        let client_certificates = match self.client_certificates {
            Some(Brief(clients)) => clients.0.map(|clients| clients.resolve(resolver)),
            None => base.client_certificates.clone(),
        };
        let written = TlsSettings {
            min_version: self.min_version.map_or(base.min_version, |it| it.value),
            max_version: self.max_version.map_or(base.max_version, |it| it.value),
            cipher_suites: chosen(self.cipher_suites, &base.cipher_suites, resolver),
            key_exchange: chosen(self.key_exchange, &base.key_exchange, resolver),
            alpn: chosen(self.alpn, &base.alpn, resolver),
            client_certificates,
        };
        if written.min_version > written.max_version {
            resolver.reject(
                place(min_span.or(max_span)),
                "`min_version` is above `max_version`",
                "no version is left; lower it, or raise `max_version`",
            );
            return (written.clone(), written);
        }
        let narrowed = written.narrowed();
        if narrowed.cipher_suites.is_empty() {
            resolver.reject(
                place(suites_span.or(min_span).or(max_span)),
                "no cipher suite is left for these versions",
                "names of suites for TLS 1.3 begin with TLS13_; add one, or allow another version",
            );
            // So that names, which inherit it, do not say the same again.
            return (base.clone(), narrowed);
        }
        (written, narrowed)
    }
}

impl TlsSettings {
    /// Suites of versions that are not allowed go, and then versions without a suite.
    fn narrowed(&self) -> Self {
        let allowed = self.min_version..=self.max_version;
        let mut narrowed = self.clone();
        narrowed
            .cipher_suites
            .retain(|suite| allowed.contains(&suite.version()));
        let versions = || narrowed.cipher_suites.iter().map(|suite| suite.version());
        narrowed.min_version = versions().min().unwrap_or(self.min_version);
        narrowed.max_version = versions().max().unwrap_or(self.max_version);
        narrowed
    }
}

/// The list that was given, each item once, or that of the base.
fn chosen<T: Copy + PartialEq>(
    given: Option<Located<Vec<T>>>,
    base: &[T],
    resolver: &mut Resolver,
) -> Vec<T> {
    let Some(given) = given else {
        return base.to_vec();
    };
    if given.value.is_empty() {
        resolver.reject(
            given.span,
            "an empty list leaves nothing to choose from",
            "remove the key for the default, or name at least one",
        );
        return base.to_vec();
    }
    let mut items = Vec::with_capacity(given.value.len());
    for item in given.value {
        if !items.contains(&item) {
            items.push(item);
        }
    }
    items
}

const TICKETS: Duration = Duration::from_secs(12 * 3600);
const TICKETS_MAX: Duration = Duration::from_secs(7 * 86_400);
