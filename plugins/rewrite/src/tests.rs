//! What an operator and an upstream rely on.

use proptest::prelude::*;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::Rewrite;

/// A plugin with these rules, as JSON between commas.
fn rewrite(rules: &str) -> Instance<Rewrite> {
    Instance::configure(&format!(r#"{{"rules": [{rules}]}}"#)).unwrap()
}

/// The target that a `GET` becomes.
fn target(rules: &str, target: &str) -> String {
    let mut exchange = Exchange::get(target);
    assert_eq!(rewrite(rules).on_request(&mut exchange), Action::Proceed);
    exchange.request_target()
}

fn redirect(rules: &str, mut exchange: Exchange) -> (u16, String) {
    assert_eq!(rewrite(rules).on_request(&mut exchange), Action::Respond);
    let reply = exchange.reply().unwrap();
    (reply.status(), reply.field("location").unwrap())
}

fn mistake(rules: &str) -> (String, String) {
    let json = format!(r#"{{"rules": [{rules}]}}"#);
    let error = Instance::<Rewrite>::configure(&json).unwrap_err().remove(0);
    (error.path, error.message)
}

#[test]
fn a_path_is_made_of_captures() {
    let rules =
        r#"{"match": {"path": "^/users/(\\d+)/(?<rest>.*)$"}, "path": "/v2/${rest}/of/$1"}"#;
    assert_eq!(target(rules, "/users/7/posts?a=b"), "/v2/posts/of/7?a=b");
    assert_eq!(target(rules, "/users/x/posts"), "/users/x/posts");
    assert_eq!(target(rules, "/users/7/caf%C3%A9"), "/v2/caf%C3%A9/of/7");
    let group = r#"{"match": {"path": "^/a(/b)?(/c)?$"}, "path": "/x$1$2"}"#;
    assert_eq!(target(group, "/a/c"), "/x/c");
}

#[test]
fn prefixes_are_whole_segments() {
    let strip = r#"{"strip_prefix": "/api"}"#;
    assert_eq!(target(strip, "/api/v1"), "/v1");
    assert_eq!(target(strip, "/api"), "/");
    assert_eq!(target(strip, "/apis/v1"), "/apis/v1");
    let both = r#"{"strip_prefix": "/api/", "add_prefix": "/v2"}"#;
    assert_eq!(target(both, "/api/users/"), "/v2/users/");
    assert_eq!(target(both, "/other"), "/other");
    assert_eq!(target(r#"{"add_prefix": "/v2"}"#, "/?a"), "/v2/?a");
}

#[test]
fn a_query_is_set_edited_and_removed() {
    let rules = r#"{"match": {"path": "^/item/(.*)$"}, "path": "/item", "query": "id=$1&full=1"}"#;
    assert_eq!(target(rules, "/item/7?old=1"), "/item?id=7&full=1");
    assert_eq!(
        target(rules, "/item/7&x=y+z"),
        "/item?id=7%26x%3Dy%2Bz&full=1"
    );
    assert_eq!(target(r#"{"query": ""}"#, "/?a=b"), "/");
    assert_eq!(
        target(r#"{"query": "x=1&${request.query}"}"#, "/?a=b&c"),
        "/?x=1&a=b&c"
    );

    let edits = r#"{
        "remove_query": ["utm_*", "fbclid"],
        "set_query": {"lang": "en"},
        "add_query": {"tag": "a b&c"}
    }"#;
    assert_eq!(
        target(
            edits,
            "/?utm_source=x&q=a%20b+c&lang=de&la%6Eg=fr&&tag=1&fbclid"
        ),
        "/?q=a%20b+c&tag=1&lang=en&tag=a%20b%26c"
    );
    assert_eq!(target(r#"{"remove_query": ["a"]}"#, "/?a=1&a=2"), "/");
    assert_eq!(target(r#"{"remove_query": ["a"]}"#, "/"), "/");
}

#[test]
fn rules_run_in_order_on_what_the_last_left() {
    let rules = r#"
        {"match": {"path": "^/a$"}, "path": "/b"},
        {"match": {"path": "^/b$"}, "path": "/c", "then": "stop"},
        {"match": {"path": "^/c$"}, "path": "/a"}"#;
    assert_eq!(target(rules, "/a"), "/c");
    assert_eq!(target(rules, "/c"), "/a");
}

#[test]
fn all_conditions_hold() {
    let rules = r#"{
        "match": {"path": "^/a", "host": "*.example.com", "methods": ["GET"], "query": {"v": "^\\d+$"}},
        "path": "/yes"
    }"#;
    let run = |mut exchange: Exchange| {
        rewrite(rules).on_request(&mut exchange);
        exchange.request_target().starts_with("/yes")
    };
    let host = "www.example.com";
    assert!(run(Exchange::get("/a?v=1").host(host)));
    assert!(run(Exchange::get("/a?v=x&v=%31").host(host)));
    assert!(!run(Exchange::get("/b?v=1").host(host)));
    assert!(!run(Exchange::get("/a?v=1").host("example.com")));
    assert!(!run(Exchange::get("/a?v=1").host("wwwexample.com")));
    assert!(!run(Exchange::new("HEAD", "/a?v=1").host(host)));
    assert!(!run(Exchange::get("/a?v=x").host(host)));
    assert!(!run(Exchange::get("/a").host(host)));
}

#[test]
fn the_upstreams_host_can_be_another() {
    let mut exchange = Exchange::get("/");
    rewrite(r#"{"host": "app.internal:8080"}"#).on_request(&mut exchange);
    assert_eq!(exchange.request_host(), "app.internal:8080");
    assert_eq!(exchange.request_target(), "/");
}

#[test]
fn redirects_lead_where_it_is_written() {
    let https = r#"{"redirect": 308, "location": "https://${request.host}${request.path}?${request.query}"}"#;
    assert_eq!(
        redirect(https, Exchange::get("/a/b?c=d%20e").host("shop.example")),
        (308, "https://shop.example/a/b?c=d%20e".to_owned())
    );
    assert_eq!(
        redirect(https, Exchange::get("/a").host("shop.example")).1,
        "https://shop.example/a"
    );
    let old = r#"{"match": {"path": "^/old/(.*)$"}, "redirect": 301, "location": "/new/$1#top"}"#;
    assert_eq!(
        redirect(old, Exchange::get("/old/x?y")),
        (301, "/new/x#top".to_owned())
    );
    let port = r#"{"redirect": 302, "location": "${request.scheme}://${request.host}:8443"}"#;
    assert_eq!(
        redirect(port, Exchange::get("/x")).1,
        "http://example.com:8443/"
    );
}

#[test]
fn a_client_cannot_choose_where_a_redirect_leads() {
    let glued =
        r#"{"match": {"path": "^/go(.*)$"}, "redirect": 302, "location": "https://example.com$1"}"#;
    for path in [
        "/go.evil.example",
        "/go@evil.example",
        "/go:1@evil.example",
        "/go%5C%5Cevil",
    ] {
        let (_, location) = redirect(glued, Exchange::get(path));
        assert!(location.starts_with("https://example.com/"), "{location}");
    }
    let relative = r#"{"match": {"path": "^/go(.*)$"}, "redirect": 302, "location": "/$1"}"#;
    let (_, location) = redirect(relative, Exchange::get("/go/evil.example"));
    assert_eq!(location, "/evil.example");
}

#[test]
fn dots_cannot_leave_a_prefix() {
    let rules = r#"{"match": {"path": "^/f/(.+)x$"}, "path": "/files/public/$1"}"#;
    assert_eq!(target(rules, "/f/..x"), "/files/");
    let rules = r#"{"match": {"path": "^/f/(.+)x$"}, "path": "/$1", "then": "continue"},
                   {"add_prefix": "/files/public"}"#;
    assert_eq!(target(rules, "/f/..x"), "/files/public/");
}

/// Paths as the proxy gives them: normalised, with anything that may stand in one.
fn any_path() -> impl Strategy<Value = String> {
    "(/[a-z0-9.@:;,=&+!$'()*~_-]{1,8}|/%[0-9A-F]{2}){1,5}/?"
}

proptest! {
    #[test]
    fn whatever_is_captured_a_target_stays_a_target(path in any_path(), query in "[!-\"$-~]{0,12}") {
        let rules = r#"{
            "match": {"path": "^/(.*?)([^/]*)$"},
            "path": "x$2$1",
            "set_query": {"v": "$1", "w": "$2"},
            "remove_query": ["a"]
        }"#;
        let out = target(rules, &format!("{path}?{query}"));
        prop_assert!(out.starts_with('/') && !out.starts_with("//"));
        prop_assert!(out.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
        let (_, query) = out.split_once('?').unwrap();
        let own: Vec<_> = query.split('&').rev().take(2).collect();
        prop_assert!(own[1].starts_with("v=") && own[0].starts_with("w="));
    }

    #[test]
    fn whatever_is_captured_a_location_stays_on_its_host(path in any_path(), query in "[!-\"$-~]{0,12}") {
        let rules = r#"{
            "match": {"path": "^/(.*?)([^/]*)$"},
            "redirect": 307,
            "location": "https://example.com$2$1?v=$1&${request.query}"
        }"#;
        let (_, location) = redirect(rules, Exchange::get(&format!("{path}?{query}")));
        prop_assert!(location.starts_with("https://example.com/"));
        prop_assert!(!location.starts_with("https://example.com//"));
        prop_assert!(location.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#'));
    }
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("").0, "rules");
    assert_eq!(mistake("{}").0, "rules.0");
    assert_eq!(
        mistake(r#"{"match": {"path": "("}, "path": "/"}"#).0,
        "rules.0.match.path"
    );
    let large = r#"{"match": {"path": "((a{100}){100}){100}"}, "path": "/"}"#;
    assert_eq!(mistake(large).0, "rules.0.match.path");
    assert_eq!(
        mistake(r#"{"match": {"query": {"a": "["}}, "path": "/"}"#).0,
        "rules.0.match.query.a"
    );
    let (path, message) = mistake(r#"{"match": {"path": "^/(a)$"}, "path": "/$2"}"#);
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("rules.0.path", "`^/(a)$` has no group `2`")
    );
    assert_eq!(mistake(r#"{"path": "/$1"}"#).0, "rules.0.path");
    assert_eq!(mistake(r#"{"path": "/a$"}"#).0, "rules.0.path");
    assert_eq!(
        mistake(r#"{"set_query": {"a": "${b"}}"#).0,
        "rules.0.set_query.a"
    );
    assert_eq!(
        mistake(r#"{"path": "/a", "strip_prefix": "/b"}"#).0,
        "rules.0.strip_prefix"
    );
    assert_eq!(mistake(r#"{"add_prefix": "v2"}"#).0, "rules.0.add_prefix");
    assert_eq!(mistake(r#"{"add_prefix": "/"}"#).0, "rules.0.add_prefix");
    assert_eq!(mistake(r#"{"host": "a/b"}"#).0, "rules.0.host");
    assert_eq!(mistake(r#"{"redirect": 301}"#).1, "missing key `location`");
    assert_eq!(mistake(r#"{"location": "/"}"#).1, "missing key `redirect`");
    assert_eq!(
        mistake(r#"{"redirect": 200, "location": "/"}"#).0,
        "rules.0.redirect"
    );
    assert_eq!(
        mistake(r#"{"redirect": 301, "location": "/", "path": "/"}"#).0,
        "rules.0.redirect"
    );
    for location in [
        "",
        "//evil",
        "example.com",
        "ftp://a",
        "javascript:alert(1)",
        "https://",
        "https://a@b/",
        "https://$1/",
        "${request.scheme}",
        "/a#$1",
    ] {
        let rule =
            format!(r#"{{"match": {{"path": "(.)"}}, "redirect": 301, "location": "{location}"}}"#);
        assert_eq!(mistake(&rule).0, "rules.0.location", "{location}");
    }
}
