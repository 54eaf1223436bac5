//! `dns` of `[acme.NAME]`: how records come into DNS.

use crate::address::PeerAddress;
use crate::dns_name::DnsName;
use crate::located::{Located, Span};
use crate::resolve::Resolver;
use crate::secret_name::{self, SecretKey};
use crate::text::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How records come into DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DnsUpdate {
    /// By dynamic updates (RFC 2136).
    Server(DnsServer),
    /// By a program, called with `add` or `remove`, the name and the value; not by a shell.
    Command(Vec<String>),
}

/// A server that takes dynamic updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServer {
    /// Where it is; not a Unix socket.
    pub address: PeerAddress,
    /// Where that was written, for a name that turns out not to exist.
    pub span: Span,
    /// The zone that is updated.
    pub zone: DnsName,
    /// What updates are signed with; `None` sends them as they are.
    pub key: Option<TsigKey>,
    /// How long it may take to answer one question.
    pub question_timeout: Duration,
}

/// A key for signing updates (RFC 8945).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TsigKey {
    /// The name under which the server knows it.
    pub name: DnsName,
    /// With what it signs.
    pub algorithm: TsigAlgorithm,
    /// The secret that is the key, in base64 as `tsig-keygen` writes it; it exists.
    pub secret: String,
}

/// With what a key signs (RFC 8945 §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TsigAlgorithm {
    /// SHA-256
    #[default]
    HmacSha256,
    /// SHA-384
    HmacSha384,
    /// SHA-512
    HmacSha512,
}

impl DnsUpdate {
    /// The only zone in which records can be set, where there is one.
    pub fn zone(&self) -> Option<&DnsName> {
        match self {
            DnsUpdate::Server(server) => Some(&server.zone),
            DnsUpdate::Command(_) => None,
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{ "required": ["server"] }, { "required": ["command"] }]))]
pub(crate) struct RawDnsUpdate {
    /// A server that takes dynamic updates (RFC 2136).
    #[schemars(example = &"127.0.0.1:53")]
    server: Option<Located<Text<PeerAddress>>>,
    /// The zone that is updated.
    #[schemars(example = &"example.com")]
    zone: Option<Located<Text<DnsName>>>,
    /// The name of the key that updates are signed with (TSIG), as the server knows it.
    #[schemars(example = &"acme.")]
    key_name: Option<Located<Text<DnsName>>>,
    /// With what it signs: "hmac-sha256", "hmac-sha384" or "hmac-sha512".
    #[serde(default)]
    algorithm: TsigAlgorithm,
    /// The [secret.NAME] that is the key, in base64 as `tsig-keygen` writes it.
    #[serde(default)]
    #[schemars(schema_with = "secret_name::schema", example = serde_json::json!({ "secret": "token" }))]
    key: Option<SecretKey>,
    /// How long the server may take to answer one question.
    #[schemars(extend("default" = "10s"))]
    question_timeout: Option<Located<Text<Duration>>>,
    /// Instead of all these: a program that sets records. It is called with "add" or "remove", the name and
    /// the value, by no shell.
    #[schemars(example = serde_json::json!(["/usr/local/bin/dns-hook"]))]
    command: Option<Located<Vec<String>>>,
    /// How long it may take until the server shows a record, or a command ends.
    #[serde(default = "timeout", with = "Text::<Duration>")]
    timeout: Duration,
}

const QUESTION: Duration = Duration::from_secs(10);

fn timeout() -> Duration {
    Duration::from_secs(120)
}

impl RawDnsUpdate {
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// `span` is that of the table. `None` where something was wrong.
    pub(crate) fn resolve(self, span: Span, resolver: &mut Resolver) -> Option<DnsUpdate> {
        match (self.server, self.command) {
            (Some(server), None) => {
                let Some(zone) = self.zone else {
                    resolver.reject(
                        span,
                        "nothing says which zone is updated",
                        "add `zone = \"example.org\"`",
                    );
                    return None;
                };
                let zone = resolve_name(zone, resolver)?;
                let key = resolve_key(self.key_name, self.key, self.algorithm, resolver);
                let question_timeout = self.question_timeout;
                let server = resolve_server(server, resolver)?;
                Some(DnsUpdate::Server(DnsServer {
                    address: server.value,
                    span: server.span,
                    zone,
                    key,
                    question_timeout: question_timeout.map_or(QUESTION, |text| text.value.0),
                }))
            }
            (None, Some(command)) => {
                let others = [
                    self.zone.map(|key| key.span),
                    self.key_name.map(|key| key.span),
                    self.key.map(|key| key.span),
                    self.question_timeout.map(|key| key.span),
                ];
                if let Some(other) = others.into_iter().flatten().next() {
                    resolver.reject(
                        other,
                        "a command sets records itself",
                        "remove `zone`, `key_name`, `key` and `question_timeout`, or `command`",
                    );
                }
                resolve_command(command, resolver)
            }
            (Some(_), Some(command)) => {
                resolver.reject(
                    command.span,
                    "records are set by a server or by a command",
                    "keep one of `server` and `command`",
                );
                None
            }
            (None, None) => {
                resolver.reject(
                    span,
                    "nothing says where records are set",
                    "add `server` and `zone`, or `command`",
                );
                None
            }
        }
    }
}

fn resolve_server(
    server: Located<Text<PeerAddress>>,
    resolver: &mut Resolver,
) -> Option<Located<PeerAddress>> {
    let Located { value, span } = server;
    if let PeerAddress::Unix(_) = value.0 {
        resolver.reject(
            span,
            "DNS is not spoken on Unix sockets",
            "expected an address such as \"127.0.0.1:53\" or \"ns1.example.org:53\"",
        );
        return None;
    }
    Some(Located::new(value.0, span))
}

fn resolve_key(
    name: Option<Located<Text<DnsName>>>,
    key: Option<SecretKey>,
    algorithm: TsigAlgorithm,
    resolver: &mut Resolver,
) -> Option<TsigKey> {
    let (name, key) = match (name, key) {
        (None, None) => return None,
        (Some(name), Some(key)) => (name, key),
        (Some(name), None) => {
            resolver.reject(
                name.span,
                "a key has a name and a value",
                "add `key = { secret = \"NAME\" }`",
            );
            return None;
        }
        (None, Some(key)) => {
            resolver.reject_unshown(
                key.span,
                "a key has a name and a value",
                "add `key_name = \"acme.\"`",
            );
            return None;
        }
    };
    Some(TsigKey {
        name: resolve_name(name, resolver)?,
        algorithm,
        secret: secret_name::resolve(key, "key", resolver)?,
    })
}

/// Zones and keys have no wildcards.
fn resolve_name(name: Located<Text<DnsName>>, resolver: &mut Resolver) -> Option<DnsName> {
    let Located { value, span } = name;
    if value.0.is_wildcard() {
        resolver.reject(
            span,
            format!("`{}` is a wildcard", value.0),
            format!("write \"{}\"", value.0.base()),
        );
        return None;
    }
    Some(value.0)
}

fn resolve_command(command: Located<Vec<String>>, resolver: &mut Resolver) -> Option<DnsUpdate> {
    let program = command.value.first().filter(|program| !program.is_empty());
    if program.is_none() || command.value.iter().any(|word| word.contains('\0')) {
        resolver.reject(
            command.span,
            "this is no command",
            "expected a program and its arguments such as [\"/usr/local/bin/dns-hook\"]",
        );
        return None;
    }
    Some(DnsUpdate::Command(command.value))
}
