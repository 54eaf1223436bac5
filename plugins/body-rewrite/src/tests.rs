//! What an operator, a client and an origin rely on.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{BodyOutcome, Exchange, Instance};

use crate::BodyRewrite;

fn rewrite(json: &str) -> Instance<BodyRewrite> {
    Instance::configure(json).unwrap()
}

fn links() -> Instance<BodyRewrite> {
    rewrite(r#"{"replace": [{"find": "http://internal", "with": "https://example.com"}]}"#)
}

fn password() -> Instance<BodyRewrite> {
    rewrite(r#"{"redact": ["user.password", "items.*.card"]}"#)
}

fn strict() -> Instance<BodyRewrite> {
    rewrite(r#"{"redact": ["a"], "unreadable": "fail"}"#)
}

/// A response with these fields and this body, in pieces of this size.
fn respond(
    plugin: &mut Instance<BodyRewrite>,
    fields: &[(&str, &str)],
    body: &str,
    size: usize,
) -> (Exchange, BodyOutcome) {
    let mut exchange = Exchange::get("/").response(200, fields);
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(plugin.on_response(&mut exchange), Action::Proceed);
    let outcome = plugin.on_response_body(&mut exchange, body.as_bytes().chunks(size));
    (exchange, outcome)
}

fn passed(text: &str) -> BodyOutcome {
    BodyOutcome::Passed(text.into())
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<BodyRewrite>::configure(json)
        .unwrap_err()
        .remove(0);
    (error.path, error.message)
}

const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");
const JSON: (&str, &str) = ("content-type", "application/json");

#[test]
fn text_is_replaced_wherever_the_body_is_cut() {
    let body = "<a href=http://internal/a>http://internalx</a> http://inter";
    let expected = "<a href=https://example.com/a>https://example.comx</a> http://inter";
    for size in [1, 2, 7, 20, 1000] {
        let (_, outcome) = respond(&mut links(), &[HTML], body, size);
        assert_eq!(outcome, passed(expected), "by {size}");
    }
}

#[test]
fn one_instance_serves_body_after_body() {
    let mut plugin = links();
    for _ in 0..2 {
        let (_, outcome) = respond(&mut plugin, &[HTML], "http://inter", 5);
        assert_eq!(outcome, passed("http://inter"));
        let (_, outcome) = respond(&mut plugin, &[HTML], "nal http://internal", 5);
        assert_eq!(outcome, passed("nal https://example.com"));
    }
}

#[test]
fn json_is_redacted_then_replaced() {
    let mut plugin = rewrite(
        r#"{"redact": ["a"], "redacted": null, "replace": [{"find": "null", "with": "0"}]}"#,
    );
    let (_, outcome) = respond(&mut plugin, &[JSON], r#"{"a": {"x": [1]}, "b": "y"}"#, 3);
    assert_eq!(outcome, passed(r#"{"a": 0, "b": "y"}"#));
}

#[test]
fn only_json_is_redacted() {
    let body = r#"{"user": {"password": "p", "name": "n"}, "items": [{"card": 1}]}"#;
    let clean =
        r#"{"user": {"password": "[redacted]", "name": "n"}, "items": [{"card": "[redacted]"}]}"#;
    let problem = ("content-type", "application/problem+json");
    for (fields, expected) in [(JSON, clean), (problem, clean), (HTML, body)] {
        let (_, outcome) = respond(&mut password(), &[fields], body, 4);
        assert_eq!(outcome, passed(expected), "{fields:?}");
    }
}

#[test]
fn other_types_and_encoded_bodies_pass_with_their_fields() {
    let kept = [
        ("etag", "\"1\""),
        ("accept-ranges", "bytes"),
        ("content-md5", "x"),
    ];
    let image = [kept.as_slice(), &[("content-type", "image/png")]].concat();
    let zipped = [kept.as_slice(), &[HTML, ("content-encoding", "gzip")]].concat();
    for fields in [&kept[..], &image, &zipped] {
        let (exchange, outcome) = respond(&mut links(), fields, "http://internal", 100);
        assert_eq!(outcome, passed("http://internal"));
        for (name, value) in kept {
            assert_eq!(exchange.response_header(name).as_deref(), Some(value));
        }
    }
}

#[test]
fn what_described_the_old_body_goes() {
    let old = [
        "accept-ranges",
        "content-md5",
        "digest",
        "content-digest",
        "repr-digest",
    ];
    let mut fields: Vec<_> = old.iter().map(|&name| (name, "x")).collect();
    fields.extend([HTML, ("etag", "\"1\"")]);
    let (exchange, _) = respond(&mut links(), &fields, "", 100);
    for name in old {
        assert_eq!(exchange.response_header(name), None, "{name}");
    }
    assert_eq!(exchange.response_header("etag").as_deref(), Some("W/\"1\""));

    let (exchange, _) = respond(&mut links(), &[HTML, ("etag", "W/\"1\"")], "", 100);
    assert_eq!(exchange.response_header("etag").as_deref(), Some("W/\"1\""));

    let mut exchange = Exchange::get("/").response(304, &[("etag", "\"1\"")]);
    links().on_response(&mut exchange);
    assert_eq!(exchange.response_header("etag").as_deref(), Some("W/\"1\""));
}

#[test]
fn the_upstream_is_asked_for_the_whole_body_as_it_is() {
    let mut exchange = Exchange::get("/")
        .header("accept-encoding", "gzip, br")
        .header("range", "bytes=0-1")
        .header("if-range", "\"1\"");
    links().on_request(&mut exchange);
    assert_eq!(
        exchange.request_headers(),
        [("accept-encoding".to_owned(), "identity".to_owned())]
    );
}

#[test]
fn request_bodies_are_rewritten_where_it_is_said() {
    let both = r#"{"bodies": ["request"], "redact": ["card"]}"#;
    let mut plugin = rewrite(both);
    let mut exchange = Exchange::new("POST", "/")
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip")
        .header("content-digest", "x");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(exchange.request_header("content-digest"), None);
    assert_eq!(
        exchange.request_header("accept-encoding").as_deref(),
        Some("gzip")
    );
    let outcome = plugin.on_request_body(&mut exchange, [r#"{"ca"#, r#"rd": 1}"#]);
    assert_eq!(outcome, passed(r#"{"card": "[redacted]"}"#));

    let mut exchange = Exchange::new("POST", "/").header("content-type", "text/plain");
    plugin.on_request(&mut exchange);
    let outcome = plugin.on_request_body(&mut exchange, [r#"{"card": 1}"#]);
    assert_eq!(outcome, passed(r#"{"card": 1}"#));
}

#[test]
fn what_is_not_json_passes_from_there_and_is_counted() {
    let mut plugin = password();
    let body = r#"{"user": {"password": 1}} and {"user": {"password": 2}}"#;
    for size in [1, 5, 1000] {
        let (_, outcome) = respond(&mut plugin, &[JSON], body, size);
        let expected = r#"{"user": {"password": "[redacted]"}} and {"user": {"password": 2}}"#;
        assert_eq!(outcome, passed(expected));
    }
    assert_eq!(plugin.metric("unreadable", &[]), 3.0);
    assert!(plugin.log()[0].1.contains("byte 26"), "{:?}", plugin.log());
}

#[test]
fn a_mistake_within_a_secret_never_shows_the_rest_of_it() {
    let (_, outcome) = respond(
        &mut password(),
        &[JSON],
        r#"{"user": {"password": [1 2], "#,
        1,
    );
    assert_eq!(outcome, BodyOutcome::Failed);
}

#[test]
fn what_cannot_be_redacted_fails_where_it_is_said() {
    let (_, outcome) = respond(&mut strict(), &[JSON], "{]", 1);
    assert_eq!(outcome, BodyOutcome::Failed);
    let (_, outcome) = respond(&mut strict(), &[JSON], r#"{"b": "#, 100);
    assert_eq!(outcome, BodyOutcome::Failed);
    let (_, outcome) = respond(&mut strict(), &[JSON], "", 100);
    assert_eq!(outcome, passed(""));

    let zipped = [JSON, ("content-encoding", "gzip")];
    let mut exchange = Exchange::get("/").response(200, &zipped);
    assert_eq!(strict().on_response(&mut exchange), Action::Fail);
    let mut exchange = Exchange::get("/").response(206, &[JSON]);
    assert_eq!(strict().on_response(&mut exchange), Action::Fail);
    let plain = [HTML, ("content-encoding", "gzip")];
    let mut exchange = Exchange::get("/").response(200, &plain);
    assert_eq!(strict().on_response(&mut exchange), Action::Proceed);
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("{}").1, "expected `replace` or `redact`");
    let at = |json: &str| mistake(json).0;
    assert_eq!(
        at(r#"{"replace": [{"find": "", "with": "x"}]}"#),
        "replace.0.find"
    );
    assert_eq!(at(r#"{"replace": [{"find": "a"}]}"#), "replace.0");
    assert_eq!(
        at(r#"{"replace": [{"find": "a", "with": ""}, {"find": "a", "with": ""}]}"#),
        "replace.1.find"
    );
    let long = "x".repeat(1025);
    assert_eq!(
        at(&format!(
            r#"{{"replace": [{{"find": "a", "with": "{long}"}}]}}"#
        )),
        "replace.0.with"
    );
    assert_eq!(at(r#"{"redact": ["a", "b..c"]}"#), "redact.1");
    assert_eq!(
        at(r#"{"redact": ["a"], "content_types": ["text"]}"#),
        "content_types.0"
    );
    assert_eq!(at(r#"{"redact": ["a"], "bodies": []}"#), "bodies");
    assert_eq!(at(r#"{"redact": ["a"], "bodies": ["both"]}"#), "bodies.0");
    assert_eq!(
        at(r#"{"redact": ["a"], "unreadable": "drop"}"#),
        "unreadable"
    );
}
