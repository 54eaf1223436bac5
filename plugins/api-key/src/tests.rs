//! What an operator and an upstream rely on.

use std::time::Duration;

use sha2::{Digest, Sha256};
use tidegate_sdk::attributes::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::ApiKey;

fn hash(key: &str) -> String {
    let digest = Sha256::digest(key);
    let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{digits}")
}

/// Two keys, `alice-key` and `bob-key`, and further settings.
fn api_key(extra: &str) -> Instance<ApiKey> {
    let (alice, bob) = (hash("alice-key"), hash("bob-key"));
    let json = format!(
        r#"{{"keys": [
            {{"id": "alice", "hash": "{alice}", "attributes": {{"plan": "gold", "limit": 5, "admin": true}}}},
            {{"id": "bob", "hash": "{bob}"}}
        ] {extra}}}"#
    );
    Instance::configure(&json).unwrap()
}

fn one_key(settings: &str) -> Instance<ApiKey> {
    let alice = hash("alice-key");
    let json = format!(r#"{{"keys": [{{"id": "alice", "hash": "{alice}", {settings}}}]}}"#);
    Instance::configure(&json).unwrap()
}

fn status(plugin: &mut Instance<ApiKey>, mut exchange: Exchange) -> u16 {
    match plugin.on_request(&mut exchange) {
        Action::Proceed => 200,
        Action::Respond => exchange.reply().unwrap().status(),
        Action::Fail => 503,
    }
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<ApiKey>::configure(json).unwrap_err().remove(0);
    (error.path, error.message)
}

#[test]
fn a_known_key_passes_and_brings_its_attributes() {
    let mut exchange = Exchange::get("/").header("X-Api-Key", "alice-key");
    assert_eq!(api_key("").on_request(&mut exchange), Action::Proceed);
    let attribute = |name| exchange.attribute_value(name).cloned();
    assert_eq!(attribute("api-key.id"), Some("alice".into()));
    assert_eq!(attribute("api-key.plan"), Some("gold".into()));
    assert_eq!(attribute("api-key.limit"), Some(Value::Integer(5)));
    assert_eq!(attribute("api-key.admin"), Some(Value::Boolean(true)));
    assert_eq!(
        exchange.request_header("x-api-key").as_deref(),
        Some("alice-key")
    );
}

#[test]
fn a_missing_or_unknown_key_gets_401_and_a_challenge() {
    let mut plugin = api_key(r#", "realm": "shop""#);
    let reply = |plugin: &mut Instance<ApiKey>, mut exchange: Exchange| {
        assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
        assert_eq!(exchange.attribute_value("api-key.id"), None);
        exchange.reply().unwrap().clone()
    };
    let missing = reply(&mut plugin, Exchange::get("/"));
    let unknown = reply(
        &mut plugin,
        Exchange::get("/").header("x-api-key", "alice-kez"),
    );
    let empty = reply(&mut plugin, Exchange::get("/").header("x-api-key", ""));
    for reply in [&missing, &unknown, &empty] {
        assert_eq!(reply.status(), 401);
        assert_eq!(
            reply.field("www-authenticate").as_deref(),
            Some("ApiKey realm=\"shop\"")
        );
    }
    assert_ne!(missing.body_text(), unknown.body_text());
    assert_eq!(plugin.metric("refused", &[("reason", "missing")]), 1.0);
    assert_eq!(plugin.metric("refused", &[("reason", "unknown")]), 2.0);
}

#[test]
fn a_bearer_token_is_taken_and_another_scheme_is_not() {
    let mut plugin = api_key(r#", "sources": ["bearer"]"#);
    let with = |value: &str| Exchange::get("/").header("authorization", value);
    assert_eq!(status(&mut plugin, with("Bearer alice-key")), 200);
    assert_eq!(status(&mut plugin, with("bearer  bob-key")), 200);
    assert_eq!(status(&mut plugin, with("Basic YWxpY2U6a2V5")), 401);
    assert_eq!(status(&mut plugin, with("Bearer")), 401);

    let mut exchange = with("Bearer wrong");
    plugin.on_request(&mut exchange);
    assert_eq!(
        exchange
            .reply()
            .unwrap()
            .field("www-authenticate")
            .as_deref(),
        Some("Bearer realm=\"api\", error=\"invalid_token\"")
    );
}

#[test]
fn a_query_parameter_is_decoded() {
    let mut plugin = api_key(r#", "sources": ["query:key"]"#);
    assert_eq!(
        status(&mut plugin, Exchange::get("/?a=b&key=alice%2Dkey")),
        200
    );
    assert_eq!(status(&mut plugin, Exchange::get("/?kez=alice-key")), 401);
    assert_eq!(status(&mut plugin, Exchange::get("/")), 401);
    assert_eq!(
        status(&mut plugin, Exchange::get("/?key=alice-key&key=bob-key")),
        400
    );
}

#[test]
fn more_than_one_key_is_refused() {
    let mut plugin = api_key(r#", "sources": ["header:x-api-key", "bearer"]"#);
    let alice = Exchange::get("/").header("x-api-key", "alice-key");
    assert_eq!(status(&mut plugin, alice.clone()), 200);
    assert_eq!(
        status(&mut plugin, alice.clone().header("x-api-key", "alice-key")),
        400
    );
    assert_eq!(
        status(&mut plugin, alice.header("authorization", "Bearer bob-key")),
        400
    );
}

#[test]
fn strip_removes_the_field_that_held_the_key() {
    let mut plugin = api_key(r#", "sources": ["header:x-key", "bearer"], "strip": true"#);
    let mut exchange = Exchange::get("/")
        .header("x-key", "alice-key")
        .header("x-other", "1");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(
        exchange.request_headers(),
        [("x-other".to_owned(), "1".to_owned())]
    );

    let mut exchange = Exchange::get("/").header("authorization", "Bearer bob-key");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(exchange.request_header("authorization"), None);

    let (path, message) = mistake(r#"{"keys": [], "sources": ["query:key"], "strip": true}"#);
    assert_eq!(path, "strip");
    assert!(message.contains("forwarded"));
}

#[test]
fn a_disabled_key_is_refused() {
    let mut plugin = one_key(r#""enabled": false"#);
    assert_eq!(
        status(
            &mut plugin,
            Exchange::get("/").header("x-api-key", "alice-key")
        ),
        401
    );
    assert_eq!(plugin.log()[0].1, "refused key `alice`: disabled");
}

#[test]
fn a_key_ends_with_its_last_day() {
    // 2026-12-31T23:59:59Z.
    let last = Duration::from_secs(1_798_761_599);
    for not_after in ["2026-12-31", "2026-12-31T23:59:59Z"] {
        let mut plugin = one_key(&format!(r#""not_after": "{not_after}""#));
        let alice = Exchange::get("/").header("x-api-key", "alice-key");
        plugin.set_now(last);
        assert_eq!(status(&mut plugin, alice.clone()), 200);
        plugin.advance(Duration::from_secs(1));
        assert_eq!(status(&mut plugin, alice), 401);
        assert_eq!(plugin.metric("refused", &[("reason", "expired")]), 1.0);
    }
}

#[test]
fn every_key_of_a_long_list_is_found() {
    let keys: Vec<String> = (0..500)
        .map(|n| {
            format!(
                r#"{{"id": "{n}", "hash": "{}"}}"#,
                hash(&format!("key-{n}"))
            )
        })
        .collect();
    let json = format!(r#"{{"keys": [{}]}}"#, keys.join(","));
    let mut plugin = Instance::<ApiKey>::configure(&json).unwrap();
    for n in 0..500 {
        let mut exchange = Exchange::get("/").header("x-api-key", format!("key-{n}"));
        assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
        let id = Value::from(n.to_string());
        assert_eq!(exchange.attribute_value("api-key.id"), Some(&id));
    }
}

#[test]
fn no_key_reaches_the_log() {
    let mut plugin = api_key("");
    for key in ["alice-key", "secret-and-unknown"] {
        plugin.on_request(&mut Exchange::get("/").header("x-api-key", key));
    }
    assert!(
        plugin
            .log()
            .iter()
            .all(|(_, line)| !line.contains("key-") && !line.contains("secret"))
    );
}

#[test]
fn mistakes_have_a_place_and_do_not_repeat_a_key() {
    let (path, message) = mistake(r#"{"keys": [{"id": "a", "hash": "my-real-key"}]}"#);
    assert_eq!(path, "keys.0.hash");
    assert!(message.contains("sha256:") && !message.contains("my-real-key"));

    let key = |extra: &str| {
        let hash = hash("x");
        mistake(&format!(
            r#"{{"keys": [{{"id": "a", "hash": "{hash}" {extra}}}]}}"#
        ))
        .0
    };
    assert_eq!(key(r#", "not_after": "tomorrow""#), "keys.0.not_after");
    assert_eq!(
        key(r#", "attributes": {"a b": 1}"#),
        "keys.0.attributes.a b"
    );
    assert_eq!(key(r#", "attributes": {"id": 1}"#), "keys.0.attributes.id");
    assert_eq!(key(r#", "attributes": {"x": [1]}"#), "keys.0.attributes.x");
    assert_eq!(key(r#", "enabeld": true"#), "keys.0.enabeld");

    let twice = hash("x");
    let (path, message) = mistake(&format!(
        r#"{{"keys": [{{"id": "a", "hash": "{twice}"}}, {{"id": "b", "hash": "{twice}"}}]}}"#
    ));
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("keys.1.hash", "is the hash of `keys.0` too")
    );
    assert_eq!(mistake(r#"{"keys": [], "sources": []}"#).0, "sources");
    assert_eq!(
        mistake(r#"{"keys": [], "sources": ["cookie:a"]}"#).0,
        "sources.0"
    );
}
