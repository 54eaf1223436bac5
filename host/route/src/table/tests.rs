use http::{HeaderMap, Method};
use proptest::prelude::*;

use super::*;
use crate::ValuePattern;

mod reference;

/// A matcher for `GET`-style tests: hosts and paths as written.
fn matcher(hosts: &[&str], paths: &[&str]) -> Matcher {
    Matcher {
        hosts: hosts
            .iter()
            .map(|text| HostPattern::parse(text).unwrap())
            .collect(),
        paths: paths
            .iter()
            .map(|text| PathPattern::parse(text).unwrap())
            .collect(),
        ..Matcher::default()
    }
}

fn lookup<'t>(table: &'t Table<&'static str>, method: Method, host: &str, path: &str) -> &'t str {
    let headers = HeaderMap::new();
    let request = Request {
        host,
        path,
        query: None,
        method: &method,
        headers: &headers,
        listener: None,
    };
    table.lookup(&request).copied().unwrap_or("none")
}

#[track_caller]
fn check(routes: &[(&[&str], &[&str], &'static str)], wanted: &[(&str, &str, &str)]) {
    let table = Table::build(
        routes
            .iter()
            .map(|(hosts, paths, name)| (matcher(hosts, paths), *name)),
    );
    for (host, path, name) in wanted {
        assert_eq!(
            lookup(&table, Method::GET, host, path),
            *name,
            "{host}{path}"
        );
    }
}

#[test]
fn exact_host_then_longest_wildcard_then_any() {
    check(
        &[
            (&[], &[], "any"),
            (&["*.example.com"], &[], "wide"),
            (&["*.eu.example.com"], &[], "narrow"),
            (&["a.eu.example.com", "[::1]"], &[], "exact"),
        ],
        &[
            ("a.eu.example.com", "/", "exact"),
            ("b.eu.example.com", "/", "narrow"),
            ("x.y.eu.example.com", "/", "narrow"),
            ("eu.example.com", "/", "wide"),
            ("example.com", "/", "any"),
            ("badexample.com", "/", "any"),
            ("[::1]", "/", "exact"),
            ("", "/", "any"),
        ],
    );
}

#[test]
fn exact_path_then_regex_then_longest_prefix_then_any() {
    check(
        &[
            (&[], &["/*"], "any"),
            (&[], &["/v1*"], "raw"),
            (&[], &["/v1/*"], "segment"),
            (&[], &["/v1/users/*"], "longer"),
            (&[], &["~^/v1/users/[0-9]+$"], "regex"),
            (&[], &["~^/v1/users/1"], "later regex"),
            (&[], &["/v1/users/1", "/x"], "exact"),
        ],
        &[
            ("h", "/v1/users/1", "exact"),
            ("h", "/x", "exact"),
            ("h", "/v1/users/12", "regex"),
            ("h", "/v1/users/1a", "later regex"),
            ("h", "/v1/users/a", "longer"),
            ("h", "/v1/users", "longer"),
            ("h", "/v1/usersx", "segment"),
            ("h", "/v1", "segment"),
            ("h", "/v1/", "segment"),
            ("h", "/v10", "raw"),
            ("h", "/v", "any"),
        ],
    );
}

#[test]
fn a_failed_lookup_falls_back_to_less_specific_paths_and_hosts() {
    let post = Matcher {
        methods: vec![Method::POST],
        ..matcher(&["a.example"], &["/v1/x"])
    };
    let table = Table::build([
        (matcher(&[], &[]), "any"),
        (matcher(&["a.example"], &["/v1/*"]), "v1"),
        (post, "post"),
    ]);
    assert_eq!(lookup(&table, Method::POST, "a.example", "/v1/x"), "post");
    assert_eq!(lookup(&table, Method::GET, "a.example", "/v1/x"), "v1");
    assert_eq!(lookup(&table, Method::GET, "a.example", "/other"), "any");
}

#[test]
fn more_conditions_come_first_then_the_order_of_the_file() {
    let conditions = |methods: &[Method], query: &[&str]| Matcher {
        methods: methods.to_vec(),
        query: query
            .iter()
            .map(|name| ((*name).to_owned(), ValuePattern::parse("*").unwrap()))
            .collect(),
        ..matcher(&[], &["/"])
    };
    let table = Table::build([
        (conditions(&[], &[]), "none"),
        (conditions(&[], &["a"]), "query"),
        (conditions(&[Method::GET, Method::PUT], &[]), "methods"),
        (conditions(&[Method::GET], &["a"]), "both"),
    ]);
    let find = |query| {
        let headers = HeaderMap::new();
        let method = Method::GET;
        let request = Request {
            host: "h",
            path: "/",
            query,
            method: &method,
            headers: &headers,
            listener: None,
        };
        table.lookup(&request).copied()
    };
    assert_eq!(find(Some("a=1")), Some("both"));
    assert_eq!(find(None), Some("methods"));
    assert_eq!(lookup(&table, Method::POST, "h", "/"), "none");
}

#[test]
fn what_is_reachable_ends_with_a_route_that_takes_all() {
    let [public, private] = [0, 1].map(ListenerIndex);
    let on_private = |matcher| Matcher {
        listeners: vec![private],
        ..matcher
    };
    let table = Table::build([
        (matcher(&[], &[]), "any"),
        (on_private(matcher(&["admin.example"], &[])), "admin"),
        (matcher(&["*.example"], &["/a/*", "~^/b", "/c"]), "some"),
    ]);
    let reachable = |host, listener| table.reachable(host, listener).into_iter().copied();
    assert!(reachable("admin.example", private).eq(["admin"]));
    assert!(reachable("admin.example", public).eq(["some", "any"]));
    assert!(reachable("other", private).eq(["any"]));
    let mut hosts: Vec<String> = table.hosts().collect();
    hosts.sort();
    assert_eq!(hosts, ["*", "*.example", "admin.example"]);
}

#[test]
fn a_table_without_routes_finds_nothing() {
    check(&[], &[("h", "/", "none")]);
}

/// How many routes a lookup looks at that none of them accepts: all that its host and path leave.
fn candidates(routes: usize, pattern: impl Fn(usize) -> Matcher, host: &str, path: &str) -> usize {
    let table = Table::build((0..routes).map(|n| (pattern(n), n)));
    let mut offered = 0;
    table.find(host, path, |_| {
        offered += 1;
        false
    });
    offered
}

#[test]
fn a_lookup_looks_at_no_more_routes_in_a_larger_table() {
    for routes in [10, 1_000, 10_000] {
        let by_host = |n: usize| matcher(&[&format!("h{n}.example")], &["/*"]);
        assert_eq!(candidates(routes, by_host, "h7.example", "/v1"), 1);
        let by_wildcard = |n: usize| matcher(&[&format!("*.h{n}.example")], &["/*"]);
        assert_eq!(candidates(routes, by_wildcard, "a.b.h7.example", "/v1"), 1);
        let by_path = |n: usize| matcher(&[], &[&format!("/v1/{n}")]);
        assert_eq!(candidates(routes, by_path, "h", "/v1/7"), 1);
        let by_prefix = |n: usize| matcher(&[], &[&format!("/v1/{n}/*"), &format!("/v2/{n}/*")]);
        assert_eq!(candidates(routes, by_prefix, "h", "/v1/7/users"), 1);
        assert_eq!(candidates(routes, by_prefix, "h", "/v3/7/users"), 0);
    }
}
