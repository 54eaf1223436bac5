//! What an operator and a client rely on.

use std::time::Duration;

use tidegate_sdk::attributes::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::RateLimit;

fn limit(json: &str) -> Instance<RateLimit> {
    Instance::configure(json).unwrap()
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<RateLimit>::configure(json)
        .unwrap_err()
        .remove(0);
    (error.path, error.message)
}

fn from(address: &str) -> Exchange {
    Exchange::get("/").attribute("client.address", address)
}

#[test]
fn the_burst_passes_then_the_rate_does() {
    let mut limit = limit(r#"{"rate": "10/s", "burst": 3}"#);
    for _ in 0..3 {
        assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Proceed);
    }
    assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Respond);
    limit.advance(Duration::from_millis(100));
    assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Proceed);
    assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Respond);
    assert_eq!(limit.metric("limited", &[("policy", "default")]), 2.0);
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let mut limit = limit(r#"{"rate": "2/m"}"#);
    limit.on_request(&mut Exchange::get("/"));
    limit.on_request(&mut Exchange::get("/"));
    let mut exchange = Exchange::get("/");
    assert_eq!(limit.on_request(&mut exchange), Action::Respond);
    let reply = exchange.reply().unwrap();
    assert_eq!(reply.status(), 429);
    assert_eq!(reply.field("retry-after").as_deref(), Some("30"));
    assert_eq!(
        reply.field("ratelimit-policy").as_deref(),
        Some(r#""default";q=2;w=60"#)
    );
    assert_eq!(
        reply.field("ratelimit").as_deref(),
        Some(r#""default";r=0;t=60"#)
    );
}

#[test]
fn a_response_says_what_is_left() {
    let mut limit = limit(r#"{"rate": "60/m", "burst": 5, "name": "small"}"#);
    let mut exchange = Exchange::get("/");
    limit.on_request(&mut exchange);
    limit.on_response(&mut exchange);
    let header = |name| exchange.response_header(name).unwrap();
    assert_eq!(header("ratelimit-policy"), r#""small";q=5;w=5"#);
    assert_eq!(header("ratelimit"), r#""small";r=4;t=1"#);
    assert_eq!(
        exchange.attribute_value("rate-limit.small.remaining"),
        Some(&Value::Integer(4))
    );
}

#[test]
fn two_policies_share_no_bucket_and_both_report() {
    let mut first = limit(r#"{"rate": "1/s", "name": "a"}"#);
    let mut second = limit(r#"{"rate": "9/m", "name": "b"}"#);
    let mut exchange = Exchange::get("/");
    assert_eq!(first.on_request(&mut exchange), Action::Proceed);
    assert_eq!(second.on_request(&mut exchange), Action::Proceed);
    second.on_response(&mut exchange);
    first.on_response(&mut exchange);
    assert_eq!(
        exchange.response_header("ratelimit").as_deref(),
        Some(r#""b";r=8;t=7, "a";r=0;t=1"#)
    );
}

#[test]
fn headers_can_be_left_out() {
    let mut limit = limit(r#"{"rate": "1/s", "headers": false}"#);
    let mut exchange = Exchange::get("/");
    limit.on_request(&mut exchange);
    limit.on_response(&mut exchange);
    assert_eq!(exchange.response_headers(), []);
    limit.on_request(&mut exchange);
    assert_eq!(exchange.reply().unwrap().field("ratelimit"), None);
    assert!(exchange.reply().unwrap().field("retry-after").is_some());
}

#[test]
fn clients_are_told_apart_by_address_and_ipv6_network() {
    let mut limit = limit(r#"{"rate": "1/h"}"#);
    let mut is_limited = |address| limit.on_request(&mut from(address)) == Action::Respond;
    assert!(!is_limited("192.0.2.1"));
    assert!(!is_limited("192.0.2.2"));
    assert!(is_limited("::ffff:192.0.2.1"));
    assert!(!is_limited("2001:db8::1"));
    assert!(is_limited("2001:db8::ffff:2"));
    assert!(!is_limited("2001:db8:0:1::1"));
}

#[test]
fn a_key_of_several_parts_is_all_of_them() {
    let mut limit = limit(
        r#"{"rate": "1/h", "key": ["header:x-tenant", "path", "host", "method", "attribute:plan"]}"#,
    );
    let request = |method, path, host, tenant: &str, plan: &str| {
        let exchange = Exchange::new(method, path)
            .host(host)
            .attribute("plan", plan);
        exchange.header("x-tenant", tenant)
    };
    let mut is_limited = |mut exchange| limit.on_request(&mut exchange) == Action::Respond;
    assert!(!is_limited(request("GET", "/a", "x", "t", "p")));
    assert!(is_limited(request("GET", "/a", "x", "t", "p")));
    assert!(!is_limited(request("PUT", "/a", "x", "t", "p")));
    assert!(!is_limited(request("GET", "/b", "x", "t", "p")));
    assert!(!is_limited(request("GET", "/a", "y", "t", "p")));
    assert!(!is_limited(request("GET", "/a", "x", "u", "p")));
    assert!(!is_limited(request("GET", "/a", "x", "t", "q")));
    // The same text, cut elsewhere.
    assert!(!is_limited(request("GET", "/a", "x", "t2:/a", "p")));
}

#[test]
fn a_missing_key_is_limited_together_skipped_or_denied() {
    let run = |policy: &str| {
        let mut limit = limit(&format!(
            r#"{{"rate": "1/h", "key": "header:x-tenant", "missing_key": "{policy}"}}"#
        ));
        let mut exchange = Exchange::get("/");
        let first = limit.on_request(&mut exchange);
        let second = limit.on_request(&mut exchange);
        (first, second, exchange.reply().map(Reply::status))
    };
    assert_eq!(
        run("limit-together"),
        (Action::Proceed, Action::Respond, Some(429))
    );
    assert_eq!(run("skip"), (Action::Proceed, Action::Proceed, None));
    assert_eq!(run("deny"), (Action::Respond, Action::Respond, Some(400)));
}

#[test]
fn a_dry_run_counts_and_limits_nothing() {
    let mut limit = limit(r#"{"rate": "1/h", "dry_run": true}"#);
    for _ in 0..3 {
        assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Proceed);
    }
    assert_eq!(limit.metric("limited", &[("policy", "default")]), 2.0);
}

#[test]
fn a_costly_request_takes_more() {
    let mut limit = limit(r#"{"rate": "10/h", "cost": 4}"#);
    let mut run = || limit.on_request(&mut Exchange::get("/"));
    assert_eq!(
        [run(), run(), run()],
        [Action::Proceed, Action::Proceed, Action::Respond]
    );
}

#[test]
fn without_a_limiter_the_operators_policy_decides() {
    let mut limit = limit(r#"{"rate": "1/s"}"#);
    limit.set_limiter_unavailable(true);
    assert_eq!(limit.on_request(&mut Exchange::get("/")), Action::Fail);
    assert!(limit.log()[0].1.contains("limiter"));
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(
        mistake("{}"),
        (String::new(), "missing key `rate`".to_owned())
    );
    for rate in ["100", "0/s", "-1/s", "1/y", "x/s", "1.5/s"] {
        let (path, message) = mistake(&format!(r#"{{"rate": "{rate}"}}"#));
        assert_eq!(path, "rate", "{rate}");
        assert!(message.contains("as in `100/s`"), "{message}");
    }
    let at = |extra: &str| mistake(&format!(r#"{{"rate": "5/s", {extra}}}"#)).0;
    assert_eq!(at(r#""burst": 0"#), "burst");
    assert_eq!(at(r#""cost": 6"#), "cost");
    assert_eq!(at(r#""key": "cookie""#), "key");
    assert_eq!(at(r#""key": ["path", "header:"]"#), "key.1");
    assert_eq!(at(r#""ipv6_prefix": 129"#), "ipv6_prefix");
    assert_eq!(at(r#""name": "My policy""#), "name");
    assert_eq!(at(r#""missing_key": "ignore""#), "missing_key");
}
