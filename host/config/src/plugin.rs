//! `[plugins]` and `[plugin.NAME]`: where plugins are, what they may use, and what happens when they fail.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::allow::{Allow, RawAllow};
use crate::error::Invalid;
use crate::keyed::Keyed;
use crate::located::{Located, Span};
use crate::on_failure::{OnFailure, Policy, RawOnFailure};
use crate::resolve::Resolver;
use crate::shorthand::Brief;
use crate::size::{GIB, KIB, MIB, Size};
use crate::text::{Text, Textual};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::Deserialize;

/// `[plugins]` and all of `[plugin.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugins {
    /// The watched folder; absolute.
    pub directory: PathBuf,
    /// Where compiled code is kept.
    pub cache: Cache,
    /// The most live instances of all plugins together.
    pub instances: u32,
    /// The most keys that the limiters of one plugin hold.
    pub limiter_keys: u32,
    /// The most bytes of bodies that are held for all plugins together.
    pub body_bytes_total: u64,
    /// What holds for a plugin without a section of its own; `file` is the folder.
    defaults: PluginSettings,
    /// Plugins with a section of their own; [`Plugins::settings`] answers for every name.
    pub named: BTreeMap<String, PluginSettings>,
}

/// What holds for one plugin.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginSettings {
    /// The component; absolute.
    pub file: PathBuf,
    /// The only digest that the file may have.
    pub sha256: Option<Located<Sha256>>,
    /// What it may use.
    pub allow: Allow,
    /// Where that is said, for what turns out to be missing: the nearest `allow`, or else the heading of
    /// the plugin's section. `None` where the file has neither.
    pub allow_span: Option<Span>,
    /// The most time that one call may compute.
    pub deadline: Duration,
    /// The most time that one call may take, waits included.
    pub wait: Duration,
    /// The most memory that one instance may have, in bytes.
    pub memory: u64,
    /// The most bytes of one body that may be held for it.
    pub body_bytes: u64,
    /// The most outbound calls that it may have open at once.
    pub http_calls: u32,
    /// Whether one exchange after the other may have the same instance.
    pub reuse: bool,
    /// What a request gets when the plugin fails.
    pub on_failure: OnFailure,
}

impl Plugins {
    /// The settings of a plugin: its own section's, or the defaults.
    pub fn settings(&self, name: &str) -> PluginSettings {
        self.named
            .get(name)
            .cloned()
            .unwrap_or_else(|| PluginSettings {
                file: self.directory.join(format!("{name}.wasm")),
                ..self.defaults.clone()
            })
    }
}

/// Where compiled code is kept, so that a start need not compile again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cache {
    /// Where the system keeps such things.
    Automatic,
    /// Nowhere.
    Off,
    /// In this folder; absolute.
    Folder(PathBuf),
}

