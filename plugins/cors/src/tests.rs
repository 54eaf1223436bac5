//! What a browser, a cache and an operator rely on.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::Cors;

fn cors(json: &str) -> Instance<Cors> {
    Instance::configure(json).unwrap()
}

fn app() -> Instance<Cors> {
    cors(
        r#"{
            "origins": ["https://app.example", "https://*.app.example"],
            "methods": ["GET", "PUT"],
            "headers": ["content-type", "x-token"],
            "expose": ["x-total"],
            "credentials": true,
            "max_age": "10m"
        }"#,
    )
}

fn preflight(origin: &str) -> Exchange {
    Exchange::new("OPTIONS", "/")
        .header("origin", origin)
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-token,x-other")
}

fn reply(plugin: &mut Instance<Cors>, mut exchange: Exchange) -> Reply {
    assert_eq!(plugin.on_request(&mut exchange), Action::Respond);
    exchange.reply().unwrap().clone()
}

/// A response with these fields, to a request of this origin.
fn respond(plugin: &mut Instance<Cors>, origin: &str, fields: &[(&str, &str)]) -> Exchange {
    let mut exchange = Exchange::get("/").response(200, fields);
    if !origin.is_empty() {
        exchange = exchange.header("origin", origin);
    }
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(plugin.on_response(&mut exchange), Action::Proceed);
    exchange
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<Cors>::configure(json).unwrap_err().remove(0);
    (error.path, error.message)
}

const ALLOWED: &str = "access-control-allow-origin";

#[test]
fn a_preflight_is_answered() {
    for origin in ["https://app.example", "https://x.app.example"] {
        let reply = reply(&mut app(), preflight(origin));
        assert_eq!(reply.status(), 204);
        let field = |name: &str| reply.field(&format!("access-control-{name}"));
        assert_eq!(field("allow-origin").as_deref(), Some(origin));
        assert_eq!(field("allow-credentials").as_deref(), Some("true"));
        assert_eq!(field("allow-methods").as_deref(), Some("GET, PUT"));
        assert_eq!(
            field("allow-headers").as_deref(),
            Some("content-type, x-token")
        );
        assert_eq!(field("max-age").as_deref(), Some("600"));
        assert_eq!(field("allow-private-network"), None);
        assert_eq!(
            reply.field("vary").as_deref(),
            Some("origin, access-control-request-method, access-control-request-headers")
        );
    }
}

