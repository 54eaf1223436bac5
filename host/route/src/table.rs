//! The compiled table: by host, then by path, then by conditions, in the order of the crate's page.

mod hosts;
mod paths;
mod prefixes;
mod regexes;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;

use crate::{HostPattern, ListenerIndex, Matcher, PathPattern, Request};
use hosts::Hosts;

/// All routes of a configuration, each with a value of its own, compiled for lookups.
#[derive(Debug)]
pub struct Table<T> {
    routes: Vec<(Matcher, T)>,
    hosts: Hosts,
}

/// Where a route stands in the file, and in [`Table`]'s list of routes.
type RouteIndex = usize;

impl<T> Table<T> {
    /// Compiles routes, given in the order of the file. Which of them wins is on the
    /// [crate's page](crate).
    pub fn build(routes: impl IntoIterator<Item = (Matcher, T)>) -> Self {
        let routes: Vec<_> = routes.into_iter().collect();
        // In this order each list of candidates grows in its final order.
        let mut order: Vec<_> = routes
            .iter()
            .map(|(matcher, _)| matcher)
            .enumerate()
            .collect();
        order.sort_by_key(|(_, matcher)| Reverse(matcher.condition_count()));
        let mut hosts = Hosts::default();
        for (route, matcher) in order {
            for host in or_any(&matcher.hosts, &[HostPattern::ANY]) {
                let paths = hosts.entry(host);
                for (place, path) in or_any(&matcher.paths, &[PathPattern::ANY])
                    .iter()
                    .enumerate()
                {
                    paths.insert(path, route, place);
                }
            }
        }
        hosts.finish();
        Self { routes, hosts }
    }

    /// Everything that requests can be sent to, in the order of the file.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.routes.iter().map(|(_, value)| value)
    }

    /// Each pattern of hosts once: `api.example.com`, `*.example.com`, `*`.
    pub fn hosts(&self) -> impl Iterator<Item = String> {
        self.hosts.patterns()
    }

    /// Whatever requests for a host on a listener can be sent to. A route that takes all of them hides those of
    /// less specific hosts.
    pub fn reachable(&self, host: &str, listener: ListenerIndex) -> Vec<&T> {
        let mut found = Vec::new();
        for paths in self.hosts.matching(host) {
            let on_listener = |route: &RouteIndex| {
                let route = self.routes.get(*route);
                route.is_some_and(|(matcher, _)| matcher.is_on(Some(listener)))
            };
            let mut routes: Vec<_> = paths.routes().filter(on_listener).collect();
            routes.sort_unstable();
            routes.dedup();
            found.extend(routes);
            let takes_all = |route: &RouteIndex| {
                let route = self.routes.get(*route);
                route.is_some_and(|(matcher, _)| matcher.takes_every_request())
            };
            if paths
                .any()
                .iter()
                .filter(|it| on_listener(it))
                .any(takes_all)
            {
                break;
            }
        }
        let values = found.into_iter().filter_map(|route| self.routes.get(route));
        values.map(|(_, value)| value).collect()
    }

    /// Finds the route of a request. Allocates only where several regexes stand in one host, or the
    /// query has escapes and a route asks for it.
    pub fn lookup(&self, request: &Request<'_>) -> Option<&T> {
        self.find(request.host, request.path, |matcher| {
            matcher.accepts(request)
        })
    }

    /// Offers the candidates for a host and path, the most specific first, until one is accepted.
    fn find(&self, host: &str, path: &str, mut accept: impl FnMut(&Matcher) -> bool) -> Option<&T> {
        let mut pick = |route: RouteIndex| {
            let (matcher, value) = self.routes.get(route)?;
            accept(matcher).then_some(value)
        };
        self.hosts
            .matching(host)
            .find_map(|paths| paths.find(path, &mut pick))
    }
}

/// An empty list of patterns means any.
fn or_any<'a, P>(patterns: &'a [P], any: &'a [P]) -> &'a [P] {
    if patterns.is_empty() { any } else { patterns }
}

/// The first of a list of candidates that is picked.
fn first<R>(
    candidates: &[RouteIndex],
    pick: &mut impl FnMut(RouteIndex) -> Option<R>,
) -> Option<R> {
    candidates.iter().copied().find_map(pick)
}
