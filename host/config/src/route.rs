//! `[[route]]`: which requests go where, and through which plugins. Patterns are kept as written, with
//! their places: what they mean is the router's business.

use crate::error::Invalid;
use crate::error_pages::{self, ErrorPages, RawErrorPages};
use crate::keyed::Keyed;
use crate::limits::Limits;
use crate::list::List;
use crate::located::{Located, Span};
use crate::maintenance::{Maintenance, RawRouteMaintenance};
use crate::names::Section;
use crate::plugin;
use crate::plugin_config::PluginConfig;
use crate::resolve::Resolver;
use crate::route_limits::{RawRouteLimits, RouteLimits};
use crate::shorthand::{Brief, Shorthand};
use crate::target::{RawRedirect, RawRespond, RawTarget, Target};
use schemars::JsonSchema;
use serde::Deserialize;

/// One `[[route]]`. An empty list of patterns matches everything.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Its name in logs and metrics; no two routes share one.
    pub name: String,
    /// The heading of the section.
    pub span: Span,
    /// Host patterns, one of which must match.
    pub hosts: Vec<Located<String>>,
    /// Path patterns, one of which must match.
    pub paths: Vec<Located<String>>,
    /// Methods, one of which must match.
    pub methods: Vec<Located<String>>,
    /// Names of header fields and patterns of their values, all of which must match.
    pub headers: Vec<(Located<String>, Located<String>)>,
    /// Names of query parameters and patterns of their values, all of which must match.
    pub query: Vec<(Located<String>, Located<String>)>,
    /// Names of listeners, one of which must be the request's; each exists, none twice.
    pub listeners: Vec<String>,
    /// At most 64, in the order in which they see a request.
    pub plugins: Vec<PluginUse>,
    /// Who answers.
    pub target: Target,
    /// What its requests may have.
    pub limits: RouteLimits,
    /// Pages for errors, before those of all routes.
    pub error_pages: ErrorPages,
    /// Whether its requests are turned away: its own setting, or else that of all routes.
    pub maintenance: Maintenance,
    /// Whether gRPC-Web of browsers is translated to gRPC.
    pub grpc_web: bool,
}

/// What holds for all routes, unless one says otherwise.
pub(crate) struct Everywhere<'a> {
    pub(crate) limits: &'a Limits,
    pub(crate) maintenance: &'a Maintenance,
}

