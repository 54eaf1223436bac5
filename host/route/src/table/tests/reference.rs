//! A lookup that is too simple to be wrong, and the proof that the table agrees with it: it reads the
//! patterns as text, tries every route, and takes the best by the rules of the crate's page.

use std::cmp::Reverse;

use super::*;

/// A route as text. `conditions` are method, then query parameters that must be present.
#[derive(Debug, Clone)]
struct Written {
    hosts: Vec<&'static str>,
    paths: Vec<&'static str>,
    methods: Vec<Method>,
    query: Vec<&'static str>,
    listeners: Vec<usize>,
}

const HOSTS: &[&str] = &["*", "a.x", "b.a.x", "*.x", "*.a.x", "*.b.a.x"];
const REQUEST_HOSTS: &[&str] = &["x", "a.x", "b.a.x", "c.b.a.x", "y"];
const PATHS: &[&str] = &[
    "/*",
    "/",
    "/a",
    "/a/",
    "/a/*",
    "/a*",
    "/a/b",
    "/a/b/*",
    "/a/b*",
    "/a/*",
    "/ab*",
    "~a",
    "~^/a/[bc]$",
    "~b$",
];
const REQUEST_PATHS: &[&str] = &[
    "/", "/a", "/a/", "/ab", "/abc", "/a/b", "/a/b/", "/a/bc", "/a/b/c", "/a/c", "/b", "/c/a/b",
];
const PARAMETERS: &[&str] = &["p", "q"];

fn routes() -> impl Strategy<Value = Vec<Written>> {
    let some = |all: &'static [&'static str], most| {
        prop::collection::vec(prop::sample::select(all), 0..=most)
    };
    let methods =
        prop::collection::vec(prop::sample::select(vec![Method::GET, Method::POST]), 0..2);
    let listeners = prop::collection::vec(0..3_usize, 0..3);
    let parameters = some(PARAMETERS, 2);
    let route = (
        some(HOSTS, 2),
        some(PATHS, 3),
        methods,
        parameters,
        listeners,
    );
    let route = route.prop_map(|(hosts, paths, methods, query, listeners)| Written {
        hosts,
        paths,
        methods,
        query,
        listeners,
    });
    prop::collection::vec(route, 0..12)
}

fn compile(written: &Written) -> Matcher {
    Matcher {
        methods: written.methods.clone(),
        query: written
            .query
            .iter()
            .map(|name| ((*name).to_owned(), ValuePattern::parse("*").unwrap()))
            .collect(),
        listeners: written
            .listeners
            .iter()
            .copied()
            .map(ListenerIndex)
            .collect(),
        ..matcher(&written.hosts, &written.paths)
    }
}

/// Smaller is better.
type HostRank = (u8, Reverse<usize>);

fn host_rank(pattern: &str, host: &str) -> Option<HostRank> {
    match pattern.strip_prefix('*') {
        Some("") => Some((2, Reverse(0))),
        Some(suffix) => host.ends_with(suffix).then_some((1, Reverse(suffix.len()))),
        None => (pattern == host).then_some((0, Reverse(0))),
    }
}

/// Smaller is better: kind, place of the regex, length of the prefix, segment before raw.
type PathRank = (u8, (usize, usize), Reverse<usize>, u8);

fn path_rank(pattern: &str, path: &str, first_written: (usize, usize)) -> Option<PathRank> {
    let nowhere = (0, 0);
    if let Some(regex) = pattern.strip_prefix('~') {
        let found = regex::Regex::new(regex).unwrap().is_match(path);
        found.then_some((1, first_written, Reverse(0), 0))
    } else if pattern == "/*" {
        Some((3, nowhere, Reverse(0), 0))
    } else if let Some(prefix) = pattern.strip_suffix("/*") {
        let below = path == prefix || path.starts_with(&format!("{prefix}/"));
        below.then_some((2, nowhere, Reverse(prefix.len()), 0))
    } else if let Some(prefix) = pattern.strip_suffix('*') {
        let begins = path.starts_with(prefix);
        begins.then_some((2, nowhere, Reverse(prefix.len()), 1))
    } else {
        (path == pattern).then_some((0, nowhere, Reverse(0), 0))
    }
}

/// Every pair of host and path of every route, in the order of the file.
fn pairs(routes: &[Written]) -> Vec<(&'static str, &'static str, (usize, usize), &Written)> {
    let mut pairs = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        for host in or_any(&route.hosts, &["*"]) {
            for (place, path) in or_any(&route.paths, &["/*"]).iter().enumerate() {
                pairs.push((*host, *path, (index, place), route));
            }
        }
    }
    pairs
}

fn naive(routes: &[Written], request: &Request<'_>) -> Option<usize> {
    let pairs = pairs(routes);
    let ranked = pairs.iter().filter_map(|(host, path, written, route)| {
        let same_pair = pairs.iter().find(|(h, p, ..)| h == host && p == path);
        let first_written = same_pair.map(|(_, _, written, _)| *written)?;
        let host_rank = host_rank(host, request.host)?;
        let path_rank = path_rank(path, request.path, first_written)?;
        let method = route.methods.is_empty() || route.methods.contains(request.method);
        let query = request.query.unwrap_or_default();
        let parameters = route.query.iter().all(|name| query.contains(name));
        let on = |listener: ListenerIndex| route.listeners.contains(&listener.0);
        let listener = route.listeners.is_empty() || request.listener.is_some_and(on);
        let count = usize::from(!route.methods.is_empty())
            + usize::from(!route.listeners.is_empty())
            + route.query.len();
        (method && parameters && listener).then_some((
            host_rank,
            path_rank,
            Reverse(count),
            written.0,
        ))
    });
    ranked.min().map(|(_, _, _, index)| index)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_table_finds_what_a_search_through_all_routes_finds(routes in routes()) {
        let table = Table::build(routes.iter().map(compile).zip(0..));
        let headers = HeaderMap::new();
        for host in REQUEST_HOSTS {
            for path in REQUEST_PATHS {
                for (method, query, listener) in [
                    (Method::GET, None, Some(0)),
                    (Method::POST, Some("q"), Some(1)),
                    (Method::GET, Some("p=1&q=2"), Some(2)),
                    (Method::POST, Some("p"), None),
                ] {
                    let listener = listener.map(ListenerIndex);
                    let request = Request { host, path, query, method: &method, headers: &headers, listener };
                    let found = table.lookup(&request).copied();
                    prop_assert_eq!(found, naive(&routes, &request), "{} {}{} {:?}", method, host, path, query);
                    if let (Some(found), Some(listener)) = (found, listener) {
                        prop_assert!(table.reachable(host, listener).contains(&&found));
                    }
                }
            }
        }
    }
}
