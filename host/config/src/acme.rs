//! `[acme.NAME]`: a certificate authority, the account with it, and what it is asked for (RFC 8555).

mod directory;
mod on_demand;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use crate::dns_update::{DnsUpdate, RawDnsUpdate};
use crate::list::List;
use crate::located::{Located, Span};
use crate::names::Section;
use crate::resolve::Resolver;
use crate::secret_name::{self, SecretKey};
use crate::text::Text;
use directory::Directory;
pub use on_demand::OnDemand;
use on_demand::RawOnDemand;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[acme.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acme {
    /// The heading of the section.
    pub span: Span,
    /// The URL of the authority's directory; https.
    pub directory: String,
    /// A PEM file of who vouches for the authority's own server; absolute. `None` is the system's authorities.
    pub ca: Option<Located<PathBuf>>,
    /// Where the authority reaches the operator: `mailto:` and the like.
    pub contact: Vec<String>,
    /// An account of another kind that the authority knows already.
    pub external_account: Option<ExternalAccount>,
    /// The authorities that are asked when this one fails, in order; they exist, and this one is not among them.
    pub fallback: Vec<String>,
    /// The folder of keys, account and certificates; absolute.
    pub store: PathBuf,
    /// The secret that keys are encrypted with in the store; it exists.
    pub encryption: Option<String>,
    /// How control of names is shown.
    pub challenge: Challenge,
    /// The names of each certificate, the main one first, as they were written.
    pub certificates: Vec<Located<Vec<Located<String>>>>,
    /// The folder of more such lists; absolute.
    pub certdefs: Option<Located<PathBuf>>,
    /// When a certificate is renewed, if the authority does not say (RFC 9773).
    pub renew: Renew,
    /// The kind of the certificates' keys.
    pub key_type: KeyType,
    /// How records come into DNS; there where the challenge is `Dns01`.
    pub dns: Option<DnsUpdate>,
    /// How long it may take until a record is seen, or a command ends.
    pub dns_timeout: Duration,
    /// How long one request to the authority may take, its answer included.
    pub request_timeout: Duration,
    /// How long an order may take, its challenges included.
    pub order_timeout: Duration,
    /// How long after a first failure it is tried again; then three times as long each time.
    pub retry: Duration,
    /// The longest time between attempts.
    pub retry_max: Duration,
    /// Whether and how certificates are ordered when a client asks for a name.
    pub on_demand: Option<OnDemand>,
}

/// External account binding (RFC 8555 §7.3.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// Given by the authority.
    pub key_id: String,
    /// The secret that is the key, base64url as the authorities give it; it exists.
    pub key: String,
}

/// How control of a name is shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Challenge {
    /// RFC 8737: a handshake on port 443.
    #[default]
    #[serde(rename = "tls-alpn-01")]
    TlsAlpn01,
    /// RFC 8555 §8.3: a request on port 80.
    #[serde(rename = "http-01")]
    Http01,
    /// RFC 8555 §8.4: a record in DNS.
    #[serde(rename = "dns-01")]
    Dns01,
}

/// When a certificate is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renew {
    /// So long before it ends.
    Before(Duration),
    /// So long after it was issued.
    After(Duration),
}

/// The kind of a certificate's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    /// P-256
    #[default]
    Ecdsa,
    /// P-384
    EcdsaP384,
}