/// A plugin in a route's chain.
#[derive(Debug, Clone, PartialEq)]
pub struct PluginUse {
    /// Which plugin: 1 to 64 of `a-z 0-9 -`.
    pub name: Located<String>,
    /// What it is told.
    pub config: PluginConfig,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["upstream"] },
    { "required": ["respond"] },
    { "required": ["redirect"] },
]))]
pub(crate) struct RawRoute {
    /// Its name in logs and metrics. Without it, "route-1" and so on by position.
    #[schemars(example = &"api")]
    name: Option<Located<String>>,
    /// Plugins, run in this order on the way in and in reverse on the way out. With configuration:
    /// { use = "rate-limit", config = { rate = "100/s" } }.
    #[serde(default)]
    #[schemars(example = serde_json::json!(["request-id"]), length(max = 64))]
    plugins: Vec<Located<Brief<RawPluginUse>>>,
    /// Send the request to this upstream. A route has exactly one of `upstream`, `respond`, `redirect`.
    #[schemars(example = &"app")]
    upstream: Option<Located<String>>,
    /// Turn requests away as [maintenance] says: `true`; `false` lets them through even where it is enabled for
    /// all; a table with keys as there is for this route: { status = 503, page = "closed.html" }.
    #[schemars(example = true)]
    maintenance: Option<RawRouteMaintenance>,
    /// Pages as in [error_pages], for this route.
    #[serde(default)]
    #[schemars(example = serde_json::json!({ "404": "404.html" }))]
    error_pages: RawErrorPages,
    /// Translate gRPC-Web, which browsers speak, to gRPC.
    #[serde(default)]
    grpc_web: bool,
    /// Which requests: all conditions must hold. A condition that is left out holds always.
    #[serde(default, rename = "match")]
    matches: RawMatch,
    /// What a request may have, where that differs from [limits].
    #[serde(default)]
    limits: RawRouteLimits,
    /// Instead of `upstream`: answer with this.
    respond: Option<Located<RawRespond>>,
    /// Instead of `upstream`: send the client elsewhere.
    redirect: Option<Located<RawRedirect>>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct RawMatch {
    /// Host, or a list: exact "api.example.com", any subdomain "*.example.com".
    #[schemars(example = &"api.example.com")]
    host: List,
    /// Path, or a list: exact "/x", all below "/x/*", all that begins so "/x*", regular expression "~^/x/[0-9]+$".
    #[schemars(example = &"/v1/*")]
    path: List,
    /// Methods.
    #[schemars(example = serde_json::json!(["GET", "HEAD"]))]
    methods: Vec<Located<String>>,
    /// Header fields: exact value "1", any value "*", regular expression "~^a+$".
    #[schemars(example = serde_json::json!({ "x-beta": "1" }))]
    headers: Keyed<Located<String>>,
    /// Query parameters, values as for header fields.
    #[schemars(example = serde_json::json!({ "version": "~^2" }))]
    query: Keyed<Located<String>>,
    /// The listener on which it comes, by its name, or a list. Without it, every listener.
    #[schemars(example = &"0.0.0.0:8080")]
    listener: List,
}

impl RawRoute {
    /// `position` counts from 1. The name keeps its place, to compare it with others. `None` where the
    /// route has no proper target.
    pub(crate) fn resolve(
        self,
        position: usize,
        span: Span,
        all: &Everywhere<'_>,
        resolver: &mut Resolver,
    ) -> (Located<String>, Option<Route>) {
        let name = resolver.name(self.name, "route", position, span);
        let plugins = resolve_plugins(self.plugins, position, resolver);
        let target = RawTarget {
            upstream: self.upstream,
            respond: self.respond,
            redirect: self.redirect,
        };
        let limits = self.limits.over(all.limits, resolver);
        let listeners = resolve_listeners(self.matches.listener, resolver);
        let error_pages = error_pages::resolve(self.error_pages, resolver);
        let maintenance = match self.maintenance {
            Some(own) => own.over(all.maintenance, resolver),
            None => all.maintenance.clone(),
        };
        let route = target.resolve(span, resolver).map(|target| Route {
            name: name.value.clone(),
            span,
            hosts: self.matches.host.0,
            paths: self.matches.path.0,
            methods: self.matches.methods,
            headers: self.matches.headers.0,
            query: self.matches.query.0,
            listeners,
            plugins,
            target,
            limits,
            error_pages,
            maintenance,
            grpc_web: self.grpc_web,
        });
        (name, route)
    }
}

fn resolve_listeners(listeners: List, resolver: &mut Resolver) -> Vec<String> {
    let mut names = Vec::new();
    for name in listeners.0 {
        if let Some(name) = resolver.refer(Section::Listener, name)
            && !names.contains(&name)
        {
            names.push(name);
        }
    }
    names
}

fn resolve_plugins(
    plugins: Vec<Located<Brief<RawPluginUse>>>,
    position: usize,
    resolver: &mut Resolver,
) -> Vec<PluginUse> {
    if let Some(surplus) = plugins.get(PLUGINS_MAX) {
        resolver.reject(
            surplus.span,
            format!("the route has {} plugins", plugins.len()),
            format!("expected at most {PLUGINS_MAX}"),
        );
    }
    let mut resolved = Vec::with_capacity(plugins.len());
    for (index, plugin) in plugins.into_iter().enumerate() {
        let RawPluginUse { name, config } = plugin.value.0;
        plugin::check_name(&name, resolver);
        let place = format!("route.{}.plugins.{index}.config", position - 1);
        let config = match config {
            None => PluginConfig::empty(resolver.source(), place, name.span),
            Some(table) => PluginConfig::new(table, place, resolver),
        };
        resolved.push(PluginUse { name, config });
    }
    resolved
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RawPluginUse {
    /// The plugin's name.
    #[serde(rename = "use")]
    name: Located<String>,
    /// The plugin's configuration; its README says what may stand here.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    config: Option<Located<toml::Table>>,
}

impl Shorthand for RawPluginUse {
    const EXPECTED: &'static str = "a plugin's name, or a table such as \
        { use = \"rate-limit\", config = { rate = \"100/s\" } }";

    fn expand(name: Located<String>) -> Result<Self, Invalid> {
        Ok(Self { name, config: None })
    }
}

const PLUGINS_MAX: usize = 64;
