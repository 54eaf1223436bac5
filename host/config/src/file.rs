//! The file as it is written: one field per section. Comments on fields are what users read in the
//! reference and in the schema.

use crate::acme::RawAcme;
use crate::error_pages::RawErrorPages;
use crate::keyed::Keyed;
use crate::kv::RawKv;
use crate::listener::RawListener;
use crate::located::Located;
use crate::maintenance::RawMaintenance;
use crate::plugin::{RawPlugin, RawPlugins};
use crate::redis::RawRedis;
use crate::route::RawRoute;
use crate::secret::RawSecret;
use crate::upstream::RawUpstream;
use crate::{Admin, Limits, Log, Server};
use schemars::JsonSchema;
use serde::Deserialize;
use toml::Spanned;
use toml::de::DeTable;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Tidegate configuration")]
pub(crate) struct File {
    /// The process.
    pub(crate) server: Server,
    /// What a client may take. The defaults suit a proxy that faces the internet.
    pub(crate) limits: Limits,
    /// The proxy's log, on standard error, and the access log, on standard output.
    pub(crate) log: Log,
    /// The address for operators: metrics, health and the REST API.
    pub(crate) admin: Admin,
    /// Turning all requests away for a while. Routes can say otherwise.
    pub(crate) maintenance: RawMaintenance,
    /// All plugins: where they are, and the defaults of `[plugin.NAME]`.
    pub(crate) plugins: RawPlugins,
    /// One plugin, by the name that routes use (a-z, 0-9, -). Only needed where a default is to change.
    pub(crate) plugin: Keyed<RawPlugin>,
    /// A store of keys and values for plugins that are allowed it by its name. In memory, each plugin
    /// with keys of its own, unless it is in Redis.
    pub(crate) kv: Keyed<RawKv>,
    /// A Redis server, by the name that limiters and stores use. One that is down fails calls, not the start.
    pub(crate) redis: Keyed<RawRedis>,
    /// A secret, by the name under which plugins are allowed it and other sections use it. Its value
    /// never stands in this file, nor in a log.
    pub(crate) secret: Keyed<Located<RawSecret>>,
    /// Files that errors of the proxy are answered with, relative to this file, by status or class of
    /// statuses; at most 1 MiB each. Responses of upstreams stay as they are.
    #[schemars(example = serde_json::json!({ "404": "404.html", "5xx": "50x.html" }))]
    pub(crate) error_pages: RawErrorPages,
    /// A certificate authority and an account with it (ACME), by the name that listeners use. Certificates
    /// are ordered and renewed by the proxy itself.
    pub(crate) acme: Keyed<RawAcme>,
    /// An address to listen on. At least one; repeat the section for more.
    pub(crate) listener: Vec<RawListener>,
    /// A group of peers that serve the same thing, by the name that routes use.
    pub(crate) upstream: Keyed<RawUpstream>,
    /// Which requests go where, and through which plugins. At least one; repeat the section for more.
    /// The most specific match wins, not the first.
    pub(crate) route: Vec<Located<RawRoute>>,
}

impl File {
    pub(crate) fn from_table(root: DeTable<'_>) -> Result<Self, toml::de::Error> {
        // The whole has no span of its own.
        Self::deserialize(toml::de::Deserializer::from(Spanned::new(0..0, root)))
    }
}
