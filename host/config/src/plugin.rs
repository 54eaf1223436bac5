//! `[plugins]` and `[plugin.NAME]`: where plugins are, what they may use, and what happens when they fail.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Invalid;
use crate::keyed::Keyed;
use crate::located::Located;
use crate::resolve::Resolver;
use crate::shorthand::{Brief, Shorthand};
use crate::size::{GIB, MIB, Size};
use crate::text::{Text, Textual};
use crate::whole::Whole;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[plugins]` and all of `[plugin.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Plugins {
    /// The watched folder; absolute.
    pub directory: PathBuf,
    /// The default of [`PluginSettings::deadline`].
    pub deadline: Duration,
    /// The default of [`PluginSettings::memory`], in bytes.
    pub memory: u64,
    /// The default of [`PluginSettings::on_failure`].
    pub on_failure: OnFailure,
    /// Where compiled code is kept.
    pub cache: Cache,
    /// The most live instances of all plugins together.
    pub instances: u32,
    /// The most keys that the limiters of one plugin hold.
    pub limiter_keys: u32,
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
    /// The most time that one call may take.
    pub deadline: Duration,
    /// The most memory that one instance may have, in bytes.
    pub memory: u64,
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
                sha256: None,
                deadline: self.deadline,
                memory: self.memory,
                on_failure: self.on_failure,
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

/// What a request gets, by the way in which the plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnFailure {
    /// The code trapped.
    pub trap: Policy,
    /// A call took too long.
    pub deadline: Policy,
    /// The instance asked for more memory than it may have.
    pub memory: Policy,
    /// The plugin said itself that it failed, or gave an answer that makes no sense.
    pub error: Policy,
}

impl From<Policy> for OnFailure {
    fn from(policy: Policy) -> Self {
        Self {
            trap: policy,
            deadline: policy,
            memory: policy,
            error: policy,
        }
    }
}

/// What a request gets when a plugin failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// 503: nothing passes that the plugin has not seen.
    Closed,
    /// As if the plugin were not there.
    Open,
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
    /// The most time that one call of a plugin may compute.
    #[serde(with = "Text::<Duration>")]
    deadline: Duration,
    /// The most memory that one instance may have.
    #[serde(with = "Memory")]
    memory: u64,
    /// What a request gets when a plugin fails: "closed" (it is refused with 503), "open" (it goes on as if
    /// the plugin were not there), or by kind: { trap = …, deadline = …, memory = …, error = … }.
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
type Memory = Size<{ 64 * 1024 }, { 4 * GIB }>;

impl Default for RawPlugins {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("plugins"),
            deadline: Duration::from_millis(10),
            memory: 32 * MIB,
            on_failure: Brief(RawOnFailure::default()),
            cache: None,
            instances: 1024,
            limiter_keys: 65_536,
        }
    }
}

impl RawPlugins {
    pub(crate) fn resolve(self, named: Keyed<RawPlugin>, resolver: &mut Resolver) -> Plugins {
        let source = resolver.source();
        let mut plugins = Plugins {
            directory: source.resolve_path(&self.directory),
            deadline: self.deadline,
            memory: self.memory,
            on_failure: self.on_failure.0.over(Policy::Closed.into()),
            cache: match self.cache.as_deref() {
                None => Cache::Automatic,
                Some("off") => Cache::Off,
                Some(folder) => Cache::Folder(source.resolve_path(folder)),
            },
            instances: self.instances,
            limiter_keys: self.limiter_keys,
            named: BTreeMap::new(),
        };
        for (name, raw) in named.0 {
            check_name(&name, resolver);
            let settings = raw.resolve(plugins.settings(&name.value), &plugins);
            plugins.named.insert(name.value, settings);
        }
        plugins
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
    /// As in [plugins], for this plugin.
    #[schemars(example = &"2ms")]
    deadline: Option<Text<Duration>>,
    /// As in [plugins], for this plugin.
    #[schemars(example = &"16MiB")]
    memory: Option<Memory>,
    /// As in [plugins], for this plugin. Kinds that are left out keep the policy of [plugins].
    #[schemars(example = serde_json::json!({ "deadline": "open" }))]
    on_failure: Option<Brief<RawOnFailure>>,
}

impl RawPlugin {
    fn resolve(self, defaults: PluginSettings, plugins: &Plugins) -> PluginSettings {
        PluginSettings {
            file: match self.file {
                Some(file) => plugins.directory.join(file),
                None => defaults.file,
            },
            sha256: self
                .sha256
                .map(|digest| Located::new(digest.value.0, digest.span)),
            deadline: self.deadline.map_or(defaults.deadline, |text| text.0),
            memory: self.memory.map_or(defaults.memory, |size| size.0),
            on_failure: match self.on_failure {
                Some(own) => own.0.over(defaults.on_failure),
                None => defaults.on_failure,
            },
        }
    }
}

// === on_failure as written: one policy, or one per kind ===

#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawOnFailure {
    trap: Option<Policy>,
    deadline: Option<Policy>,
    memory: Option<Policy>,
    error: Option<Policy>,
}

impl RawOnFailure {
    /// What is not given is as in `defaults`.
    fn over(self, defaults: OnFailure) -> OnFailure {
        OnFailure {
            trap: self.trap.unwrap_or(defaults.trap),
            deadline: self.deadline.unwrap_or(defaults.deadline),
            memory: self.memory.unwrap_or(defaults.memory),
            error: self.error.unwrap_or(defaults.error),
        }
    }
}

impl Shorthand for RawOnFailure {
    const EXPECTED: &'static str =
        "\"closed\", \"open\" or a table such as { deadline = \"open\" }";

    fn expand(text: Located<String>) -> Result<Self, Invalid> {
        let policy = match text.value.as_str() {
            "closed" => Some(Policy::Closed),
            "open" => Some(Policy::Open),
            other => {
                return Err(Invalid::new(
                    format!("unknown value `{other}`"),
                    format!("expected {}", Self::EXPECTED),
                ));
            }
        };
        Ok(Self {
            trap: policy,
            deadline: policy,
            memory: policy,
            error: policy,
        })
    }
}
