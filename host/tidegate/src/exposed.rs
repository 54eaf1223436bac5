//! Routes that one listener serves to clients with a certificate alone, and another one to everybody.

use std::collections::{BTreeMap, BTreeSet};
use tidegate_config::{
    Address, Config, Error, ListenAddress, Listener, ListenerTls, Located, Span, TlsSettings,
};
use tidegate_http::State;
use tidegate_route::ListenerIndex;

/// Stands for `*`: no host of anybody's has this label (RFC 1035 §2.3.1).
const ANY_LABEL: &str = "_any_";
/// So many routes are named.
const NAMED: usize = 5;

/// What each start, reload and check says of such routes, at the place of one of them.
pub fn warnings(config: &Config, state: &State) -> Vec<Error> {
    if config.listeners.len() < 2 || !config.listeners.iter().any(asks_anybody) {
        return Vec::new();
    }
    let mut found: BTreeMap<(usize, usize), Exposed> = BTreeMap::new();
    for pattern in hosts(config, state) {
        let host = pattern.replace('*', ANY_LABEL);
        let (asking, open): (Vec<_>, Vec<_>) = (config.listeners.iter().enumerate())
            .partition(|(_, listener)| is_certificate_required(listener, &host));
        if open.is_empty() {
            continue;
        }
        for (behind, _) in asking {
            let protected: BTreeSet<&str> = routes(state, &host, behind).collect();
            for (open, _) in open.iter().filter(|(_, one)| serves_routes(one)) {
                let shared = routes(state, &host, *open).filter(|name| protected.contains(name));
                for name in shared {
                    let exposed = found.entry((behind, *open)).or_insert_with(|| Exposed {
                        host: pattern.clone(),
                        routes: BTreeSet::new(),
                    });
                    exposed.routes.insert(name);
                }
            }
        }
    }
    let name = |index: usize| config.listeners.get(index).map_or("", |one| &*one.name);
    let all = found.iter();
    all.map(|((behind, open), exposed)| exposed.warning(config, name(*behind), name(*open)))
        .collect()
}

/// What one listener serves of what another one protects.
struct Exposed<'a> {
    /// For example.
    host: String,
    routes: BTreeSet<&'a str>,
}

impl Exposed<'_> {
    fn warning(&self, config: &Config, behind: &str, open: &str) -> Error {
        let mut routes = config.routes.iter();
        let first = routes.find(|route| self.routes.contains(&*route.name));
        let named: Vec<_> = (self.routes.iter().take(NAMED))
            .map(|name| format!("`{name}`"))
            .collect();
        let more = match self.routes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = format!(
            "listener `{behind}` requires client certificates for the host `{}`, but listener `{open}` serves the same \
             routes without one: {}{more}",
            self.host,
            named.join(", "),
        );
        let error = config.error(first.map_or_else(Span::default, |route| route.span), what);
        error.with_help(format!("bind them with `match.listener = \"{behind}\"`"))
    }
}

/// All hosts for which anything can differ, as patterns.
fn hosts(config: &Config, state: &State) -> BTreeSet<String> {
    let tls = config.listeners.iter().filter_map(|one| one.tls.as_ref());
    let named = tls.flat_map(|tls| tls.names.keys().map(|name| name.as_str().to_owned()));
    let any = std::iter::once("*".to_owned());
    any.chain(named).chain(state.routes.hosts()).collect()
}

/// The names of the routes that requests for a host on a listener may get to.
fn routes<'a>(
    state: &'a State,
    host: &str,
    listener: usize,
) -> impl Iterator<Item = &'a str> + use<'a> {
    let reachable = state.routes.reachable(host, ListenerIndex(listener));
    reachable.into_iter().map(|route| &*route.name)
}

/// Whether it does not send everybody to https. Those whom it trusts may say that their clients are there already.
fn serves_routes(listener: &Listener) -> bool {
    let is_unix =
        |it: &Located<ListenAddress>| matches!(it.value, ListenAddress::Bind(Address::Unix(_)));
    listener.https_redirect.is_none()
        || !listener.trusted_proxies.is_empty()
        || listener.addresses.iter().any(is_unix)
}

fn asks_anybody(listener: &Listener) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| requires(&tls.settings) || tls.names.values().any(requires))
}

fn is_certificate_required(listener: &Listener, host: &str) -> bool {
    let tls = listener.tls.as_ref();
    tls.is_some_and(|tls| requires(settings(tls, host)))
}

fn requires(settings: &TlsSettings) -> bool {
    let clients = settings.client_certificates.as_ref();
    clients.is_some_and(|clients| clients.required)
}

/// What holds for a name: its own settings, those of the longest wildcard above it, or the listener's.
fn settings<'a>(tls: &'a ListenerTls, host: &str) -> &'a TlsSettings {
    let fits = |name: &str| match name.strip_prefix('*') {
        Some(suffix) => host.ends_with(suffix),
        None => name == host,
    };
    let named = tls.names.iter().filter(|(name, _)| fits(name.as_str()));
    let best = named.max_by_key(|(name, _)| (!name.as_str().starts_with('*'), name.as_str().len()));
    best.map_or(&tls.settings, |(_, settings)| settings)
}
