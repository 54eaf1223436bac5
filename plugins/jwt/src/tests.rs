//! What an operator and a client rely on. Signatures are the host's; here, tokens are as the tests say.

use std::time::Duration;

use proptest::prelude::*;
use tidegate_sdk::attributes::Value;
use tidegate_sdk::crypto::JwsError;
use tidegate_sdk::prelude::*;
use tidegate_sdk::testing::{Exchange, Host, Instance};

use crate::Jwt;

/// 2026-01-01T00:00:00Z, when the fake host's clock begins.
const NOW: u64 = 1_767_225_600;

/// A plugin with a JWK set and these keys of the configuration, for which `good.to.ken` has these claims.
fn jwt(keys: &str, claims: &str) -> Instance<Jwt> {
    let mut host = Host::new();
    host.set_jws("good.to.ken", r#"{"alg":"ES256"}"#, claims);
    let json = format!(r#"{{"algorithms": ["ES256"], "jwks": {{"keys": []}} {keys}}}"#);
    host.configure(&json).unwrap()
}

fn mistake_in(host: Host, json: &str) -> (String, String) {
    let error = host.configure::<Jwt>(json).unwrap_err().remove(0);
    (error.path, error.message)
}

fn mistake(keys: &str) -> (String, String) {
    let json = format!(r#"{{"algorithms": ["ES256"], {keys}}}"#);
    mistake_in(Host::new(), &json)
}

fn with_token() -> Exchange {
    Exchange::get("/").header("authorization", "Bearer good.to.ken")
}

/// The status and the challenge; 200 where the request passes.
fn answer(plugin: &mut Instance<Jwt>, mut exchange: Exchange) -> (u16, String) {
    match plugin.on_request(&mut exchange) {
        Action::Proceed => (200, String::new()),
        Action::Fail => (503, String::new()),
        Action::Respond => {
            let reply = exchange.reply().unwrap();
            let challenge = reply.field("www-authenticate");
            (reply.status(), challenge.unwrap_or_default())
        }
    }
}

fn status(keys: &str, claims: &str) -> u16 {
    answer(&mut jwt(keys, claims), with_token()).0
}

/// A time so many seconds from now.
fn at(seconds: i64) -> String {
    (i64::try_from(NOW).unwrap() + seconds).to_string()
}

fn valid() -> String {
    format!(r#"{{"sub": "ada", "exp": {}}}"#, at(60))
}

#[test]
fn a_valid_token_passes_and_says_who_it_is() {
    let mut plugin = jwt(r#", "headers": {"X-User": "sub"}"#, &valid());
    let mut exchange = with_token()
        .header("x-user", "root")
        .header("x-user", "admin");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(
        exchange.attribute_value("jwt.sub"),
        Some(&Value::from("ada"))
    );
    assert_eq!(exchange.request_header("x-user").as_deref(), Some("ada"));
    assert!(exchange.request_header("authorization").is_some());
}

#[test]
fn everybody_else_is_told_what_is_wrong() {
    let mut plugin = jwt(r#", "realm": "shop""#, &valid());
    let missing = answer(&mut plugin, Exchange::get("/"));
    assert_eq!(missing, (401, r#"Bearer realm="shop""#.to_owned()));
    let basic = Exchange::get("/").header("authorization", "Basic YTpi");
    assert_eq!(answer(&mut plugin, basic), missing);

    let forged = Exchange::get("/").header("authorization", "bearer bad.to.ken");
    let invalid = r#"Bearer realm="shop", error="invalid_token", error_description="the token's signature is wrong""#;
    assert_eq!(answer(&mut plugin, forged), (401, invalid.to_owned()));

    let twice = with_token().header("authorization", "Bearer good.to.ken");
    let (status, challenge) = answer(&mut plugin, twice);
    assert_eq!(status, 400);
    assert!(
        challenge.contains(r#"error="invalid_request""#),
        "{challenge}"
    );

    assert_eq!(plugin.metric("refused", &[("reason", "missing")]), 2.0);
    assert_eq!(plugin.metric("refused", &[("reason", "signature")]), 1.0);
}

#[test]
fn keys_that_cannot_be_had_let_nobody_in_and_refuse_nobody() {
    for error in [JwsError::Unavailable, JwsError::InvalidKeys] {
        let mut plugin = jwt(r#", "optional": true"#, &valid());
        plugin.host().set_jws_error("good.to.ken", error);
        assert_eq!(plugin.on_request(&mut with_token()), Action::Fail);
        assert!(plugin.log()[0].1.starts_with("the keys"));
    }
}

#[test]
fn a_token_that_is_no_text_or_has_no_claims_is_malformed() {
    let mut plugin = jwt("", &valid());
    let binary = Exchange::get("/").header("authorization", b"Bearer \xff.\xff.\xff");
    assert_eq!(answer(&mut plugin, binary).0, 401);
    for payload in ["", "[]", "7", r#""text""#, r#"{"exp": 1e999}"#, "{\"a\":"] {
        assert_eq!(status("", payload), 401, "{payload}");
    }
}

#[test]
fn only_the_listed_algorithms_are_accepted() {
    let mut plugin = jwt("", &valid());
    plugin
        .host()
        .set_jws("none.to.ken", r#"{"alg":"none"}"#, &valid());
    let none = Exchange::get("/").header("authorization", "Bearer none.to.ken");
    let (status, challenge) = answer(&mut plugin, none);
    assert_eq!(status, 401);
    assert!(challenge.contains("algorithm"), "{challenge}");
}

#[test]
fn a_token_is_valid_from_nbf_until_exp() {
    let claims = |exp: &str, nbf: &str| format!(r#"{{"exp": {exp}, "nbf": {nbf}}}"#);
    let status_at = |leeway: u64, exp: i64, nbf: i64| {
        status(
            &format!(r#", "leeway": "{leeway}s""#),
            &claims(&at(exp), &at(nbf)),
        )
    };
    assert_eq!(status_at(0, 1, 0), 200);
    assert_eq!(status_at(0, 0, -9), 401);
    assert_eq!(status_at(0, 9, 1), 401);
    assert_eq!(status_at(5, -4, -9), 200);
    assert_eq!(status_at(5, -5, -9), 401);
    assert_eq!(status_at(5, 9, 5), 200);
    assert_eq!(status_at(5, 9, 6), 401);
    // RFC 7519 §2: dates may have fractions.
    assert_eq!(
        status("", &claims(&format!("{NOW}.5"), &format!("{}.5", NOW - 1))),
        200
    );
    assert_eq!(status("", &claims(&format!("{}.5", NOW - 1), "0")), 401);
    for date in [r#""soon""#, "null", "[]", "true"] {
        assert_eq!(status("", &claims(date, "0")), 401, "{date}");
        assert_eq!(status("", &claims(&at(9), date)), 401, "{date}");
    }
}

#[test]
fn a_token_that_never_ends_has_to_be_allowed() {
    assert_eq!(status("", "{}"), 401);
    assert_eq!(status(r#", "require_exp": false"#, "{}"), 200);
}

#[test]
fn a_token_can_be_too_old() {
    let status = |issued: &str| {
        let claims = format!(r#"{{"exp": {}, "iat": {issued}}}"#, at(900));
        status(r#", "max_age": "10m", "leeway": "5s""#, &claims)
    };
    assert_eq!(status(&at(-605)), 200);
    assert_eq!(status(&at(-606)), 401);
    assert_eq!(status(&at(5)), 200);
    assert_eq!(status(&at(6)), 401);
    assert_eq!(status("null"), 401);
    let without = format!(r#"{{"exp": {}}}"#, at(900));
    assert_eq!(self::status(r#", "max_age": "10m""#, &without), 401);
}

#[test]
fn issuer_and_audience_have_to_be_ours() {
    let with = |more: &str| format!(r#"{{"exp": {}, {more}}}"#, at(60));
    let one = r#", "issuer": "https://a.example", "audience": "api""#;
    let many =
        r#", "issuer": ["https://b.example", "https://a.example"], "audience": ["web", "api"]"#;
    for keys in [one, many] {
        let status = |claims: &str| status(keys, &with(claims));
        assert_eq!(status(r#""iss": "https://a.example", "aud": "api""#), 200);
        assert_eq!(
            status(r#""iss": "https://a.example", "aud": ["x", "api"]"#),
            200
        );
        assert_eq!(status(r#""iss": "https://a.example", "aud": ["x"]"#), 401);
        assert_eq!(
            status(r#""iss": "https://a.example", "aud": {"api": 1}"#),
            401
        );
        assert_eq!(status(r#""iss": "https://a.example""#), 401);
        assert_eq!(status(r#""iss": "https://a.example/", "aud": "api""#), 401);
        assert_eq!(status(r#""iss": ["https://a.example"], "aud": "api""#), 401);
        assert_eq!(status(r#""aud": "api""#), 401);
    }
}

#[test]
fn required_claims_have_one_of_their_values() {
    let keys = r#", "required": {"realm.roles": ["admin", "ops"], "https://a.example/level": 3, "ok": true}"#;
    let status = |roles: &str, level: &str, ok: &str| {
        let claims = format!(
            r#"{{"exp": {}, "realm": {{"roles": {roles}}}, "https://a.example/level": {level}, "ok": {ok}}}"#,
            at(60)
        );
        status(keys, &claims)
    };
    assert_eq!(status(r#"["x", "ops"]"#, "3", "true"), 200);
    assert_eq!(status(r#""admin""#, "[3]", "true"), 200);
    assert_eq!(status(r#"["x"]"#, "3", "true"), 403);
    assert_eq!(status(r#""admin ops""#, "3", "true"), 403);
    assert_eq!(status(r#""ops""#, r#""3""#, "true"), 403);
    assert_eq!(status(r#""ops""#, "3", r#""true""#), 403);
    assert_eq!(status("null", "3", "true"), 403);
}

#[test]
fn all_scopes_are_required() {
    let keys = r#", "scopes": ["read", "write"]"#;
    let claims = |scope: &str| format!(r#"{{"exp": {}, {scope}}}"#, at(60));
    assert_eq!(status(keys, &claims(r#""scope": "write x read""#)), 200);
    assert_eq!(status(keys, &claims(r#""scp": ["read", "write"]"#)), 200);
    assert_eq!(status(keys, &claims(r#""scp": "read write""#)), 200);
    assert_eq!(status(keys, &claims(r#""sub": "x""#)), 403);
    let mut plugin = jwt(keys, &claims(r#""scope": "read writer""#));
    let (status, challenge) = answer(&mut plugin, with_token());
    assert_eq!(status, 403);
    assert!(
        challenge.contains(r#"error="insufficient_scope""#),
        "{challenge}"
    );
    assert!(challenge.ends_with(r#"scope="read write""#), "{challenge}");
}

#[test]
fn optional_lets_in_who_has_no_token_and_nobody_with_a_bad_one() {
    let mut plugin = jwt(
        r#", "optional": true, "headers": {"x-user": "sub"}"#,
        &valid(),
    );
    let mut exchange = Exchange::get("/").header("x-user", "root");
    assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
    assert_eq!(exchange.request_header("x-user"), None);
    assert_eq!(exchange.attribute_value("jwt.sub"), None);
    let bad = Exchange::get("/").header("authorization", "Bearer bad.to.ken");
    assert_eq!(answer(&mut plugin, bad).0, 401);
    plugin.advance(Duration::from_secs(60));
    assert_eq!(answer(&mut plugin, with_token()).0, 401);
}

#[test]
fn tokens_come_from_where_they_are_configured() {
    let keys = r#", "from": ["cookie:session", "header:X-Token", "query:access_token"]"#;
    let mut plugin = jwt(keys, &valid());
    let mut status = |exchange| answer(&mut plugin, exchange).0;
    let get = Exchange::get;
    assert_eq!(
        status(get("/").header("cookie", "a=b; session=good.to.ken;c=d")),
        200
    );
    assert_eq!(status(get("/").header("x-token", "good.to.ken")), 200);
    assert_eq!(status(get("/?a=b&access%5Ftoken=good%2Eto.ken")), 200);
    assert_eq!(status(with_token()), 401);
    assert_eq!(
        status(get("/").header("cookie", "xsession=good.to.ken; session=")),
        401
    );
    assert_eq!(status(get("/").header("cookie", "session=bad.to.ken")), 401);
    let both = get("/?access_token=good.to.ken").header("x-token", "good.to.ken");
    assert_eq!(status(both), 400);
}

#[test]
fn strip_removes_the_token_and_nothing_else() {
    let keys = r#", "strip": true, "from": ["bearer", "cookie:session", "query:token"]"#;
    let strip = |mut exchange: Exchange| {
        assert_eq!(
            jwt(keys, &valid()).on_request(&mut exchange),
            Action::Proceed
        );
        exchange
    };
    assert_eq!(strip(with_token()).request_header("authorization"), None);
    let exchange = strip(Exchange::get("/").header("cookie", "a=b; session=good.to.ken; c=d"));
    assert_eq!(
        exchange.request_header("cookie").as_deref(),
        Some("a=b; c=d")
    );
    let exchange = strip(Exchange::get("/").header("cookie", "session=good.to.ken"));
    assert_eq!(exchange.request_header("cookie"), None);
    let exchange = strip(Exchange::get("/x?a=%20b&token=good.to.ken&c"));
    assert_eq!(exchange.request_target(), "/x?a=%20b&c");
    assert_eq!(
        strip(Exchange::get("/x?token=good.to.ken")).request_target(),
        "/x"
    );
}

#[test]
fn claims_become_fields_and_attributes() {
    let keys = r#", "headers": {"x-roles": "roles", "x-org": "org.id", "x-none": "none"},
        "attributes": {"roles": "roles", "org": "org.id", "staff": "staff", "level": "level"}"#;
    let claims = format!(
        r#"{{"exp": {}, "roles": ["a", "b"], "org": {{"id": 7}}, "staff": true, "level": 1.5}}"#,
        at(60)
    );
    let mut exchange = with_token().header("x-none", "forged");
    assert_eq!(
        jwt(keys, &claims).on_request(&mut exchange),
        Action::Proceed
    );
    assert_eq!(exchange.request_header("x-roles").as_deref(), Some("a,b"));
    assert_eq!(exchange.request_header("x-org").as_deref(), Some("7"));
    assert_eq!(exchange.request_header("x-none"), None);
    let attribute = |name| exchange.attribute_value(name).cloned();
    assert_eq!(attribute("jwt.roles"), Some("a,b".into()));
    assert_eq!(attribute("jwt.org"), Some(Value::Integer(7)));
    assert_eq!(attribute("jwt.staff"), Some(Value::Boolean(true)));
    assert_eq!(attribute("jwt.level"), Some("1.5".into()));
    assert_eq!(attribute("jwt.sub"), None);
}

#[test]
fn a_claim_that_would_look_like_another_one_is_refused() {
    for claim in [
        r#""a\r\nb""#,
        r#"" root""#,
        r#"["a,root"]"#,
        r#"[""]"#,
        "{}",
        "[[]]",
    ] {
        let claims = format!(r#"{{"exp": {}, "sub": {claim}}}"#, at(60));
        assert_eq!(
            status(r#", "headers": {"x-user": "sub"}"#, &claims),
            401,
            "{claim}"
        );
        assert_eq!(status(r#", "attributes": []"#, &claims), 200, "{claim}");
    }
}

#[test]
fn a_secret_has_the_key() {
    let mut host = Host::new();
    host.set_secret("jwt-key", "a key of at least thirty-two bytes");
    host.set_jws("good.to.ken", r#"{"alg":"HS256"}"#, &valid());
    let json = r#"{"algorithms": ["HS256"], "secret": "jwt-key"}"#;
    let mut plugin = host.configure::<Jwt>(json).unwrap();
    assert_eq!(answer(&mut plugin, with_token()).0, 200);

    let (path, message) = mistake_in(Host::new(), json);
    assert_eq!(path, "secret");
    assert!(message.contains("jwt-key"), "{message}");
}

#[test]
fn keys_from_a_url_are_the_hosts_to_fetch() {
    let mut host = Host::new();
    host.set_jws("good.to.ken", r#"{"alg":"RS256"}"#, &valid());
    let json = r#"{"algorithms": ["RS256", "ES256"], "jwks_url": "https://issuer.example/keys",
        "refresh": "5m", "stale": "1h"}"#;
    let mut plugin = host.configure::<Jwt>(json).unwrap();
    assert_eq!(answer(&mut plugin, with_token()).0, 200);
}

#[test]
fn mistakes_have_a_place() {
    assert_eq!(mistake(r#""realm": "x""#).0, "");
    assert_eq!(mistake(r#""pem": "x", "jwks": "x""#).0, "");
    let with = |key: &str| mistake(&format!(r#""jwks": "x", {key}"#)).0;
    assert_eq!(with(r#""refresh": "1m""#), "refresh");
    assert_eq!(with(r#""leeway": "soon""#), "leeway");
    assert_eq!(with(r#""from": ["bearer", "body"]"#), "from.1");
    assert_eq!(with(r#""from": "header:host""#), "from");
    assert_eq!(with(r#""issuer": []"#), "issuer");
    assert_eq!(with(r#""required": {"a": 1.5}"#), "required.a");
    assert_eq!(with(r#""scopes": ["a b"]"#), "scopes.0");
    assert_eq!(with(r#""headers": {"x-user": ""}"#), "headers.x-user");
    assert_eq!(with(r#""attributes": ["Sub"]"#), "attributes");
    assert_eq!(with(r#""realm": "a\"b""#), "realm");
    assert_eq!(with(r#""audiences": "x""#), "audiences");
    assert_eq!(mistake(r#""jwks_url": "issuer.example""#).0, "jwks_url");
    assert_eq!(
        mistake(r#""jwks_url": "https://a.example/", "refresh": "1s""#).0,
        "refresh"
    );

    let algorithms = |json: &str| mistake_in(Host::new(), json);
    assert_eq!(
        algorithms(r#"{"algorithms": [], "pem": "x"}"#).0,
        "algorithms"
    );
    assert_eq!(
        algorithms(r#"{"algorithms": ["none"], "pem": "x"}"#).0,
        "algorithms.0"
    );
    let (path, message) = algorithms(r#"{"algorithms": ["RS256", "HS256"], "pem": "x"}"#);
    assert_eq!(path, "algorithms");
    assert!(message.contains("`HS256` needs a shared key"), "{message}");

    let mut host = Host::new();
    host.set_jws_error("..", JwsError::InvalidKeys);
    let json = r#"{"algorithms": ["ES256"], "pem": "no key"}"#;
    assert_eq!(mistake_in(host, json).0, "pem");
}

proptest! {
    /// Whatever an issuer signs, there is an answer, and no client's field goes on.
    #[test]
    fn any_claims_have_an_answer(payload in r#"\{"(exp|sub|nbf|aud)":[ -~]{0,20}\}"#) {
        let mut exchange = with_token().header("x-user", "root");
        let mut plugin = jwt(r#", "require_exp": false, "headers": {"x-user": "sub"}"#, &payload);
        if plugin.on_request(&mut exchange) == Action::Proceed {
            prop_assert_ne!(exchange.request_header("x-user"), Some("root".to_owned()));
        }
    }

    /// A cookie is found beside any others, and taking it out leaves those.
    #[test]
    fn other_cookies_stay(others in proptest::collection::vec("[a-r]{1,5}=[!#-+--:<-~]{0,8}", 0..5), place in 0usize..5) {
        let mut cookies = others.clone();
        cookies.insert(place.min(others.len()), "session=good.to.ken".to_owned());
        let mut exchange = Exchange::get("/").header("cookie", cookies.join("; "));
        let mut plugin = jwt(r#", "from": "cookie:session", "strip": true"#, &valid());
        prop_assert_eq!(plugin.on_request(&mut exchange), Action::Proceed);
        prop_assert_eq!(exchange.request_header("cookie").unwrap_or_default(), others.join("; "));
    }
}
