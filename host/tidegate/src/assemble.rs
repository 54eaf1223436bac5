//! From a checked configuration to the state that requests read: patterns, plugins and upstreams are
//! made here, and what is wrong with them is reported at its place in the file.

use crate::acme;
use crate::app::Parts;
use crate::grants::{self, Prepared};
use crate::pages::Pages;
use crate::upstreams;
use http::{HeaderName, Method};
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use tidegate_chain::{Chain, Groups, HeadLimits, OnFailure, Plugin, Policy, Reply};
use tidegate_config::{self as config, Config, Error, Errors, Located, PluginSettings, PluginUse};
use tidegate_http::{
    ClientAddress, Limits, ListenerState, Redirect, RequestLimits, Route, Sockets, State, Target,
    Upstream,
};
use tidegate_listen::proxy_protocol::{Senders, Version};
use tidegate_route::{HostPattern, ListenerIndex, Matcher, PathPattern, Table, ValuePattern};
use tidegate_wasm::{BindError, Binding, Capabilities, PluginVersion, Settings};

/// Build the state.
pub(crate) async fn state(config: &Config, parts: &Parts) -> Result<State, Errors> {
    let mut errors = Vec::new();
    let prepared = parts.grants.prepare(config).await?;
    let upstreams = upstreams::all(config, parts, &mut errors).await;
    let mut pages = Pages::new(config);
    let error_pages = Arc::new(pages.errors(&config.error_pages, None));
    let maintenance = pages.maintenance(&config.maintenance);
    let mut routes = Vec::with_capacity(config.routes.len());
    for route in &config.routes {
        let matcher = matcher(config, route, &mut errors);
        let chain = chain(config, route, parts, &prepared, &mut errors).await;
        let Some(target) = target(&route.target, &upstreams) else {
            continue;
        };
        let name = Arc::<str>::from(route.name.as_str());
        let own_pages = pages.errors(&route.error_pages, Some(error_pages.clone()));
        let built = Route {
            metrics: parts.metrics.route(&name),
            name,
            chain,
            target,
            limits: request_limits(&route.limits),
            error_pages: Arc::new(own_pages),
            maintenance: pages.maintenance(&route.maintenance),
            grpc_web: route.grpc_web,
        };
        routes.push((matcher, Arc::new(built)));
    }
    errors.append(&mut pages.problems);
    let listeners = listeners(config, parts, &mut errors);
    Errors::check(errors)?;
    Ok(State {
        routes: Table::build(routes),
        limits: limits(&config.limits),
        challenges: Some(Arc::new(acme::Answers(parts.acme.tokens()))),
        error_pages,
        maintenance,
        listeners,
        sockets: Sockets::default(),
        groups: Arc::new(groups(&upstreams)),
        upstreams: upstreams
            .into_values()
            .map(|upstream| (upstream.name.clone(), upstream))
            .collect(),
        held: parts.held(size(config.plugins.body_bytes_total)),
    })
}

fn target(target: &config::Target, upstreams: &HashMap<&str, Arc<Upstream>>) -> Option<Target> {
    Some(match target {
        // One that could not be built has its own error.
        config::Target::Upstream(name) => Target::Upstream(upstreams.get(name.as_str())?.clone()),
        config::Target::Echo => Target::Echo,
        config::Target::Redirect(redirect) => Target::Redirect(Redirect {
            to: redirect.to.clone(),
            status: redirect.status,
        }),
        config::Target::Respond(respond) => {
            let mut reply = Reply::text(respond.status, respond.body.clone());
            if respond.body.is_empty() {
                reply.headers.clear();
            }
            for (name, _) in &respond.headers {
                reply.headers.remove(name);
            }
            for (name, value) in &respond.headers {
                reply.headers.append(name.clone(), value.clone());
            }
            Target::Respond(reply)
        }
    })
}

/// Parse a value that stands in the file.
fn parse<T, E: Display>(
    config: &Config,
    located: &Located<String>,
    parse: impl Fn(&str) -> Result<T, E>,
    errors: &mut Vec<Error>,
) -> Option<T> {
    parse(&located.value)
        .map_err(|error| errors.push(config.error(located.span, error.to_string())))
        .ok()
}

