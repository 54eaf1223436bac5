//! What an operator and a browser rely on.

use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Instance};

use crate::SecurityHeaders;

/// A response by HTTPS whose upstream sent these fields.
fn respond(json: &str, fields: &[(&str, &str)]) -> Exchange {
    run(
        json,
        Exchange::get("/").scheme("https").response(200, fields),
    )
}

fn run(json: &str, mut exchange: Exchange) -> Exchange {
    let mut plugin = Instance::<SecurityHeaders>::configure(json).unwrap();
    assert_eq!(plugin.on_response(&mut exchange), Action::Proceed);
    exchange
}

fn mistake(json: &str) -> (String, String) {
    let error = Instance::<SecurityHeaders>::configure(json)
        .unwrap_err()
        .remove(0);
    (error.path, error.message)
}

const TRANSPORT: &str = "strict-transport-security";

#[test]
fn a_preset_is_a_set_of_fields() {
    let names = |json: &str| -> Vec<String> {
        let fields = respond(json, &[]).response_headers();
        fields.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(
        names(r#"{"preset": "strict"}"#),
        [
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "permissions-policy",
            "cross-origin-opener-policy",
            "cross-origin-embedder-policy",
            "cross-origin-resource-policy",
            TRANSPORT,
        ]
    );
    assert_eq!(
        names(r#"{"preset": "compatible"}"#),
        [
            "content-security-policy",
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy",
            TRANSPORT,
        ]
    );
    assert_eq!(
        names(
            r#"{"preset": "compatible", "omit": ["Content-Security-Policy", "strict-transport-security"]}"#
        ),
        [
            "x-content-type-options",
            "x-frame-options",
            "referrer-policy",
            "cross-origin-opener-policy"
        ]
    );
    assert_eq!(names("{}"), Vec::<String>::new());
}

#[test]
fn presets_pass_the_checks_of_what_an_operator_writes() {
    for preset in ["strict", "compatible"] {
        let fields = respond(&format!(r#"{{"preset": "{preset}"}}"#), &[]).response_headers();
        for (name, value) in fields.iter().filter(|(name, _)| name != TRANSPORT) {
            let key = name.trim_start_matches("x-").replace('-', "_");
            let json = format!(r#"{{"{key}": "{value}"}}"#);
            assert_eq!(
                respond(&json, &[]).response_header(name).as_ref(),
                Some(value)
            );
        }
    }
}

#[test]
fn a_value_goes_before_the_presets() {
    let exchange = respond(
        r#"{"preset": "strict", "frame_options": "SAMEORIGIN", "hsts": {"max_age": "60s"}}"#,
        &[],
    );
    assert_eq!(
        exchange.response_header("x-frame-options").as_deref(),
        Some("SAMEORIGIN")
    );
    assert_eq!(
        exchange.response_header(TRANSPORT).as_deref(),
        Some("max-age=60")
    );
    assert_eq!(
        exchange.response_header("referrer-policy").as_deref(),
        Some("no-referrer")
    );
}

#[test]
fn what_the_upstream_sets_stays_unless_it_is_overridden() {
    let own = [("Referrer-Policy", "origin"), (TRANSPORT, "max-age=1")];
    let kept = respond(r#"{"preset": "strict"}"#, &own);
    assert_eq!(
        kept.response_header("referrer-policy").as_deref(),
        Some("origin")
    );
    assert_eq!(
        kept.response_header(TRANSPORT).as_deref(),
        Some("max-age=1")
    );
    assert_eq!(
        kept.response_header("x-frame-options").as_deref(),
        Some("DENY")
    );

    let replaced = respond(r#"{"preset": "strict", "override": true}"#, &own);
    assert_eq!(
        replaced.response_header("referrer-policy").as_deref(),
        Some("no-referrer")
    );
    assert_eq!(
        replaced.response_header(TRANSPORT).as_deref(),
        Some("max-age=63072000; includeSubDomains")
    );
}

#[test]
fn transport_security_is_for_https() {
    let by_http = |json: &str| run(json, Exchange::get("/")).response_header(TRANSPORT);
    assert_eq!(by_http(r#"{"hsts": {"max_age": "365d"}}"#), None);
    assert_eq!(
        by_http(
            r#"{"hsts": {"max_age": "365d", "subdomains": true, "preload": true, "force": true}}"#
        )
        .as_deref(),
        Some("max-age=31536000; includeSubDomains; preload")
    );
}

#[test]
fn what_tells_too_much_is_removed() {
    let own = [("server", "a/1"), ("x-powered-by", "b"), ("x-runtime", "1")];
    let names = |json: &str| -> Vec<String> {
        let fields = respond(json, &own).response_headers();
        fields.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(names("{}"), ["x-runtime"]);
    assert_eq!(
        names(r#"{"remove": ["X-Runtime"]}"#),
        ["server", "x-powered-by"]
    );
    // What is removed can be set anew.
    let json = r#"{"remove": ["Referrer-Policy"], "referrer_policy": "origin"}"#;
    let anew = respond(json, &[("referrer-policy", "unsafe-url")]);
    assert_eq!(
        anew.response_header("referrer-policy").as_deref(),
        Some("origin")
    );
    assert_eq!(
        names(r#"{"remove": [], "content_type_options": "nosniff"}"#),
        [
            "server",
            "x-powered-by",
            "x-runtime",
            "x-content-type-options"
        ]
    );
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(
        mistake(r#"{"remove": []}"#).1,
        "expected `preset`, a field to set, or `remove`"
    );
    assert_eq!(mistake(r#"{"preset": "paranoid"}"#).0, "preset");
    assert_eq!(
        mistake(r#"{"hsts": {"max_age": "long"}}"#).0,
        "hsts.max_age"
    );
    assert_eq!(
        mistake(r#"{"hsts": {"max_age": "1d", "preload": true}}"#).0,
        "hsts.preload"
    );
    assert_eq!(
        mistake(r#"{"hsts": {"max_age": "1d", "sub": true}}"#).0,
        "hsts.sub"
    );
    assert_eq!(
        mistake(r#"{"frame_options": "ALLOW-FROM x"}"#).0,
        "frame_options"
    );
    assert_eq!(
        mistake(r#"{"content_type_options": "sniff"}"#).0,
        "content_type_options"
    );
    assert_eq!(
        mistake(r#"{"referrer_policy": "no-referer"}"#).0,
        "referrer_policy"
    );
    assert_eq!(
        mistake(r#"{"cross_origin_opener_policy": "x"}"#).0,
        "cross_origin_opener_policy"
    );
    assert_eq!(mistake(r#"{"omit": ["x-frame"]}"#).0, "omit.0");
    assert_eq!(
        mistake(r#"{"remove": ["a", "content-length"]}"#).0,
        "remove.1"
    );
    assert_eq!(mistake(r#"{"remove": ["a b"]}"#).0, "remove.0");
}

#[test]
fn policies_that_browsers_would_ignore_are_mistakes() {
    let csp = |value: &str| mistake(&format!(r#"{{"content_security_policy": "{value}"}}"#)).1;
    assert_eq!(
        csp("defualt-src 'self'"),
        "`defualt-src` is not a directive"
    );
    assert_eq!(
        csp("script-src self"),
        "`self` would be a host in `script-src`, write `'self'`"
    );
    assert!(csp("").contains("printable"));
    assert!(csp("img-src *;\\nfont-src *").contains("printable"));
    respond(
        r#"{"content_security_policy_report_only": "default-src https: 'nonce-x'; sandbox; report-to self;"}"#,
        &[],
    );

    let permissions = |value: &str| mistake(&format!(r#"{{"permissions_policy": "{value}"}}"#)).1;
    assert!(permissions("camera 'none'").contains("`camera=()`"));
    assert!(permissions("camera=none").contains("`camera=()`"));
    assert!(permissions("camera=(),").contains("`camera=()`"));
    respond(
        r#"{"permissions_policy": "camera=(), geolocation=(self \"https://maps.example\"), fullscreen=*"}"#,
        &[],
    );
}