/// A SHA-256 digest (FIPS 180-4). `Display` gives 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sha256(pub [u8; 32]);

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Textual for Sha256 {
    const EXPECTED: &'static str = "64 hexadecimal digits, as `sha256sum` prints them";
    const PATTERN: Option<&'static str> = Some("^[0-9A-Fa-f]{64}$");

    fn parse(text: &str) -> Result<Self, Invalid> {
        let mut digest = [0; 32];
        let legal = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        for (index, byte) in digest.iter_mut().enumerate() {
            let digits = text.get(2 * index..2 * index + 2).unwrap_or_default();
            *byte = u8::from_str_radix(digits, 16).unwrap_or_default();
        }
        legal.then_some(Self(digest)).ok_or_else(|| {
            Invalid::new(
                format!("not a SHA-256 digest: {} characters", text.chars().count()),
                format!("expected {}", Self::EXPECTED),
            )
        })
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

// === [plugins] as written ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct RawPlugins {
    /// The folder of the plugins, relative to this file. It is watched: dropping a file in swaps a plugin.
    directory: PathBuf,
    /// What all plugins may use; by default nothing. A list of "log", "metrics", "clock", "random",
    /// "attributes", "limiter", "crypto", or a table, which can say more: see [plugin.NAME].
    #[schemars(example = serde_json::json!(["log", "metrics"]))]
    allow: Option<Located<RawAllow>>,
    /// The most time that one call of a plugin may compute. One that does not end is cut up to 7 ms later.
    #[serde(with = "Text::<Duration>")]
    deadline: Duration,
    /// The most time that one call may take all in all, with what it waits for, such as an outbound call.
    #[serde(with = "Text::<Duration>")]
    wait: Duration,
    /// The most memory that one instance may have.
    #[serde(with = "Memory")]
    memory: u64,
    /// The largest body, or part of one, that may be held for a plugin in one request.
    #[schemars(extend("default" = "1MiB"))]
    body_bytes: Located<BodyBytes>,
    /// The most bytes of bodies that are held for all plugins and requests together.
    #[schemars(extend("default" = "256MiB"))]
    body_bytes_total: Located<BodyBytesTotal>,
    /// The most outbound HTTP calls that one plugin may have open at once.
    #[serde(with = "HttpCalls")]
    http_calls: u32,
    /// Whether an instance of a plugin serves one request after the other. With `false` each request has one of its
    /// own from its first phase to its last, and nothing that it leaves in the plugin's memory is there for the next.
    reuse: bool,
    /// What a request gets when a plugin fails: "closed" (it is refused with 503), "open" (it goes on as if
    /// the plugin were not there), or by kind: { trap = …, deadline = …, memory = …, error = …,
    /// over_limit = … }. The last is a body larger than what may be held of it: "closed" answers 413 to a
    /// request and 502 to a response, "open" passes it on unseen.
    #[schemars(extend("default" = "closed"))]
    on_failure: Brief<RawOnFailure>,
    /// A folder for compiled code, relative to this file, or "off". Without it, the system's usual place.
    #[schemars(example = &"/var/cache/tidegate")]
    cache: Option<String>,
    /// The most live instances of all plugins together.
    #[serde(with = "Whole::<1, 65_536>")]
    instances: u32,
    /// The most keys (such as clients) that the rate limits of one plugin remember.
    #[serde(with = "Whole::<1>")]
    limiter_keys: u32,
}

/// At least one WebAssembly page, at most what 32 bits address.
type Memory = Size<{ 64 * KIB }, { 4 * GIB }>;
type BodyBytes = Size<1, GIB>;
type BodyBytesTotal = Size<{ 64 * KIB }>;
type HttpCalls = Whole<1, 65_536>;

impl Default for RawPlugins {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("plugins"),
            allow: None,
            deadline: Duration::from_millis(10),
            wait: Duration::from_secs(5),
            memory: 32 * MIB,
            body_bytes: Located::new(Size(MIB), Span::default()),
            body_bytes_total: Located::new(Size(256 * MIB), Span::default()),
            http_calls: 64,
            reuse: true,
            on_failure: Brief(RawOnFailure::default()),
            cache: None,
            instances: 1024,
            limiter_keys: 65_536,
        }
    }
}

impl RawPlugins {
    pub(crate) fn resolve(self, named: Keyed<RawPlugin>, resolver: &mut Resolver) -> Plugins {
        let directory = resolver.source().resolve_path(&self.directory);
        let cache = match self.cache.as_deref() {
            None => Cache::Automatic,
            Some("off") => Cache::Off,
            Some(folder) => Cache::Folder(resolver.source().resolve_path(folder)),
        };
        let (allow, allow_span) = match self.allow {
            Some(allow) => (
                allow.value.over(Allow::default(), resolver),
                written(allow.span),
            ),
            None => (Allow::default(), None),
        };
        let body_bytes = self.body_bytes.value.0;
        let body_bytes_total = self.body_bytes_total.value.0;
        // One of the two can be a default, which is not written anywhere.
        let span = written(self.body_bytes.span).unwrap_or(self.body_bytes_total.span);
        check_body_bytes(body_bytes, body_bytes_total, span, resolver);
        let defaults = PluginSettings {
            file: directory.clone(),
            sha256: None,
            allow,
            allow_span,
            deadline: self.deadline,
            wait: self.wait,
            memory: self.memory,
            body_bytes,
            http_calls: self.http_calls,
            reuse: self.reuse,
            on_failure: self.on_failure.0.over(Policy::Closed.into()),
        };
        let mut plugins = Plugins {
            directory,
            cache,
            instances: self.instances,
            limiter_keys: self.limiter_keys,
            body_bytes_total,
            defaults,
            named: BTreeMap::new(),
        };
        for (name, raw) in named.0 {
            check_name(&name, resolver);
            let settings = raw.resolve(&name, &plugins, resolver);
            plugins.named.insert(name.value, settings);
        }
        plugins
    }
}

/// The place, unless the value comes from the environment.
fn written(span: Span) -> Option<Span> {
    Some(span).filter(|span| *span != Span::default())
}

/// What can never be held is a mistake.
fn check_body_bytes(bytes: u64, total: u64, span: Span, resolver: &mut Resolver) {
    if bytes > total {
        resolver.reject(
            span,
            "`body_bytes` is more than `body_bytes_total` in [plugins]",
            "lower it, or raise `body_bytes_total`",
        );
    }
}