// === as written ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawAcme {
    /// The authority: "letsencrypt", "letsencrypt-staging", "zerossl", "google", or the https URL of a directory.
    #[schemars(example = &"letsencrypt")]
    directory: Text<Directory>,
    /// You agree to the authority's terms of service. Nothing is asked for without it.
    #[schemars(example = true)]
    agree_to_terms: Option<Located<bool>>,
    /// Where the authority reaches you, as URLs.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["mailto:ops@example.com"]))]
    contact: Vec<Located<String>>,
    /// The names of each certificate, the main one first.
    #[serde(default)]
    #[schemars(example = serde_json::json!([["example.com", "www.example.com"]]))]
    certificates: Vec<Located<Vec<Located<String>>>>,
    /// A watched folder with one file per certificate, relative to this file: the first line is the main name,
    /// the others are alternatives.
    #[schemars(example = &"certdefs")]
    certdefs: Option<Located<PathBuf>>,
    /// How control of the names is shown: "tls-alpn-01" (on port 443), "http-01" (on port 80) or "dns-01"
    /// (a record in DNS, which wildcards need).
    #[serde(default)]
    challenge: Challenge,
    /// A folder for keys, account and certificates, relative to this file. Only its owner may read it.
    #[serde(default = "store")]
    store: PathBuf,
    /// Encrypt keys in the store with this [secret.NAME].
    #[serde(default)]
    #[schemars(schema_with = "secret_name::schema", example = serde_json::json!({ "secret": "token" }))]
    encryption: Option<SecretKey>,
    /// Renew so long before the end, where the authority does not say when itself (RFC 9773).
    #[schemars(extend("default" = "30d"))]
    renew_before: Option<Located<Text<Duration>>>,
    /// Instead of `renew_before`: renew so long after the issue.
    #[schemars(example = &"60d")]
    renew_after: Option<Located<Text<Duration>>>,
    /// The kind of the certificates' keys: "ecdsa" (P-256) or "ecdsa-p384".
    #[serde(default)]
    key_type: KeyType,
    /// How long one request to the authority may take, its answer included.
    #[serde(default = "request_timeout", with = "Text::<Duration>")]
    request_timeout: Duration,
    /// How long an order may take, its challenges included.
    #[serde(default = "order_timeout", with = "Text::<Duration>")]
    order_timeout: Duration,
    /// How long after a failed attempt the next one is made; then three times as long each time. A time that the
    /// authority asks for goes before, where it is longer.
    #[serde(default = "retry", with = "Text::<Duration>")]
    retry: Duration,
    /// The longest time between attempts.
    #[serde(default = "retry_max", with = "Text::<Duration>")]
    retry_max: Duration,
    /// Other [acme.NAME] that are asked, in order, when this one fails: a name or a list.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["zerossl"]))]
    fallback: List,
    /// Who vouches for the authority's own server, a PEM file relative to this file. Without it, the
    /// system's authorities.
    #[schemars(example = &"pebble.pem")]
    ca: Option<Located<PathBuf>>,
    /// An account that you have with the authority already (external account binding); "zerossl" and "google"
    /// need it.
    external_account: Option<RawExternalAccount>,
    /// Where records are set for "dns-01".
    dns: Option<Located<RawDnsUpdate>>,
    /// Order a certificate when a client asks for a name that has none.
    on_demand: Option<Located<RawOnDemand>>,
}

fn store() -> PathBuf {
    PathBuf::from("acme")
}

fn request_timeout() -> Duration {
    Duration::from_secs(30)
}

fn order_timeout() -> Duration {
    Duration::from_secs(300)
}

fn retry() -> Duration {
    Duration::from_secs(60)
}