#[test]
fn an_origin_that_is_not_allowed_gets_no_fields() {
    let silent = reply(&mut app(), preflight("https://evil.example"));
    assert_eq!(silent.status(), 204);
    assert_eq!(silent.field(ALLOWED), None);
    assert_eq!(silent.field("access-control-allow-methods"), None);
    assert!(silent.field("vary").is_some());

    let mut refusing = cors(r#"{"origins": ["https://app.example"], "disallowed": "refuse"}"#);
    let refused = reply(&mut refusing, preflight("https://evil.example"));
    assert_eq!(refused.status(), 403);
    assert_eq!(refused.field(ALLOWED), None);
    assert!(refused.field("vary").is_some());

    let exchange = respond(&mut app(), "https://evil.example", &[(ALLOWED, "*")]);
    assert_eq!(
        exchange.response_headers(),
        [("vary".to_owned(), "origin".to_owned())]
    );
}

#[test]
fn an_options_request_that_is_no_preflight_goes_to_the_upstream() {
    let proceeds = |exchange: Exchange| app().on_request(&mut exchange.clone()) == Action::Proceed;
    assert!(proceeds(Exchange::new("OPTIONS", "/")));
    assert!(proceeds(
        Exchange::new("OPTIONS", "/").header("origin", "https://app.example")
    ));
    let asking = |method| Exchange::new(method, "/").header("access-control-request-method", "PUT");
    assert!(proceeds(asking("OPTIONS")));
    assert!(proceeds(
        asking("GET").header("origin", "https://app.example")
    ));
}

#[test]
fn what_the_upstream_says_is_replaced() {
    let own = [
        (ALLOWED, "*"),
        ("access-control-allow-methods", "DELETE"),
        ("access-control-expose-headers", "x-secret"),
        ("content-type", "text/plain"),
    ];
    let exchange = respond(&mut app(), "https://app.example", &own);
    let field = |name: &str| exchange.response_header(name);
    assert_eq!(field(ALLOWED).as_deref(), Some("https://app.example"));
    assert_eq!(
        field("access-control-allow-credentials").as_deref(),
        Some("true")
    );
    assert_eq!(field("access-control-allow-methods"), None);
    assert_eq!(
        field("access-control-expose-headers").as_deref(),
        Some("x-total")
    );
    assert_eq!(field("content-type").as_deref(), Some("text/plain"));
}

#[test]
fn a_cache_learns_that_the_origin_matters_whoever_asks() {
    for origin in ["", "https://app.example", "https://evil.example"] {
        let vary = |fields: &[(&str, &str)]| {
            respond(&mut app(), origin, fields)
                .response_header("vary")
                .unwrap()
        };
        assert_eq!(vary(&[]), "origin");
        assert_eq!(
            vary(&[("vary", "Accept-Encoding")]),
            "Accept-Encoding, origin"
        );
        assert_eq!(vary(&[("vary", "Cookie, Origin")]), "Cookie, Origin");
        assert_eq!(vary(&[("vary", "*")]), "*");
    }
}

#[test]
fn every_origin_gets_the_same_star() {
    let mut any = cors(r#"{"origins": ["*"], "headers": ["*", "authorization"], "expose": ["*"]}"#);
    let exchange = respond(&mut any, "https://any.example", &[]);
    assert_eq!(exchange.response_header(ALLOWED).as_deref(), Some("*"));
    assert_eq!(exchange.response_header("vary"), None);
    assert_eq!(
        exchange
            .response_header("access-control-expose-headers")
            .as_deref(),
        Some("*")
    );
    let reply = reply(&mut any, preflight("null"));
    assert_eq!(reply.field(ALLOWED).as_deref(), Some("*"));
    let headers = reply.field("access-control-allow-headers");
    assert_eq!(headers.as_deref(), Some("*, authorization"));
    assert_eq!(
        reply.field("access-control-allow-methods").as_deref(),
        Some("GET, HEAD, POST")
    );
    assert_eq!(reply.field("access-control-allow-credentials"), None);
    assert_eq!(reply.field("access-control-max-age"), None);
}

#[test]
fn with_credentials_a_star_is_what_the_preflight_asks_for() {
    let mut plugin = cors(
        r#"{"origins": ["https://a.example"], "methods": ["*"], "headers": ["*"], "credentials": true}"#,
    );
    let all = reply(&mut plugin, preflight("https://a.example"));
    assert_eq!(
        all.field("access-control-allow-methods").as_deref(),
        Some("PUT")
    );
    assert_eq!(
        all.field("access-control-allow-headers").as_deref(),
        Some("x-token,x-other")
    );

    let exchange = Exchange::new("OPTIONS", "/")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "a b")
        .header("access-control-request-headers", "x-a, \"b\"");
    let none = reply(&mut plugin, exchange);
    assert_eq!(none.field("access-control-allow-methods"), None);
    assert_eq!(none.field("access-control-allow-headers"), None);
}

#[test]
fn a_private_network_is_opened_where_it_is_said() {
    let ask = |plugin: &mut Instance<Cors>| {
        let exchange = preflight("https://app.example")
            .header("access-control-request-private-network", "true");
        reply(plugin, exchange).field("access-control-allow-private-network")
    };
    let mut open = cors(r#"{"origins": ["https://app.example"], "private_network": true}"#);
    assert_eq!(ask(&mut open).as_deref(), Some("true"));
    assert_eq!(ask(&mut app()), None);
}

#[test]
fn several_or_broken_origins_are_nobodys() {
    let two = preflight("https://app.example").header("origin", "https://app.example");
    assert_eq!(reply(&mut app(), two).field(ALLOWED), None);
    let mut exchange = Exchange::get("/").header("origin", b"https://\xff.app.example");
    app().on_response(&mut exchange);
    assert_eq!(exchange.response_header(ALLOWED), None);
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(
        mistake("{}"),
        (String::new(), "missing key `origins`".to_owned())
    );
    assert_eq!(mistake(r#"{"origins": []}"#).0, "origins");
    let (path, message) = mistake(r#"{"origins": ["https://a.example", "*.example.com"]}"#);
    assert_eq!(path, "origins.1");
    assert!(message.contains("https://*.example.com"), "{message}");
    let at = |extra: &str| {
        mistake(&format!(
            r#"{{"origins": ["https://a.example", "*"], {extra}}}"#
        ))
        .0
    };
    assert_eq!(at(r#""credentials": true"#), "origins.1");
    assert_eq!(at(r#""methods": ["GET", "P T"]"#), "methods.1");
    assert_eq!(at(r#""headers": [""]"#), "headers.0");
    assert_eq!(at(r#""expose": ["a,b"]"#), "expose.0");
    assert_eq!(at(r#""max_age": "soon""#), "max_age");
    assert_eq!(at(r#""disallowed": "drop""#), "disallowed");
    assert_eq!(at(r#""origin": []"#), "origin");
    let (path, _) =
        mistake(r#"{"origins": ["https://a.example"], "expose": ["*"], "credentials": true}"#);
    assert_eq!(path, "expose.0");
}