/// Plugins are named after files and appear in metrics, so their names are plain.
pub(crate) fn check_name(name: &Located<String>, resolver: &mut Resolver) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !(1..=64).contains(&name.value.len()) || !name.value.chars().all(plain) {
        resolver.reject(
            name.span,
            format!("`{}` cannot be the name of a plugin", name.value),
            "expected 1 to 64 of a-z, 0-9 and -",
        );
    }
}

// === [plugin.NAME] as written ===

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawPlugin {
    /// The component, relative to the plugins' folder. Without it, NAME.wasm.
    #[schemars(example = &"rate-limit.wasm")]
    file: Option<PathBuf>,
    /// Accept only the file with this digest, 64 hexadecimal digits.
    #[schemars(example = &"0000000000000000000000000000000000000000000000000000000000000000")]
    sha256: Option<Located<Text<Sha256>>>,
    /// What this plugin may use, beside what [plugins] allows to all. A list as there, or a table:
    /// - log, metrics, clock, random, attributes, limiter, crypto: `true`, or `false` to take back what
    ///   [plugins] allows. limiter = { redis = "main" } shares its limits through [redis.main].
    /// - kv, secrets, upstreams: names of sections, as in kv = ["sessions"].
    /// - http: origins that it may call, as in ["https://issuer.example", "https://*.example.com:8443"];
    ///   "*." is any name below. At a private address, { origin = "http://10.0.0.5:8080", private = true };
    ///   with an authority instead of the usual ones, { origin = "https://issuer.example", ca = "ca.pem" }.
    /// - filesystem: folders, as in [{ host = "data", guest = "/data", write = true }]; to read, without `write`.
    /// - sockets: addresses that it may connect to, as in ["10.0.0.1:6379"].
    #[schemars(example = serde_json::json!({
        "log": true,
        "kv": ["sessions"],
        "secrets": ["token"],
        "http": ["https://issuer.example"],
    }))]
    allow: Option<Located<RawAllow>>,
    /// As in [plugins], for this plugin.
    #[schemars(example = &"2ms")]
    deadline: Option<Text<Duration>>,
    /// As in [plugins], for this plugin.
    #[schemars(example = &"1s")]
    wait: Option<Text<Duration>>,
    /// As in [plugins], for this plugin.
    #[schemars(example = &"16MiB")]
    memory: Option<Memory>,
    /// As in [plugins], for this plugin.
    #[schemars(example = &"64KiB")]
    body_bytes: Option<Located<BodyBytes>>,
    /// As in [plugins], for this plugin.
    #[schemars(example = 16)]
    http_calls: Option<HttpCalls>,
    /// As in [plugins], for this plugin.
    #[schemars(example = false)]
    reuse: Option<bool>,
    /// As in [plugins], for this plugin. Kinds that are left out keep the policy of [plugins].
    #[schemars(example = serde_json::json!({ "deadline": "open" }))]
    on_failure: Option<Brief<RawOnFailure>>,
}

impl RawPlugin {
    fn resolve(
        self,
        name: &Located<String>,
        plugins: &Plugins,
        resolver: &mut Resolver,
    ) -> PluginSettings {
        let defaults = plugins.settings(&name.value);
        let (allow, allow_span) = match self.allow {
            Some(own) => (own.value.over(defaults.allow, resolver), Some(own.span)),
            None => (defaults.allow, defaults.allow_span.or(Some(name.span))),
        };
        if let Some(bytes) = &self.body_bytes {
            check_body_bytes(
                bytes.value.0,
                plugins.body_bytes_total,
                bytes.span,
                resolver,
            );
        }
        PluginSettings {
            file: match self.file {
                Some(file) => plugins.directory.join(file),
                None => defaults.file,
            },
            sha256: self
                .sha256
                .map(|digest| Located::new(digest.value.0, digest.span)),
            allow,
            allow_span,
            deadline: self.deadline.map_or(defaults.deadline, |text| text.0),
            wait: self.wait.map_or(defaults.wait, |text| text.0),
            memory: self.memory.map_or(defaults.memory, |size| size.0),
            body_bytes: self
                .body_bytes
                .map_or(defaults.body_bytes, |bytes| bytes.value.0),
            http_calls: self.http_calls.map_or(defaults.http_calls, |calls| calls.0),
            reuse: self.reuse.unwrap_or(defaults.reuse),
            on_failure: match self.on_failure {
                Some(own) => own.0.over(defaults.on_failure),
                None => defaults.on_failure,
            },
        }
    }
}
