//! What an operator relies on.

use tidegate_sdk::attributes::Value;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Host, Instance};

use crate::Canary;

/// With these weights of `app`, the route's upstream, and `canary`, and these keys of the configuration.
fn canary(app: u32, canary: u32, keys: &str) -> Instance<Canary> {
    let mut host = Host::new();
    host.add_upstream("canary", &["192.0.2.20:80"]);
    host.grant_upstream("canary");
    let targets = format!(
        r#"[{{"upstream": "app", "weight": {app}}}, {{"upstream": "canary", "weight": {canary}}}]"#
    );
    host.configure(&format!(r#"{{"targets": {targets} {keys}}}"#))
        .unwrap()
}

fn mistake(json: &str) -> String {
    let error = Instance::<Canary>::configure(json).unwrap_err().remove(0);
    error.path
}

fn target(plugin: &mut Instance<Canary>, mut exchange: Exchange) -> String {
    assert_eq!(plugin.on_upstream_choice(&mut exchange), Action::Proceed);
    exchange.upstream().to_owned()
}

fn from(client: usize) -> Exchange {
    Exchange::get("/").attribute("client.address", format!("192.0.2.{client}"))
}

/// The targets of many clients.
fn targets(plugin: &mut Instance<Canary>) -> Vec<String> {
    (0..200)
        .map(|client| target(plugin, from(client)))
        .collect()
}

#[test]
fn a_client_stays_where_it_is() {
    let mut plugin = canary(80, 20, "");
    let first = targets(&mut plugin);
    assert_eq!(first, targets(&mut canary(80, 20, "")));
    let share = first.iter().filter(|target| *target == "canary").count();
    assert!((15..70).contains(&share), "{share} of 200");
    let by_key = |target| plugin.metric("chosen", &[("target", target), ("by", "key")]);
    assert_eq!(by_key("canary") + by_key("app"), 200.0);
}

#[test]
fn more_weight_takes_clients_and_gives_none_away() {
    let before = targets(&mut canary(80, 20, ""));
    let after = targets(&mut canary(50, 50, ""));
    let pairs = || before.iter().zip(&after);
    assert!(pairs().all(|(before, after)| before == after || after == "canary"));
    assert!(pairs().any(|(before, after)| before != after));
}

#[test]
fn the_key_says_who_a_client_is() {
    for key in ["cookie:user", "header:x-user", "attribute:jwt.sub"] {
        let mut plugin = canary(50, 50, &format!(r#", "key": "{key}""#));
        let mut of = |user: usize, client: usize| {
            let exchange = from(client)
                .header("cookie", format!("a=b; user={user}"))
                .header("x-user", user.to_string())
                .attribute("jwt.sub", user.to_string());
            target(&mut plugin, exchange)
        };
        let users: Vec<String> = (0..50).map(|user| of(user, 1)).collect();
        assert_eq!(
            users,
            (0..50).map(|user| of(user, user)).collect::<Vec<_>>()
        );
        assert!(users.contains(&"app".to_owned()) && users.contains(&"canary".to_owned()));
        // Who has no key is known by the address.
        assert_eq!(targets(&mut plugin), targets(&mut canary(50, 50, "")));
    }
}

#[test]
fn the_choice_can_be_read() {
    let mut exchange = Exchange::get("/");
    canary(0, 1, "").on_upstream_choice(&mut exchange);
    assert_eq!(
        exchange.attribute_value("canary.target"),
        Some(&Value::from("canary"))
    );
}

#[test]
fn a_cookie_keeps_a_client_with_its_target() {
    let keys = r#", "cookie": {"name": "release", "max_age": "1d"}"#;
    let mut plugin = canary(1, 0, keys);
    let mut exchange = Exchange::get("/").scheme("https");
    plugin.on_upstream_choice(&mut exchange);
    plugin.on_response(&mut exchange);
    assert_eq!(
        exchange.response_header("set-cookie").as_deref(),
        Some("release=app; Path=/; HttpOnly; SameSite=Lax; Max-Age=86400; Secure")
    );

    let mut plugin = canary(1, 1_000_000, keys);
    let with = |cookie: &str| Exchange::get("/").header("cookie", cookie);
    let mut exchange = with("a=b; release=app");
    plugin.on_upstream_choice(&mut exchange);
    assert_eq!(exchange.upstream(), "app");
    plugin.on_response(&mut exchange);
    assert_eq!(exchange.response_header("set-cookie"), None);
    // What is not a target, a client made up.
    for cookie in ["release=other", "release=", "xrelease=app"] {
        assert_eq!(target(&mut plugin, with(cookie)), "canary", "{cookie}");
    }
    // A target without weight gives its clients away.
    assert_eq!(
        target(&mut canary(0, 1, keys), with("release=app")),
        "canary"
    );
}

#[test]
fn without_the_option_no_cookie_is_set_or_read() {
    let mut plugin = canary(1, 0, "");
    let mut exchange = Exchange::get("/").header("cookie", "release=canary");
    plugin.on_upstream_choice(&mut exchange);
    plugin.on_response(&mut exchange);
    assert_eq!(exchange.upstream(), "app");
    assert_eq!(exchange.response_headers(), []);
}

#[test]
fn testers_choose_where_that_is_allowed() {
    let tester = || Exchange::get("/").header("x-canary", "canary");
    assert_eq!(target(&mut canary(1, 0, ""), tester()), "app");
    let mut plugin = canary(
        1,
        0,
        r#", "force_header": "X-Canary", "cookie": {"name": "release"}"#,
    );
    let mut exchange = tester().header("cookie", "release=app");
    plugin.on_upstream_choice(&mut exchange);
    plugin.on_response(&mut exchange);
    assert_eq!(exchange.upstream(), "canary");
    assert_eq!(exchange.response_header("set-cookie"), None);
    let unknown = Exchange::get("/").header("x-canary", "other");
    assert_eq!(target(&mut plugin, unknown), "app");
}

#[test]
fn an_upstream_that_is_not_allowed_is_the_operators_to_decide() {
    let mut host = Host::new();
    host.add_upstream("canary", &["192.0.2.20:80"]);
    let json = r#"{"targets": [{"upstream": "canary", "weight": 1}]}"#;
    let mut plugin = host.configure::<Canary>(json).unwrap();
    assert_eq!(
        plugin.on_upstream_choice(&mut Exchange::get("/")),
        Action::Fail
    );
    assert!(plugin.log()[0].1.contains("`canary`"));
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake("{}"), "");
    assert_eq!(mistake(r#"{"targets": []}"#), "targets");
    let one = r#"{"upstream": "a", "weight": 1}"#;
    assert_eq!(
        mistake(r#"{"targets": [{"upstream": "a", "weight": 0}]}"#),
        "targets"
    );
    assert_eq!(
        mistake(r#"{"targets": [{"upstream": "a", "weight": -1}]}"#),
        "targets.0.weight"
    );
    assert_eq!(
        mistake(r#"{"targets": [{"upstream": "a;b", "weight": 1}]}"#),
        "targets.0.upstream"
    );
    assert_eq!(
        mistake(&format!(r#"{{"targets": [{one}, {one}]}}"#)),
        "targets.1.upstream"
    );
    let at = |key: &str| mistake(&format!(r#"{{"targets": [{one}], {key}}}"#));
    assert_eq!(at(r#""key": "cookie""#), "key");
    assert_eq!(at(r#""cookie": {"name": "a b"}"#), "cookie.name");
    assert_eq!(
        at(r#""cookie": {"name": "a", "max_age": "long"}"#),
        "cookie.max_age"
    );
    assert_eq!(at(r#""force_header": "x canary""#), "force_header");
    assert_eq!(at(r#""sticky": true"#), "sticky");
}