fn matcher(config: &Config, route: &config::Route, errors: &mut Vec<Error>) -> Matcher {
    let mut matcher = Matcher::default();
    for host in &route.hosts {
        matcher
            .hosts
            .extend(parse(config, host, HostPattern::parse, errors));
    }
    for path in &route.paths {
        matcher
            .paths
            .extend(parse(config, path, PathPattern::parse, errors));
    }
    for method in &route.methods {
        let parsed =
            |text: &str| Method::from_bytes(text.as_bytes()).map_err(|_| "this is not a method");
        matcher
            .methods
            .extend(parse(config, method, parsed, errors));
    }
    for (name, value) in &route.headers {
        let parsed = |text: &str| {
            HeaderName::from_bytes(text.as_bytes()).map_err(|_| "this is not a header name")
        };
        let name = parse(config, name, parsed, errors);
        let value = parse(config, value, ValuePattern::parse, errors);
        matcher.headers.extend(name.zip(value));
    }
    for (name, value) in &route.query {
        let value = parse(config, value, ValuePattern::parse, errors);
        matcher
            .query
            .extend(value.map(|value| (name.value.clone(), value)));
    }
    let listeners = config.listeners.iter().enumerate();
    let named = listeners.filter(|(_, one)| route.listeners.contains(&one.name));
    matcher.listeners = named.map(|(index, _)| ListenerIndex(index)).collect();
    matcher
}

async fn chain(
    config: &Config,
    route: &config::Route,
    parts: &Parts,
    prepared: &Prepared,
    errors: &mut Vec<Error>,
) -> Chain {
    let mut plugins: Vec<Arc<dyn Plugin>> = Vec::new();
    for used in &route.plugins {
        match plugin(config, used, parts, prepared).await {
            Ok(binding) => plugins.push(binding),
            Err(more) => errors.extend(more),
        }
    }
    Chain::new(plugins).unwrap_or_else(|error| {
        errors.push(config.error(route.span, error.to_string()));
        Chain::default()
    })
}

async fn plugin(
    config: &Config,
    used: &PluginUse,
    parts: &Parts,
    prepared: &Prepared,
) -> Result<Arc<Binding>, Vec<Error>> {
    let name = &used.name;
    let settings = config.plugins.settings(&name.value);
    let version = parts
        .library
        .version(&name.value, &settings)
        .map_err(|problem| {
            let error = config.error(name.span, problem);
            vec![match parts.library.hint(config, &name.value) {
                Some(hint) => error.with_help(hint),
                None => error,
            }]
        })?;
    bind(config, used, &version, parts, prepared).await
}

/// Give a version of a plugin the configuration of one of its uses.
pub(crate) async fn bind(
    config: &Config,
    used: &PluginUse,
    version: &Arc<PluginVersion>,
    parts: &Parts,
    prepared: &Prepared,
) -> Result<Arc<Binding>, Vec<Error>> {
    let name = &*used.name.value;
    let settings = config.plugins.settings(name);
    let granted = parts.grants.of(name, &settings, config, prepared)?;
    let bound = parts
        .runtime
        .bind(
            version,
            used.config.json(),
            &plugin_settings(&settings, granted),
        )
        .await;
    bound.map_err(|error| match error {
        BindError::Configuration(mistakes) => mistakes
            .into_iter()
            .map(|mistake| {
                let span = used.config.locate(&mistake.path);
                let text = format!("plugin `{}`: {}", used.name.value, mistake.message);
                config.error(span, text)
            })
            .collect(),
        BindError::NotAllowed(word) => vec![not_allowed(config, used, &settings, version, &word)],
        BindError::Failure(failure) => {
            let text = format!(
                "plugin `{}` failed while it was configured: {failure}",
                used.name.value
            );
            vec![config.error(used.name.span, text)]
        }
    })
}

/// The plugin imports what it was not granted; says what to write.
fn not_allowed(
    config: &Config,
    used: &PluginUse,
    settings: &PluginSettings,
    version: &PluginVersion,
    word: &str,
) -> Error {
    let name = &used.name.value;
    let span = settings.allow_span.unwrap_or(used.name.span);
    let text = format!("plugin `{name}` imports `{word}`, which it is not allowed");
    let granted: Vec<&str> = grants::words(&settings.allow).collect();
    let missing = version.imports().capabilities();
    let missing: Vec<&str> = missing.filter(|word| !granted.contains(word)).collect();
    let all = grants::written(&settings.allow, &missing);
    let help = format!("if that is right, write `allow = {all}` into [plugin.{name}]");
    config.error(span, text).with_help(help)
}

fn plugin_settings(settings: &PluginSettings, capabilities: Arc<Capabilities>) -> Settings {
    let policy = |policy| match policy {
        config::Policy::Closed => OnFailure::Closed,
        config::Policy::Open => OnFailure::Open,
    };
    Settings {
        deadline: settings.deadline,
        wait: settings.wait,
        memory: size(settings.memory),
        body_bytes: size(settings.body_bytes),
        reuse: settings.reuse,
        capabilities,
        policy: Policy {
            trap: policy(settings.on_failure.trap),
            deadline: policy(settings.on_failure.deadline),
            memory: policy(settings.on_failure.memory),
            error: policy(settings.on_failure.error),
            over_limit: policy(settings.on_failure.over_limit),
        },
    }
}

