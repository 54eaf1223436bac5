//! The file as written → the configuration. What one section can know it checks itself; here is what
//! concerns several: names that must differ, references that must exist. All mistakes are collected.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::Admin;
use crate::acme::{Acme, RawAcme};
use crate::config::Config;
use crate::environment;
use crate::error::{Error, Errors};
use crate::error_pages;
use crate::file::File;
use crate::keyed::Keyed;
use crate::kv::RawKv;
use crate::listener::{Listener, RawListener};
use crate::located::{Located, Span};
use crate::names::{Names, Section};
use crate::redis::RawRedis;
use crate::route::{Everywhere, RawRoute, Route};
use crate::source::Source;
use crate::taken::Taken;

pub(crate) fn resolve(file: File, source: Source) -> Result<Config, Errors> {
    let mut resolver = Resolver {
        names: Names::of(&file),
        source,
        errors: Vec::new(),
    };
    let plugins = file.plugins.resolve(file.plugin, &mut resolver);
    let listeners = resolve_listeners(file.listener, &file.admin, &mut resolver);
    let kv = resolve_named(file.kv, &mut resolver, RawKv::resolve);
    let redis = resolve_named(file.redis, &mut resolver, RawRedis::resolve);
    let secrets = resolve_named(file.secret, &mut resolver, |raw, resolver| {
        raw.value.resolve(raw.span, resolver)
    });
    let upstreams = resolve_named(file.upstream, &mut resolver, |raw, resolver| {
        Some(raw.resolve(resolver))
    });
    let error_pages = error_pages::resolve(file.error_pages, &mut resolver);
    let acme = resolve_acme(file.acme, &mut resolver);
    let maintenance = file.maintenance.resolve(&resolver);
    let everywhere = Everywhere {
        limits: &file.limits,
        maintenance: &maintenance,
    };
    let routes = resolve_routes(file.route, &everywhere, &mut resolver);
    Errors::check(resolver.errors)?;
    Ok(Config {
        source: resolver.source,
        server: file.server,
        limits: file.limits,
        log: file.log,
        admin: file.admin,
        maintenance,
        plugins,
        kv,
        redis,
        secrets,
        error_pages,
        acme,
        listeners,
        upstreams,
        routes,
    })
}

/// What sections need while they resolve: the text, the names of others, a place for mistakes.
pub(crate) struct Resolver {
    source: Source,
    names: Names,
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
        // What was written and yet not in the file came from the environment.
        let error = if span == Span::default() {
            Error::without_place(environment::NAME, message)
        } else {
            self.source.error(span, message)
        };
        self.errors.push(error.with_help(help));
    }

    /// As [`Resolver::reject`], for a line that may hold a secret: the error does not show it.
    pub(crate) fn reject_unshown(
        &mut self,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.reject(span, message, help);
        if let Some(error) = self.errors.last_mut() {
            error.snippet.clear();
        }
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
    pub(crate) fn check_name(&mut self, name: &Located<String>) {
        let legal = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if !(1..=100).contains(&name.value.len()) || !name.value.chars().all(legal) {
            self.reject(
                name.span,
                format!("`{}` cannot be a name", name.value),
                "expected 1 to 100 letters, digits and any of -_.:/",
            );
        }
    }

    /// The name of a section that another one refers to, if it exists.
    pub(crate) fn refer(&mut self, section: Section, name: Located<String>) -> Option<String> {
        match self.names.check(section, &name.value) {
            Ok(()) => Some(name.value),
            Err(help) => {
                let message = format!("unknown {} `{}`", section.noun(), name.value);
                self.reject(name.span, message, help);
                None
            }
        }
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
    let mut taken = Taken::by(admin);
    let mut listeners = Vec::with_capacity(raw.len());
    for raw in raw {
        let (name, listener) = raw.resolve(resolver);
        names.insert(name, resolver);
        for address in &listener.addresses {
            taken.take(address, &listener, resolver);
        }
        listeners.push(listener);
    }
    listeners
}

fn resolve_acme(raw: Keyed<RawAcme>, resolver: &mut Resolver) -> BTreeMap<String, Acme> {
    let fallbacks = raw.0.iter().flat_map(|(_, acme)| acme.fallbacks());
    let fallbacks: BTreeSet<String> = fallbacks.map(str::to_owned).collect();
    let mut resolved = BTreeMap::new();
    for (name, raw) in raw.0 {
        resolver.check_name(&name);
        let acme = raw.resolve(&name, &fallbacks, resolver);
        resolved.insert(name.value, acme);
    }
    resolved
}

/// Sections whose names the user chooses.
fn resolve_named<R, T>(
    raw: Keyed<R>,
    resolver: &mut Resolver,
    resolve: impl Fn(R, &mut Resolver) -> Option<T>,
) -> BTreeMap<String, T> {
    let mut resolved = BTreeMap::new();
    for (name, raw) in raw.0 {
        resolver.check_name(&name);
        if let Some(section) = resolve(raw, resolver) {
            resolved.insert(name.value, section);
        }
    }
    resolved
}

fn resolve_routes(
    raw: Vec<Located<RawRoute>>,
    everywhere: &Everywhere<'_>,
    resolver: &mut Resolver,
) -> Vec<Route> {
    if raw.is_empty() {
        resolver.missing("route", "respond = { body = \"hello\" }");
    }
    let mut names = Unique::new("route");
    let mut routes = Vec::with_capacity(raw.len());
    for (index, raw) in raw.into_iter().enumerate() {
        let (name, route) = raw.value.resolve(index + 1, raw.span, everywhere, resolver);
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
