//! What an operator and a client rely on.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{BodyOutcome, Exchange, Instance};

use crate::RequestLimits;

fn limits(json: &str) -> Instance<RequestLimits> {
    Instance::configure(json).unwrap()
}

/// What the head gets: 200 where it goes on.
fn status(json: &str, exchange: Exchange) -> u16 {
    refusal(&mut limits(json), exchange).map_or(200, |reply| reply.status())
}

fn refusal(plugin: &mut Instance<RequestLimits>, mut exchange: Exchange) -> Option<Reply> {
    match plugin.on_request(&mut exchange) {
        Action::Proceed => None,
        Action::Respond => exchange.reply().cloned(),
        Action::Fail => panic!("failed"),
    }
}

fn post() -> Exchange {
    Exchange::new("POST", "/")
}

fn json() -> Exchange {
    post().header("content-type", "application/json; charset=utf-8")
}

/// What a body gets that comes in pieces of three bytes.
fn body_status(config: &str, mut exchange: Exchange, body: &str) -> u16 {
    let mut plugin = limits(config);
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    match plugin.on_request_body(&mut exchange, body.as_bytes().chunks(3)) {
        BodyOutcome::Passed(passed) => {
            assert_eq!(passed, body.as_bytes());
            200
        }
        BodyOutcome::Responded => exchange.reply().unwrap().status(),
        other => panic!("{other:?}"),
    }
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<RequestLimits>::configure(json)
        .unwrap_err()
        .remove(0);
    (error.path, error.message)
}

#[test]
fn an_announced_body_is_refused_at_once() {
    let of = |length: &str| {
        status(
            r#"{"max_body": "1KiB"}"#,
            post().header("content-length", length),
        )
    };
    assert_eq!(of("0"), 200);
    assert_eq!(of("1024"), 200);
    assert_eq!(of("1025"), 413);
    assert_eq!(of("18446744073709551615"), 413);
}