fn retry_max() -> Duration {
    Duration::from_secs(6 * 3600)
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawExternalAccount {
    /// The identifier that the authority gave you.
    #[schemars(example = &"kid-1")]
    key_id: String,
    /// The [secret.NAME] that is the key, base64url as the authority gave it.
    #[schemars(schema_with = "secret_name::schema", example = serde_json::json!({ "secret": "token" }))]
    key: SecretKey,
}

impl RawAcme {
    /// The names in `fallback`.
    pub(crate) fn fallbacks(&self) -> impl Iterator<Item = &str> {
        self.fallback.0.iter().map(|name| name.value.as_str())
    }

    /// `fallbacks` are all names that stand in a `fallback`.
    pub(crate) fn resolve(
        self,
        name: &Located<String>,
        fallbacks: &BTreeSet<String>,
        resolver: &mut Resolver,
    ) -> Acme {
        self.check_alone(name, fallbacks, resolver);
        let dns_timeout = self.dns.as_ref().map(|dns| dns.value.timeout());
        let dns = self.dns.and_then(|dns| {
            if self.challenge != Challenge::Dns01 {
                resolver.reject(
                    dns.span,
                    "`dns` is for the challenge dns-01 only",
                    "add `challenge = \"dns-01\"`, or remove it",
                );
            }
            dns.value.resolve(dns.span, resolver)
        });
        let fallback = self.fallback.0.into_iter();
        let fallback = fallback.filter_map(|other| resolve_fallback(other, &name.value, resolver));
        let fallback = fallback.collect();
        let contact = self.contact.into_iter();
        let contact = contact.filter_map(|url| resolve_contact(url, resolver));
        let contact = contact.collect();
        let external_account = self.external_account.and_then(|account| {
            let key = secret_name::resolve(account.key, "key", resolver)?;
            let key_id = account.key_id;
            Some(ExternalAccount { key_id, key })
        });
        let encryption = self
            .encryption
            .and_then(|secret| secret_name::resolve(secret, "encryption", resolver));
        let on_demand = self
            .on_demand
            .and_then(|on_demand| on_demand.value.resolve(on_demand.span, resolver));
        let renew = resolve_renew(self.renew_before, self.renew_after, resolver);
        let absolute = |path: Located<PathBuf>| {
            Located::new(resolver.source().resolve_path(path.value), path.span)
        };
        Acme {
            span: name.span,
            directory: self.directory.0.0,
            ca: self.ca.map(absolute),
            contact,
            external_account,
            fallback,
            store: resolver.source().resolve_path(self.store),
            encryption,
            challenge: self.challenge,
            certificates: self.certificates,
            certdefs: self.certdefs.map(absolute),
            renew,
            key_type: self.key_type,
            dns,
            dns_timeout: dns_timeout.unwrap_or_default(),
            request_timeout: self.request_timeout,
            order_timeout: self.order_timeout,
            retry: self.retry,
            retry_max: self.retry_max.max(self.retry),
            on_demand,
        }
    }

    /// Keys that must be there.
    fn check_alone(
        &self,
        name: &Located<String>,
        fallbacks: &BTreeSet<String>,
        resolver: &mut Resolver,
    ) {
        if !self
            .agree_to_terms
            .as_ref()
            .is_some_and(|agree| agree.value)
        {
            let given = self.agree_to_terms.as_ref().map(|agree| agree.span);
            resolver.reject(
                given.unwrap_or(name.span),
                "the authority asks you to agree to its terms of service",
                "read them, and write `agree_to_terms = true`",
            );
        }
        let nothing =
            self.certificates.is_empty() && self.certdefs.is_none() && self.on_demand.is_none();
        if nothing && !fallbacks.contains(&name.value) {
            resolver.reject(
                name.span,
                "the authority is asked for nothing",
                "add `certificates = [[\"example.com\"]]`, `certdefs` or `on_demand`, or remove the section",
            );
        }
        if self.challenge == Challenge::Dns01 && self.dns.is_none() {
            resolver.reject(
                name.span,
                "the challenge dns-01 sets records, and nothing says where",
                "add `dns = { server = …, zone = … }` or `dns = { command = […] }`",
            );
        }
        if self.directory.0.needs_account() && self.external_account.is_none() {
            resolver.reject(
                name.span,
                "this authority needs an account that you have with it already",
                "add `external_account = { key_id = \"…\", key = { secret = \"NAME\" } }` with what it gave you",
            );
        }
    }
}

fn resolve_fallback(other: Located<String>, own: &str, resolver: &mut Resolver) -> Option<String> {
    if other.value == own {
        resolver.reject(
            other.span,
            "an authority cannot stand in for itself",
            "name another [acme.NAME]",
        );
        return None;
    }
    resolver.refer(Section::Acme, other)
}

fn resolve_contact(url: Located<String>, resolver: &mut Resolver) -> Option<String> {
    let address = url.value.strip_prefix("mailto:");
    let legal = address.is_some_and(|address| {
        let parts = address.split_once('@');
        parts.is_some_and(|(user, host)| !user.is_empty() && !host.is_empty())
            && address
                .chars()
                .all(|c| c.is_ascii_graphic() && !",?".contains(c))
    });
    if !legal {
        resolver.reject(
            url.span,
            format!("`{}` is not where an authority can write to", url.value),
            "expected one address such as \"mailto:ops@example.com\" (RFC 8555 §7.3)",
        );
        return None;
    }
    Some(url.value)
}

fn resolve_renew(
    before: Option<Located<Text<Duration>>>,
    after: Option<Located<Text<Duration>>>,
    resolver: &mut Resolver,
) -> Renew {
    match (before, after) {
        (Some(_), Some(after)) => {
            resolver.reject(
                after.span,
                "`renew_before` and `renew_after` say two things about the same",
                "keep one of them",
            );
            Renew::After(after.value.0)
        }
        (None, Some(after)) => Renew::After(after.value.0),
        (Some(before), None) => Renew::Before(before.value.0),
        (None, None) => Renew::Before(RENEW_BEFORE),
    }
}

const RENEW_BEFORE: Duration = Duration::from_secs(30 * 86_400);
