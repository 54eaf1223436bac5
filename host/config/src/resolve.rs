//! The file as written → the configuration. What one section can know it checks itself; here is what
//! concerns several: names that must differ, references that must exist. All mistakes are collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::address::Address;
use crate::config::Config;
use crate::error::{Error, Errors};
use crate::file::File;
use crate::listener::{Listener, RawListener};
use crate::located::{Located, Span};
use crate::nearest::nearest;
use crate::route::{RawRoute, Route};
use crate::source::Source;
use crate::{Admin, keyed::Keyed, upstream::RawUpstream};

pub(crate) fn resolve(file: File, source: Source) -> Result<Config, Errors> {
    let mut resolver = Resolver {
        upstreams: file
            .upstream
            .0
            .iter()
            .map(|(name, _)| name.value.clone())
            .collect(),
        source,
        errors: Vec::new(),
    };
    let plugins = file.plugins.resolve(file.plugin, &mut resolver);
    let listeners = resolve_listeners(file.listener, &file.admin, &mut resolver);
    let upstreams = resolve_upstreams(file.upstream, &mut resolver);
    let routes = resolve_routes(file.route, &mut resolver);
    Errors::check(resolver.errors)?;
    Ok(Config {
        source: resolver.source,
        server: file.server,
        limits: file.limits,
        log: file.log,
        admin: file.admin,
        plugins,
        listeners,
        upstreams,
        routes,
    })
}

/// What sections need while they resolve: the text, the names of others, a place for mistakes.
pub(crate) struct Resolver {
    source: Source,
    upstreams: BTreeSet<String>,
    errors: Vec<Error>,
}

impl Resolver {
    pub(crate) fn source(&self) -> &Source {
        &self.source
    }

    pub(crate) fn reject(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.errors
            .push(self.source.error(span, message).with_help(help));
    }

    /// The name that was given, or one by position.
    pub(crate) fn name(
        &mut self,
        given: Option<Located<String>>,
        kind: &str,
        position: usize,
        section: Span,
    ) -> Located<String> {
        let name = given.unwrap_or_else(|| Located::new(format!("{kind}-{position}"), section));
        self.check_name(&name);
        name
    }

    /// Names appear in logs, metrics and URLs.
    fn check_name(&mut self, name: &Located<String>) {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if !(1..=100).contains(&name.value.len()) || !name.value.chars().all(legal) {
            self.reject(
                name.span,
                format!("`{}` cannot be a name", name.value),
                "expected 1 to 100 letters, digits and any of -_.:/",
            );
        }
    }

    /// The upstream that a route names, if it exists.
    pub(crate) fn upstream(&mut self, name: Located<String>) -> Option<String> {
        if self.upstreams.contains(&name.value) {
            return Some(name.value);
        }
        let known: Vec<_> = self
            .upstreams
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let help = match nearest(&name.value, self.upstreams.iter().map(String::as_str)) {
            Some(nearest) => format!("did you mean `{nearest}`?"),
            None if known.is_empty() => "add a section [upstream.NAME]; there is none".to_owned(),
            None => format!("the file has {}", known.join(", ")),
        };
        self.reject(
            name.span,
            format!("unknown upstream `{}`", name.value),
            help,
        );
        None
    }

    fn missing(&mut self, section: &str, example: &str) {
        let file = self.source.path().display().to_string();
        self.errors.push(
            Error::without_place(&file, format!("there is no [[{section}]]"))
                .with_help(format!("add one, such as\n\n  [[{section}]]\n  {example}")),
        );
    }
}

fn resolve_listeners(
    raw: Vec<RawListener>,
    admin: &Admin,
    resolver: &mut Resolver,
) -> Vec<Listener> {
    if raw.is_empty() {
        resolver.missing("listener", "address = \"0.0.0.0:8080\"");
    }
    let mut names = Unique::new("listener");
    let mut owners: HashMap<Address, String> = HashMap::new();
    owners.extend(
        admin
            .address
            .iter()
            .map(|address| (address.clone(), "[admin]".to_owned())),
    );
    let mut listeners = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let (name, listener) = raw.resolve(index + 1, resolver);
        names.insert(name, resolver);
        // The system chooses another port for each port 0.
        let chosen = matches!(listener.address, Address::Socket(socket) if socket.port() == 0);
        if let Some(owner) = owners.get(&listener.address).filter(|_| !chosen) {
            resolver.reject(
                listener.span,
                format!("`{}` is taken by {owner}", listener.address),
                "choose another address",
            );
        }
        let owner = format!("the listener `{}`", listener.name);
        owners.entry(listener.address.clone()).or_insert(owner);
        listeners.push(listener);
    }
    listeners
}

fn resolve_upstreams(
    raw: Keyed<RawUpstream>,
    resolver: &mut Resolver,
) -> BTreeMap<String, crate::Upstream> {
    let mut upstreams = BTreeMap::new();
    for (name, raw) in raw.0 {
        resolver.check_name(&name);
        upstreams.insert(name.value, raw.resolve(resolver));
    }
    upstreams
}

fn resolve_routes(raw: Vec<Located<RawRoute>>, resolver: &mut Resolver) -> Vec<Route> {
    if raw.is_empty() {
        resolver.missing("route", "respond = { body = \"hello\" }");
    }
    let mut names = Unique::new("route");
    let mut routes = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let (name, route) = raw.value.resolve(index + 1, raw.span, resolver);
        names.insert(name, resolver);
        routes.extend(route);
    }
    routes
}

/// Names of one kind, and where each stands.
struct Unique {
    kind: &'static str,
    seen: HashMap<String, Span>,
}

impl Unique {
    fn new(kind: &'static str) -> Self {
        Self {
            kind,
            seen: HashMap::new(),
        }
    }

    fn insert(&mut self, name: Located<String>, resolver: &mut Resolver) {
        if let Some(first) = self.seen.get(&name.value) {
            let line = resolver.source().error(*first, "").line;
            resolver.reject(
                name.span,
                format!("two {}s are named `{}`", self.kind, name.value),
                format!("choose another name; the first is in line {line}"),
            );
        }
        self.seen.entry(name.value).or_insert(name.span);
    }
}
