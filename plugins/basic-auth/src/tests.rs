//! What an operator and a client rely on. Which password fits which hash is as the tests say.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use tidegate_sdk::attributes::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Host, Instance};

use crate::BasicAuth;

const ADA: &str = "$2y$12$ada";
const BOB: &str = "$argon2id$v=19$bob";

/// A host where `ada` has the password `open: sesame` and `bob` has `swordfish`.
fn host() -> Host {
    let mut host = Host::new();
    host.set_password(ADA, "open: sesame");
    host.set_password(BOB, "swordfish");
    host.add_store("logins");
    host
}

/// With these keys of the configuration.
fn basic_auth(keys: &str) -> Instance<BasicAuth> {
    let json = format!(r#"{{"users": ["ada:{ADA}", "bob:{BOB}:a comment"] {keys}}}"#);
    host().configure(&json).unwrap()
}

fn mistake_in(host: Host, json: &str) -> (String, String) {
    let error = host.configure::<BasicAuth>(json).unwrap_err().remove(0);
    (error.path, error.message)
}

fn mistake(json: &str) -> (String, String) {
    mistake_in(host(), json)
}

fn with(credentials: impl AsRef<[u8]>) -> Exchange {
    let encoded = STANDARD.encode(credentials);
    Exchange::get("/").header("authorization", format!("Basic {encoded}"))
}

fn status(plugin: &mut Instance<BasicAuth>, mut exchange: Exchange) -> u16 {
    match plugin.on_request(&mut exchange) {
        Action::Proceed => 200,
        Action::Respond => exchange.reply().unwrap().status(),
        Action::Fail => 503,
    }
}

#[test]
fn who_knows_the_password_passes() {
    let mut plugin = basic_auth(r#", "header": "X-User""#);
    let mut exchange = with("ada:open: sesame").header("x-user", "root");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(
        exchange.attribute_value("basic-auth.user"),
        Some(&Value::from("ada"))
    );
    assert_eq!(exchange.request_header("x-user").as_deref(), Some("ada"));
    assert!(exchange.request_header("authorization").is_some());
    assert_eq!(status(&mut plugin, with("bob:swordfish")), 200);
}

#[test]
fn everybody_else_gets_the_same_401() {
    let mut plugin = basic_auth(r#", "realm": "shop""#);
    let reply = |plugin: &mut Instance<BasicAuth>, mut exchange: Exchange| {
        assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
        exchange.reply().unwrap().clone()
    };
    let missing = reply(&mut plugin, Exchange::get("/"));
    assert_eq!(missing.status(), 401);
    let challenge = missing.field("www-authenticate").unwrap();
    assert_eq!(challenge, r#"Basic realm="shop", charset="UTF-8""#);
    for exchange in [
        with("ada:wrong"),
        with("ada:swordfish"),
        with("ada:"),
        with("eve:open: sesame"),
        with("ADA:open: sesame"),
        with("ada"),
        with(":"),
        with(b"\xff:x"),
        with("ada:open: sesame\n"),
        with(format!("ada:{}", "x".repeat(1025))),
        Exchange::get("/").header("authorization", "Basic ***"),
        Exchange::get("/").header("authorization", "Basic"),
        Exchange::get("/").header("authorization", "Bearer YWRhOg=="),
    ] {
        assert_eq!(reply(&mut plugin, exchange), missing);
    }
    assert_eq!(plugin.metric("refused", &[("reason", "wrong")]), 5.0);
    assert!(plugin.log().is_empty());
}

#[test]
fn a_name_that_nobody_has_costs_as_much_as_a_wrong_password() {
    // A hash that is none shows in the log that it was checked.
    let mut plugin =
        Instance::<BasicAuth>::configure(r#"{"users": ["ada:$2y$99$unfit"]}"#).unwrap();
    assert_eq!(status(&mut plugin, with("eve:x")), 401);
    assert_eq!(plugin.log()[0].1, "the hash of `ada` cannot be checked");
    // And the first user's password lets in nobody else.
    assert_eq!(status(&mut basic_auth(""), with("eve:open: sesame")), 401);
}

#[test]
fn two_users_are_a_bad_request() {
    let mut plugin = basic_auth("");
    let twice = with("ada:open: sesame").header("authorization", "basic Ym9iOnN3b3JkZmlzaA==");
    assert_eq!(status(&mut plugin, twice), 400);
}

#[test]
fn strip_removes_the_credentials() {
    let mut exchange = with("ada:open: sesame").header("x-other", "1");
    assert_eq!(
        basic_auth(r#", "strip": true"#).on_request(&mut exchange),
        Action::Proceed
    );
    assert_eq!(
        exchange.request_headers(),
        [("x-other".to_owned(), "1".to_owned())]
    );
}

#[test]
fn a_secret_holds_a_file_that_may_change() {
    let mut host = host();
    host.set_secret("users", format!("# us\r\n\r\nada:{ADA}\r\n"));
    let mut plugin = host
        .configure::<BasicAuth>(r#"{"secret": "users"}"#)
        .unwrap();
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 200);
    assert_eq!(status(&mut plugin, with("bob:swordfish")), 401);
    plugin
        .host()
        .set_secret("users", format!("broken\nbob:{BOB}"));
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 401);
    assert_eq!(status(&mut plugin, with("bob:swordfish")), 200);
    plugin.host().set_secret("users", "");
    assert_eq!(status(&mut plugin, with("bob:swordfish")), 401);
}

#[test]
fn a_right_password_is_remembered_for_a_while() {
    let mut plugin = basic_auth(r#", "cache": {"store": "logins", "ttl": "1m"}"#);
    assert_eq!(status(&mut plugin, with("ada:wrong")), 401);
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 200);
    // From here on the hash fits another password.
    plugin.host().set_password(ADA, "changed");
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 200);
    assert_eq!(status(&mut plugin, with("ada:wrong")), 401);
    plugin.advance(Duration::from_secs(60));
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 401);
}

#[test]
fn a_new_hash_is_checked_anew() {
    let mut host = host();
    host.set_secret("users", format!("ada:{ADA}"));
    let json = r#"{"secret": "users", "cache": {"store": "logins"}}"#;
    let mut plugin = host.configure::<BasicAuth>(json).unwrap();
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 200);
    plugin.host().set_secret("users", format!("ada:{BOB}"));
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 401);
    assert_eq!(status(&mut plugin, with("ada:swordfish")), 200);
}

#[test]
fn without_the_store_passwords_are_checked_each_time() {
    let mut plugin = basic_auth(r#", "cache": {"store": "logins"}"#);
    plugin.host().set_kv_unavailable(true);
    assert_eq!(status(&mut plugin, with("ada:open: sesame")), 200);
    assert_eq!(status(&mut plugin, with("ada:wrong")), 401);
}

#[test]
fn mistakes_have_a_place_and_do_not_repeat_a_password() {
    assert_eq!(mistake("{}").0, "");
    assert_eq!(mistake(r#"{"users": [], "secret": "users"}"#).0, "");
    assert_eq!(mistake(r#"{"users": []}"#).0, "users");
    assert_eq!(mistake(r#"{"secret": "users"}"#).0, "secret");
    for line in [
        "hunter2",
        "ada:hunter2",
        "ada:$apr1$hunter2",
        "ada:{SHA}hunter2",
        ":$2y$hunter2",
    ] {
        let (path, message) = mistake(&format!(r#"{{"users": ["bob:{BOB}", "{line}"]}}"#));
        assert_eq!(path, "users.1", "{line}");
        assert!(
            message.contains("htpasswd -nB") && !message.contains("hunter2"),
            "{message}"
        );
    }
    let twice = mistake(&format!(r#"{{"users": ["bob:{BOB}", "bob:{ADA}"]}}"#));
    assert_eq!(
        twice,
        (
            "users.1".to_owned(),
            "`bob` is the name of `users.0` too".to_owned()
        )
    );

    let mut host = host();
    host.set_secret("users", format!("ada:{ADA}\n\nbob:hunter2\n"));
    let (path, message) = mistake_in(host, r#"{"secret": "users"}"#);
    assert_eq!(path, "secret");
    assert!(
        message.starts_with("line 3 of `users`") && !message.contains("hunter2"),
        "{message}"
    );

    let at = |keys: &str| mistake(&format!(r#"{{"users": ["ada:{ADA}"], {keys}}}"#)).0;
    assert_eq!(at(r#""realm": "a\"b""#), "realm");
    assert_eq!(
        at(r#""cache": {"store": "logins", "ttl": "0s"}"#),
        "cache.ttl"
    );
    assert_eq!(at(r#""cache": {"ttl": "1m"}"#), "cache");
    assert_eq!(at(r#""header": "content-length""#), "header");
    assert_eq!(at(r#""user": "x""#), "user");
}

proptest! {
    /// Whatever comes, only the right pair passes.
    #[test]
    fn nothing_else_passes(value in prop_oneof!["Basic [A-Za-z0-9+/=]{0,40}", "[ -~]{0,40}"]) {
        prop_assume!(!value.ends_with(&STANDARD.encode("ada:open: sesame")));
        let exchange = Exchange::get("/").header("authorization", value);
        prop_assert_eq!(status(&mut basic_auth(""), exchange), 401);
    }

    /// A password may hold anything that can be typed, colons too (RFC 7617 §2).
    #[test]
    fn any_password_is_taken_as_it_is(password in "[^\\x00-\\x1f\\x7f]{0,40}") {
        let mut host = host();
        host.set_password(ADA, password.as_bytes());
        let json = format!(r#"{{"users": ["ada:{ADA}"]}}"#);
        let mut plugin = host.configure::<BasicAuth>(&json).unwrap();
        prop_assert_eq!(status(&mut plugin, with(format!("ada:{password}"))), 200);
        prop_assert_eq!(status(&mut plugin, with(format!("ada:{password}!"))), 401);
    }
}
