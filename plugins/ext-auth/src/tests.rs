//! What an operator relies on, with a server whose answers the tests write.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_sdk::http::Failure;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{BodyOutcome, Exchange, Host, Instance};

use crate::ExtAuth;
use crate::grant::Grant;

const URL: &str = "https://auth.example/check";

/// With a server that gives this answer, and these keys of the configuration.
fn ext_auth(answer: Reply, keys: &str) -> Instance<ExtAuth> {
    let mut host = Host::new();
    host.add_http_answer(URL, answer);
    configure(host, keys)
}

fn configure(mut host: Host, keys: &str) -> Instance<ExtAuth> {
    host.add_store("answers");
    host.configure(&format!(r#"{{"url": "{URL}" {keys}}}"#))
        .unwrap()
}

fn mistake(json: &str) -> String {
    let error = Instance::<ExtAuth>::configure(json).unwrap_err().remove(0);
    error.path
}

fn asked(plugin: &mut Instance<ExtAuth>) -> usize {
    plugin.host().http_requests().len()
}

#[test]
fn an_allowed_request_brings_fields_for_both_sides() {
    let answer = Reply::new(204)
        .header("x-user", "ada")
        .header("x-role", "a")
        .header("x-role", "b")
        .header("set-cookie", "seen=1")
        .header("x-other", "no");
    let keys = r#", "copy_to_request": ["X-User", "x-role", "x-absent"], "copy_to_response": ["set-cookie", "x-user"]"#;
    let mut plugin = ext_auth(answer, keys);
    let mut exchange = Exchange::get("/")
        .header("x-user", "root")
        .header("x-absent", "forged")
        .response(200, &[("set-cookie", "own=1"), ("x-user", "upstream")]);
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(exchange.request_header("x-user").as_deref(), Some("ada"));
    assert_eq!(exchange.request_header("x-role").as_deref(), Some("a, b"));
    assert_eq!(exchange.request_header("x-absent"), None);
    assert_eq!(exchange.request_header("x-other"), None);
    plugin.on_response(&mut exchange);
    plugin.on_response(&mut exchange);
    let cookies = exchange.response_headers();
    let cookies = cookies.iter().filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    assert_eq!(exchange.response_header("x-user").as_deref(), Some("ada"));
    assert_eq!(plugin.metric("decisions", &[("decision", "allowed")]), 1.0);
}

#[test]
fn the_server_learns_what_the_request_is() {
    let mut plugin = ext_auth(
        Reply::new(200),
        r#", "send": ["cookie", "x-api-*", "x-forwarded-for"], "timeout": "250ms""#,
    );
    let mut exchange = Exchange::new("PUT", "/a%20b?c=d")
        .scheme("https")
        .host("shop.example")
        .header("cookie", "a=b")
        .header("cookie", "c=d")
        .header("x-api-key", "k")
        .header("authorization", "Bearer x")
        .header("x-forwarded-for", "203.0.113.9")
        .header("x-original-uri", "/public");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    let request = plugin.host().http_requests()[0].clone();
    assert_eq!(
        (request.method.as_str(), request.url.as_str()),
        ("GET", URL)
    );
    assert_eq!(request.timeout, Some(Duration::from_millis(250)));
    assert_eq!(request.body, b"");
    for (name, value) in [
        ("x-original-method", "PUT"),
        ("x-original-uri", "/a%20b?c=d"),
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-uri", "/a%20b?c=d"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cookie", "a=b; c=d"),
        ("x-api-key", "k"),
    ] {
        assert_eq!(request.header(name).as_deref(), Some(value), "{name}");
        let same = request.headers.iter().filter(|(known, _)| known == name);
        assert_eq!(same.count(), 1, "{name}");
    }
    assert_eq!(request.header("authorization"), None);
}

#[test]
fn credentials_are_sent_unless_something_else_is_said() {
    let mut plugin = ext_auth(Reply::new(200), "");
    plugin.on_request(
        &mut Exchange::get("/")
            .header("Authorization", "x")
            .header("x-a", "y"),
    );
    let request = &plugin.host().http_requests()[0];
    assert_eq!(request.header("authorization").as_deref(), Some("x"));
    assert_eq!(request.header("x-a"), None);
}

#[test]
fn a_denial_goes_to_the_client() {
    let answer = Reply::new(401)
        .header("www-authenticate", "Bearer")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .header("x-internal", "secret")
        .body("text/html", "<p>who?");
    let mut plugin = ext_auth(answer, "");
    let mut exchange = Exchange::get("/");
    assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
    let expected = Reply::new(401)
        .header("www-authenticate", "Bearer")
        .header("set-cookie", "a=1")
        .header("set-cookie", "b=2")
        .body("text/html", "<p>who?");
    assert_eq!(exchange.reply(), Some(&expected));
    assert_eq!(plugin.metric("decisions", &[("decision", "denied")]), 1.0);
}

#[test]
fn other_statuses_can_deny_too() {
    let answer = || Reply::new(302).header("location", "https://login.example/");
    let mut exchange = Exchange::get("/");
    assert_eq!(
        ext_auth(answer(), "").on_request(&mut exchange),
        Action::Fail
    );
    let mut plugin = ext_auth(
        answer(),
        r#", "deny": [401, 302], "copy_on_deny": ["location"]"#,
    );
    assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
    let reply = exchange.reply().unwrap();
    assert_eq!(
        reply.field("location").as_deref(),
        Some("https://login.example/")
    );
}

#[test]
fn what_decides_nothing_is_the_operators_to_decide() {
    for status in [300, 404, 500, 503] {
        let mut plugin = ext_auth(Reply::new(status), "");
        assert_eq!(
            plugin.on_request(&mut Exchange::get("/")),
            Action::Fail,
            "{status}"
        );
        assert!(plugin.log()[0].1.contains(&status.to_string()));
    }
    for failure in [
        Failure::Timeout,
        Failure::Unreachable,
        Failure::Forbidden,
        Failure::TooLarge,
    ] {
        let mut host = Host::new();
        host.add_http_failure(URL, failure);
        let mut plugin = configure(host, r#", "cache": {"store": "answers", "ttl": "1m"}"#);
        assert_eq!(
            plugin.on_request(&mut Exchange::get("/")),
            Action::Fail,
            "{failure}"
        );
        assert_eq!(plugin.metric("decisions", &[("decision", "failed")]), 1.0);
    }
    let long = Reply::new(401).text("x".repeat(64 * 1024 + 1));
    assert_eq!(
        ext_auth(long, "").on_request(&mut Exchange::get("/")),
        Action::Fail
    );
}

#[test]
fn a_question_that_is_too_large_is_the_clients_fault() {
    let mut plugin = ext_auth(Reply::new(200), "");
    let mut exchange = Exchange::get("/").header("cookie", "x".repeat(31 * 1024));
    assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
    assert_eq!(exchange.reply().unwrap().status(), 431);
    assert_eq!(asked(&mut plugin), 0);
}

#[test]
fn what_is_allowed_is_remembered_for_the_same_question() {
    let keys = r#", "copy_to_request": ["x-user"], "cache": {"store": "answers", "ttl": "1m"}"#;
    let mut plugin = ext_auth(Reply::new(200).header("x-user", "ada"), keys);
    let mut ask = |exchange: &mut Exchange, count: usize| {
        assert_eq!(plugin.on_request(exchange), Action::Proceed);
        assert_eq!(exchange.request_header("x-user").as_deref(), Some("ada"));
        assert_eq!(asked(&mut plugin), count);
    };
    let with = |value: &str| Exchange::get("/a").header("authorization", value);
    ask(&mut with("x"), 1);
    ask(&mut with("x"), 1);
    ask(&mut with("y"), 2);
    ask(&mut Exchange::get("/b").header("authorization", "x"), 3);
    ask(&mut with("x").attribute("client.address", "192.0.2.2"), 4);
    ask(&mut with("x"), 4);
    plugin.advance(Duration::from_secs(60));
    plugin.on_request(&mut with("x"));
    assert_eq!(asked(&mut plugin), 5);
    assert_eq!(plugin.metric("decisions", &[("decision", "cached")]), 2.0);
}

#[test]
fn a_key_says_which_questions_are_the_same() {
    let keys = r#", "cache": {"store": "answers", "ttl": "1m", "key": ["cookie:session", "host"]}"#;
    let mut plugin = ext_auth(Reply::new(200), keys);
    let mut count = |cookies: &str, host: &str| {
        let mut exchange = Exchange::get("/").header("cookie", cookies).host(host);
        plugin.on_request(&mut exchange);
        asked(&mut plugin)
    };
    assert_eq!(count("session=a; x=1", "h"), 1);
    assert_eq!(count("x=2; session=a", "h"), 1);
    assert_eq!(count("session=a", "i"), 2);
    assert_eq!(count("session=b", "h"), 3);
    assert_eq!(count("x=1", "h"), 4);
    assert_eq!(count("session=", "h"), 5);
    assert_eq!(count("session=a; session=b", "h"), 6);
}

#[test]
fn a_denial_is_not_remembered() {
    let mut host = Host::new();
    host.add_http_answer(URL, Reply::new(401));
    host.add_http_answer(URL, Reply::new(200));
    let mut plugin = configure(host, r#", "cache": {"store": "answers", "ttl": "1m"}"#);
    assert_eq!(plugin.on_request(&mut Exchange::get("/")), Action::Respond);
    assert_eq!(plugin.on_request(&mut Exchange::get("/")), Action::Proceed);
    plugin.host().set_kv_unavailable(true);
    assert_eq!(plugin.on_request(&mut Exchange::get("/")), Action::Proceed);
    assert_eq!(asked(&mut plugin), 3);
}

#[test]
fn a_body_is_sent_where_that_is_wanted() {
    let keys = r#", "method": "POST", "send_body": "1KiB", "copy_to_request": ["x-user"]"#;
    let mut plugin = ext_auth(Reply::new(200).header("x-user", "ada"), keys);
    let mut exchange = Exchange::new("POST", "/")
        .header("content-type", "application/json")
        .header("x-user", "root");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(exchange.request_header("x-user"), None);
    assert_eq!(asked(&mut plugin), 0);
    let outcome = plugin.on_request_body(&mut exchange, ["{", "}"]);
    assert_eq!(outcome, BodyOutcome::Passed(b"{}".to_vec()));
    assert_eq!(exchange.request_header("x-user").as_deref(), Some("ada"));
    let request = plugin.host().http_requests()[0].clone();
    assert_eq!(request.body, b"{}");
    assert_eq!(
        request.header("content-type").as_deref(),
        Some("application/json")
    );
    let long = [vec![b'x'; 1025]];
    assert_eq!(
        plugin.on_request_body(&mut exchange, long),
        BodyOutcome::TooLong
    );
}

#[test]
fn without_a_body_the_question_is_asked_all_the_same() {
    let mut plugin = ext_auth(Reply::new(403), r#", "send_body": 1024"#);
    let mut exchange = Exchange::get("/");
    plugin.on_request(&mut exchange);
    let nothing: [&[u8]; 0] = [];
    assert_eq!(
        plugin.on_request_body(&mut exchange, nothing),
        BodyOutcome::Responded
    );
    assert_eq!(exchange.reply().unwrap().status(), 403);
    assert_eq!(
        plugin.host().http_requests()[0].header("content-type"),
        None
    );
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("{}"), "");
    assert_eq!(mistake(r#"{"url": "auth.example"}"#), "url");
    assert_eq!(mistake(r#"{"url": "https://auth.example/#x"}"#), "url");
    let at = |key: &str| mistake(&format!(r#"{{"url": "{URL}", {key}}}"#));
    assert_eq!(at(r#""method": "get""#), "method");
    assert_eq!(at(r#""method": "TRACE""#), "method");
    assert_eq!(at(r#""timeout": "0s""#), "timeout");
    assert_eq!(at(r#""timeout": 1"#), "timeout");
    assert_eq!(at(r#""deny": [401, 200]"#), "deny.1");
    assert_eq!(at(r#""deny": [304]"#), "deny.0");
    assert_eq!(at(r#""send": ["cookie", "x-*-y"]"#), "send.1");
    assert_eq!(at(r#""send": ["host"]"#), "send.0");
    assert_eq!(at(r#""send_body": "64 kB""#), "send_body");
    assert_eq!(at(r#""send_body": "0KiB""#), "send_body");
    assert_eq!(at(r#""send_body": "2MiB""#), "send_body");
    assert_eq!(
        at(r#""copy_to_request": ["content-length"]"#),
        "copy_to_request.0"
    );
    assert_eq!(at(r#""cache": {"store": "a", "ttl": "0s"}"#), "cache.ttl");
    assert_eq!(
        at(r#""cache": {"store": "a", "ttl": "1s", "key": []}"#),
        "cache.key"
    );
    assert_eq!(
        at(r#""cache": {"store": "a", "ttl": "1s", "key": ["body"]}"#),
        "cache.key.0"
    );
    assert_eq!(
        at(r#""cache": {"store": "a", "ttl": "1s"}, "send_body": "1KiB""#),
        "cache"
    );
    assert_eq!(at(r#""copy": []"#), "copy");
}

fn fields() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    let value = proptest::collection::vec(prop_oneof![Just(b'\t'), 32u8..127, 128u8..], 0..20);
    proptest::collection::vec(("[a-z-]{1,10}", value), 0..5)
}

proptest! {
    /// What is remembered comes back as it was.
    #[test]
    fn a_grant_survives_the_store(to_request in fields(), to_response in fields()) {
        let grant = Grant { to_request, to_response };
        prop_assert_eq!(Grant::decode(&grant.encode()), Some(grant));
    }

    /// Whatever a store holds is read without a panic.
    #[test]
    fn anything_in_a_store_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        if let Some(grant) = Grant::decode(&bytes) {
            prop_assert_eq!(Grant::decode(&grant.encode()), Some(grant));
        }
    }
}
