//! `allow` in `[plugins]` and `[plugin.NAME]`: what plugins may use. What is not allowed, they cannot do.

use std::fmt;
use std::net::SocketAddr;

use crate::error::Invalid;
use crate::filesystem::{FilesystemGrant, RawFolder, resolve_folders};
use crate::limiter::{LimiterGrant, RawLimiter};
use crate::list::List;
use crate::names::Section;
use crate::nearest::nearest;
use crate::origin::{HttpGrant, RawHttpGrant};
use crate::resolve::Resolver;
use crate::shorthand::Brief;
use crate::text::{Text, Textual};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What one plugin may use. By default nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Write lines of the proxy's log.
    pub log: bool,
    /// Count and measure things of its own.
    pub metrics: bool,
    /// Read the time.
    pub clock: bool,
    /// Get random bytes.
    pub random: bool,
    /// Read and set the attributes of an exchange.
    pub attributes: bool,
    /// Hash, sign and verify.
    pub crypto: bool,
    /// Limit rates and concurrency; `None` where it may not.
    pub limiter: Option<LimiterGrant>,
    /// Names of stores, which exist. An empty list lets it ask, and refuses every store; `None` where it
    /// may not even ask.
    pub kv: Option<Vec<String>>,
    /// Names of secrets, which exist; likewise.
    pub secrets: Option<Vec<String>>,
    /// Whom it may call, no origin twice; likewise.
    pub http: Option<Vec<HttpGrant>>,
    /// Names of upstreams that it may choose, which exist.
    pub upstreams: Vec<String>,
    /// Folders that it sees; no guest path twice.
    pub filesystem: Vec<FilesystemGrant>,
    /// Addresses that it may connect to; no port is 0.
    pub sockets: Vec<SocketAddr>,
}

// === allow as written: a list of words, or a table ===

#[derive(Debug)]
pub(crate) struct RawAllow(Table);

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Table {
    /// Write lines of the proxy's log.
    log: Option<bool>,
    /// Count and measure things of its own.
    metrics: Option<bool>,
    /// Read the time.
    clock: Option<bool>,
    /// Get random bytes.
    random: Option<bool>,
    /// Read and set the attributes of an exchange.
    attributes: Option<bool>,
    /// Hash, sign and verify.
    crypto: Option<bool>,
    /// Limit rates and concurrency: `true` in this process, { redis = "NAME" } together with others.
    limiter: Option<RawLimiter>,
    /// Use these [kv.NAME]. With [] a plugin that can use stores is let in, and gets none.
    kv: Option<List>,
    /// Use these [secret.NAME], likewise.
    secrets: Option<List>,
    /// Call these origins. At a private address: { origin = "http://10.0.0.5:8080", private = true }.
    http: Option<Vec<Brief<RawHttpGrant>>>,
    /// Choose these [upstream.NAME].
    upstreams: List,
    /// See these folders.
    filesystem: Vec<RawFolder>,
    /// Connect to these addresses.
    sockets: Vec<Text<SocketAddr>>,
}

impl RawAllow {
    /// What is written here, added to `base`; `false` takes away.
    pub(crate) fn over(self, base: Allow, resolver: &mut Resolver) -> Allow {
        let Self(own) = self;
        let http = own.http.map(|grants| {
            let grants = grants.into_iter();
            let grants = grants.map(|grant| RawHttpGrant::resolve(grant, resolver));
            grants.collect()
        });
        let http = either(base.http, http, |base, own| {
            added(base, own, |grant| grant.origin.clone())
        });
        let folders = resolve_folders(own.filesystem, resolver);
        let sockets = own.sockets.into_iter().map(|text| text.0).collect();
        Allow {
            log: own.log.unwrap_or(base.log),
            metrics: own.metrics.unwrap_or(base.metrics),
            clock: own.clock.unwrap_or(base.clock),
            random: own.random.unwrap_or(base.random),
            attributes: own.attributes.unwrap_or(base.attributes),
            crypto: own.crypto.unwrap_or(base.crypto),
            limiter: match own.limiter {
                Some(limiter) => limiter.over(base.limiter, resolver),
                None => base.limiter,
            },
            kv: either(base.kv, own.kv, |base, own| {
                names(base, own, Section::Kv, resolver)
            }),
            secrets: either(base.secrets, own.secrets, |base, own| {
                names(base, own, Section::Secret, resolver)
            }),
            http,
            upstreams: names(base.upstreams, own.upstreams, Section::Upstream, resolver),
            filesystem: added(base.filesystem, folders, |folder| folder.guest.clone()),
            sockets: added(base.sockets, sockets, |address| *address),
        }
    }
}