#[test]
fn a_body_of_known_length_is_not_looked_at() {
    let mut plugin = limits(r#"{"max_body": 4}"#);
    let mut exchange = post().header("content-length", "4");
    plugin.on_request(&mut exchange);
    // More than announced: the proxy's to refuse, so it is seen that nobody counts.
    let outcome = plugin.on_request_body(&mut exchange, ["12345"]);
    assert_eq!(outcome, BodyOutcome::Passed(b"12345".to_vec()));
}

#[test]
fn a_streamed_body_is_counted() {
    let max = r#"{"max_body": 10}"#;
    assert_eq!(body_status(max, post(), ""), 200);
    assert_eq!(body_status(max, post(), "0123456789"), 200);
    assert_eq!(body_status(max, post(), "0123456789x"), 413);
    // The next body begins at zero.
    let mut plugin = limits(max);
    for _ in 0..2 {
        let mut exchange = post();
        plugin.on_request(&mut exchange);
        let outcome = plugin.on_request_body(&mut exchange, ["01234", "56789"]);
        assert_eq!(outcome, BodyOutcome::Passed(b"0123456789".to_vec()));
    }
}

#[test]
fn json_has_limits_of_its_own() {
    let config = r#"{"max_body": 1000, "max_json": 20, "max_json_depth": 3}"#;
    assert_eq!(body_status(config, json(), r#"{"a": [{"b": 1}]}"#), 200);
    assert_eq!(body_status(config, json(), r#"{"a": [{"b": []}]}"#), 400);
    assert_eq!(body_status(config, json(), r#"["[[[[", [], {}]"#), 200);
    assert_eq!(body_status(config, json(), &" ".repeat(21)), 413);
    assert_eq!(status(config, json().header("content-length", "21")), 413);
    assert_eq!(status(config, post().header("content-length", "21")), 200);
    assert_eq!(body_status(config, post(), "[[[[[["), 200);
    let problem = post().header("content-type", "application/problem+json");
    assert_eq!(body_status(config, problem, "[[[[[["), 400);
    // Known length, and looked at all the same.
    assert_eq!(
        body_status(config, json().header("content-length", "4"), "[[[["),
        400
    );
    // A second type does not hide the first.
    let two = post()
        .header("content-type", "text/plain")
        .header("content-type", "application/json");
    assert_eq!(body_status(config, two, "[[[["), 400);
    assert_eq!(
        status(config, json().header("content-encoding", "gzip")),
        415
    );
    assert_eq!(
        status(config, json().header("content-encoding", "identity")),
        200
    );
}

#[test]
fn a_uri_is_limited() {
    let uri = |target: &str| status(r#"{"max_uri": 10}"#, Exchange::get(target));
    assert_eq!(uri("/345678910"), 200);
    assert_eq!(uri("/345678910x"), 414);
    assert_eq!(uri("/34?678910"), 200);
    assert_eq!(uri("/34?678910x"), 414);
    let query = |target: &str| status(r#"{"max_query_parameters": 2}"#, Exchange::get(target));
    assert_eq!(query("/"), 200);
    assert_eq!(query("/?a=1&&b"), 200);
    assert_eq!(query("/?a&a&a"), 400);
}

#[test]
fn header_fields_are_limited() {
    let with = |config: &str, values: &[&str]| {
        let fields = values
            .iter()
            .fold(Exchange::get("/"), |e, value| e.header("x", value));
        status(config, fields)
    };
    assert_eq!(with(r#"{"max_headers": 2}"#, &["", ""]), 200);
    assert_eq!(with(r#"{"max_headers": 2}"#, &["", "", ""]), 431);
    assert_eq!(with(r#"{"max_header_bytes": 10}"#, &["1234", "5678"]), 200);
    assert_eq!(with(r#"{"max_header_bytes": 10}"#, &["1234", "56789"]), 431);
}

#[test]
fn only_listed_methods_are_served() {
    let mut plugin = limits(r#"{"methods": ["GET", "HEAD"]}"#);
    assert!(refusal(&mut plugin, Exchange::get("/")).is_none());
    let reply = refusal(&mut plugin, post()).unwrap();
    assert_eq!(reply.status(), 405);
    assert_eq!(reply.field("allow").as_deref(), Some("GET, HEAD"));
    assert!(refusal(&mut plugin, Exchange::new("get", "/")).is_some());
    assert_eq!(plugin.metric("refused", &[("limit", "method")]), 2.0);
}

#[test]
fn only_listed_types_are_served() {
    let config = r#"{"content_types": ["Application/JSON", "image/*"]}"#;
    let of = |value: &str| status(config, post().header("content-type", value));
    assert_eq!(of("application/json;charset=utf-8"), 200);
    assert_eq!(of("Image/PNG"), 200);
    assert_eq!(of("text/plain"), 415);
    assert_eq!(of("application/jsonp"), 415);
    assert_eq!(of(""), 415);
    let two = json().header("content-type", "text/plain");
    assert_eq!(status(config, two), 415);
    // A body has a type; a request without one need not.
    assert_eq!(status(config, post().header("content-length", "1")), 415);
    assert_eq!(status(config, post().header("content-length", "0")), 200);
    assert_eq!(body_status(config, post(), "x"), 415);
    assert_eq!(body_status(config, Exchange::get("/"), ""), 200);
}

#[test]
fn each_limit_can_have_its_status() {
    let config = r#"{"max_uri": 1, "methods": ["GET"], "status": {"uri": 400, "method": 403}}"#;
    assert_eq!(status(config, Exchange::get("/a")), 400);
    assert_eq!(status(config, post()), 403);
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("{}").1, "expected at least one limit");
    for size in [
        "\"1MB\"",
        "\"MiB\"",
        "\"1.5MiB\"",
        "-1",
        "\"+1B\"",
        "\"18446744073709551615KiB\"",
        "true",
    ] {
        let (path, message) = mistake(&format!(r#"{{"max_body": {size}}}"#));
        assert_eq!(path, "max_body", "{size}");
        assert!(message.contains("`64KiB`"), "{message}");
    }
    assert_eq!(mistake(r#"{"methods": []}"#).0, "methods");
    assert_eq!(mistake(r#"{"methods": ["GET", "a b"]}"#).0, "methods.1");
    assert_eq!(
        mistake(r#"{"content_types": ["json"]}"#).0,
        "content_types.0"
    );
    assert_eq!(
        mistake(r#"{"content_types": ["*/*"]}"#).0,
        "content_types.0"
    );
    assert_eq!(
        mistake(r#"{"max_uri": 1, "status": {"uri": 200}}"#).0,
        "status.uri"
    );
    assert_eq!(
        mistake(r#"{"max_uri": 1, "status": {"url": 400}}"#).0,
        "status.url"
    );
    assert_eq!(mistake(r#"{"max_url": 1}"#).0, "max_url");
}