fn limits(limits: &config::Limits) -> Limits {
    Limits {
        request: RequestLimits {
            head: HeadLimits {
                count: size(limits.header_count.into()),
                bytes: size(limits.header_bytes),
            },
            uri_bytes: size(limits.uri_bytes),
            body_bytes: limits.body_bytes,
        },
        header_timeout: limits.header_timeout,
        handshake_timeout: limits.handshake_timeout,
        idle_timeout: limits.idle_timeout,
        read_timeout: limits.read_timeout,
        write_timeout: limits.write_timeout,
        linger_timeout: limits.linger_timeout,
        linger_bytes: size(limits.linger_bytes),
        pipelined_bytes: size(limits.pipelined_bytes),
        h2_resets: size(limits.h2_resets.into()),
        h2_control_frames: limits.h2_control_frames,
        h2_control_frames_refill: limits.h2_control_frames_refill,
        h2_stream_window: window(limits.h2_stream_window),
        h2_connection_window: window(limits.h2_connection_window),
        h2_send_buffer: size(limits.h2_send_buffer),
        requests_per_connection: limits.requests_per_connection,
        h2_streams: limits.h2_streams,
        tunnel_idle_timeout: limits.tunnel_idle_timeout,
        tunnel_close_timeout: limits.tunnel_close_timeout,
    }
}

/// Windows of HTTP/2 have 31 bits (RFC 9113 §6.9.1); the configuration takes at most 1 GiB.
fn window(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(1 << 30)
}

fn request_limits(limits: &config::RouteLimits) -> RequestLimits {
    RequestLimits {
        head: HeadLimits {
            count: size(limits.header_count.into()),
            bytes: size(limits.header_bytes),
        },
        uri_bytes: size(limits.uri_bytes),
        body_bytes: limits.body_bytes,
    }
}

/// Upstreams and their peers, as plugins see them.
fn groups(upstreams: &HashMap<&str, Arc<Upstream>>) -> Groups {
    let groups = upstreams.values();
    groups.map(|u| (u.name.clone(), u.names())).collect()
}

fn listeners(
    config: &Config,
    parts: &Parts,
    errors: &mut Vec<Error>,
) -> HashMap<Arc<str>, Arc<ListenerState>> {
    let listeners = config.listeners.iter().enumerate();
    let listeners = listeners.map(|(index, listener)| {
        let tls = listener.tls.as_ref();
        let tls = tls.and_then(|tls| {
            let acceptor = parts.tls.acceptor(config, listener, tls);
            acceptor.map_err(|more| errors.extend(more)).ok()
        });
        let name = Arc::<str>::from(listener.name.as_str());
        let state = ListenerState {
            name: name.clone(),
            index: Some(ListenerIndex(index)),
            trusted_proxies: listener.trusted_proxies.clone(),
            client_address: client_address(listener.client_address),
            proxy_senders: listener.proxy_protocol.as_ref().map(proxy_senders),
            tls,
            https_redirect: listener.https_redirect,
            hsts: listener.hsts.and_then(|hsts| {
                tidegate_http::hsts(hsts.max_age, hsts.include_subdomains, hsts.preload).ok()
            }),
        };
        (name, Arc::new(state))
    });
    listeners.collect()
}

fn client_address(field: config::ClientAddress) -> ClientAddress {
    match field {
        config::ClientAddress::XForwardedFor => ClientAddress::XForwardedFor,
        config::ClientAddress::Forwarded => ClientAddress::Forwarded,
        config::ClientAddress::XRealIp => ClientAddress::XRealIp,
        config::ClientAddress::TrueClientIp => ClientAddress::TrueClientIp,
        config::ClientAddress::CfConnectingIp => ClientAddress::CfConnectingIp,
    }
}

fn proxy_senders(settings: &config::ProxyProtocol) -> Arc<Senders> {
    let version = |header: &config::ProxyHeader| match header {
        config::ProxyHeader::V1 => Version::V1,
        config::ProxyHeader::V2 => Version::V2,
        config::ProxyHeader::Spectrum => Version::Spectrum,
    };
    Arc::new(Senders {
        trust: settings.trust.clone(),
        accept: settings.accept.iter().map(version).collect(),
        optional: settings.optional,
    })
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// Every use of a plugin in the routes.
pub(crate) fn uses<'a>(config: &'a Config, name: &'a str) -> impl Iterator<Item = &'a PluginUse> {
    let all = config.routes.iter().flat_map(|route| &route.plugins);
    all.filter(move |used| used.name.value == name)
}