/// Both lists in one, where either is there.
fn either<T, O: Default>(
    base: Option<Vec<T>>,
    own: Option<O>,
    both: impl FnOnce(Vec<T>, O) -> Vec<T>,
) -> Option<Vec<T>> {
    if base.is_none() && own.is_none() {
        return None;
    }
    Some(both(base.unwrap_or_default(), own.unwrap_or_default()))
}

/// Both lists, each key once; the own one replaces that of the base.
fn added<T, K: PartialEq>(base: Vec<T>, own: Vec<T>, key: impl Fn(&T) -> K) -> Vec<T> {
    let mut all = base;
    for item in own {
        all.retain(|other| key(other) != key(&item));
        all.push(item);
    }
    all
}

fn names(base: Vec<String>, own: List, section: Section, resolver: &mut Resolver) -> Vec<String> {
    let own = own.0.into_iter();
    let own = own.filter_map(|name| resolver.refer(section, name));
    added(base, own.collect(), String::clone)
}

impl<'de> Deserialize<'de> for RawAllow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AllowVisitor)
    }
}

impl JsonSchema for RawAllow {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Allow".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let words = WORDS.map(|(word, _)| word);
        json_schema!({ "anyOf": [
            { "type": "array", "items": { "type": "string", "enum": words } },
            generator.subschema_for::<Table>(),
        ] })
    }
}

struct AllowVisitor;

impl<'de> Visitor<'de> for AllowVisitor {
    type Value = RawAllow;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "an array such as [\"log\", \"clock\"], or a table such as \
             { log = true, kv = [\"NAME\"] }",
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<RawAllow, A::Error> {
        let mut table = Table::default();
        while let Some(Text(word)) = words.next_element::<Text<Word>>()? {
            table.set(word);
        }
        Ok(RawAllow(table))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RawAllow, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(RawAllow)
    }
}

impl Table {
    fn set(&mut self, word: Word) {
        match word {
            Word::Log => self.log = Some(true),
            Word::Metrics => self.metrics = Some(true),
            Word::Clock => self.clock = Some(true),
            Word::Random => self.random = Some(true),
            Word::Attributes => self.attributes = Some(true),
            Word::Crypto => self.crypto = Some(true),
            Word::Limiter => self.limiter = Some(RawLimiter::On),
        }
    }
}

// === the words of a list ===

/// A capability that needs no more than its name.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Word {
    Log,
    Metrics,
    Clock,
    Random,
    Attributes,
    Limiter,
    Crypto,
}

const WORDS: [(&str, Word); 7] = [
    ("log", Word::Log),
    ("metrics", Word::Metrics),
    ("clock", Word::Clock),
    ("random", Word::Random),
    ("attributes", Word::Attributes),
    ("limiter", Word::Limiter),
    ("crypto", Word::Crypto),
];

/// Capabilities of which a table says which, and how that is written.
const TABLED: [(&str, &str); 6] = [
    ("kv", "kv = [\"NAME\"]"),
    ("secrets", "secrets = [\"NAME\"]"),
    ("http", "http = [\"https://issuer.example\"]"),
    ("upstreams", "upstreams = [\"NAME\"]"),
    (
        "filesystem",
        "filesystem = [{ host = \"data\", guest = \"/data\" }]",
    ),
    ("sockets", "sockets = [\"10.0.0.1:6379\"]"),
];

impl Textual for Word {
    const EXPECTED: &'static str = "the name of a capability";

    fn parse(text: &str) -> Result<Self, Invalid> {
        if let Some((_, word)) = WORDS.iter().find(|(name, _)| *name == text) {
            return Ok(*word);
        }
        if let Some((_, example)) = TABLED.iter().find(|(name, _)| *name == text) {
            return Err(Invalid::new(
                format!("`{text}` alone does not say which"),
                format!("write a table instead of the list: allow = {{ {example}, log = true }}"),
            ));
        }
        let words = WORDS.map(|(name, _)| name);
        let help = match nearest(text, words) {
            Some(word) => format!("did you mean `{word}`?"),
            None => format!("expected one of `{}`", words.join("`, `")),
        };
        Err(Invalid::new(format!("unknown capability `{text}`"), help))
    }

    fn write(&self) -> String {
        let word = WORDS.iter().find(|(_, word)| word == self);
        word.map(|(name, _)| (*name).to_owned()).unwrap_or_default()
    }
}
