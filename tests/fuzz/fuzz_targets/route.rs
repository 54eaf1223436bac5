//! Any patterns and any request: a lookup ends, and what it finds is no worse than the route for all.

#![no_main]

use http::{HeaderMap, Method};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use tidegate_route::{
    HostPattern, Matcher, PathPattern, Request, Table, ValuePattern, host, normalize_path,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    routes: Vec<Route<'a>>,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

#[derive(Debug, Arbitrary)]
struct Route<'a> {
    hosts: Vec<&'a str>,
    paths: Vec<&'a str>,
    query: Vec<(&'a str, &'a str)>,
}

fuzz_target!(|input: Input<'_>| {
    let routes = input.routes.iter().map(matcher);
    let table = Table::build(routes.chain([Matcher::default()]).zip(0..));
    let (Ok(host), Ok(path)) = (host(input.authority), normalize_path(input.path)) else {
        return;
    };
    let found = table.lookup(&Request {
        host: &host,
        path: &path,
        query: input.query,
        method: &Method::GET,
        headers: &HeaderMap::new(),
        listener: None,
    });
    assert!(found.is_some_and(|&route| route <= input.routes.len()));
});

/// Leaves out the patterns that are refused.
fn matcher(route: &Route<'_>) -> Matcher {
    let value = |(name, pattern): &(&str, &str)| {
        Some(((*name).to_owned(), ValuePattern::parse(pattern).ok()?))
    };
    Matcher {
        hosts: route
            .hosts
            .iter()
            .flat_map(|text| HostPattern::parse(text))
            .collect(),
        paths: route
            .paths
            .iter()
            .flat_map(|text| PathPattern::parse(text))
            .collect(),
        query: route.query.iter().filter_map(value).collect(),
        ..Matcher::default()
    }
}
