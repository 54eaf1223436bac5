//! The bundled plugin `jwt`, as its README says, with an issuer whose keys are fetched.

use bytes::Bytes;
use http_body_util::Full;

use crate::harness::{Origin, Proxy, Request, get, refusing_address, with_header};

use super::support::{bundled, echoed, start_with};

/// The public key of an Ed25519 pair that signed the tokens below.
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"SQKUgVGoIIerNql42WI-xzlpOwVF-nQ_iL67Vuv8Pe0"}]}"#;
/// Of `ada`, for `api`, with the scopes `read write`, until 2100.
const ADA: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYXBpIiwic3ViIjoiYWRhIiwiZXhwIjo0MTAyNDQ0ODAwLCJzY29wZSI6InJlYWQgd3JpdGUifQ.s4I3EwRy4_RYi7B7QmDefiF2UQTxh_7FR3AieH2rw0MbCRmqk4b436T9CzyqhqjnIDGFMFMW__wFSB8kzjnWDQ";
/// The same with the scope `read` alone.
const READER: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYXBpIiwic3ViIjoiYWRhIiwiZXhwIjo0MTAyNDQ0ODAwLCJzY29wZSI6InJlYWQifQ.QZiWNBHRFaRz7VVZboZTbK8KdnmuDw306KEb9r-aMJNB2dHb-gGGVOcRPJggxSc-019QfnQyiw6us4Td1ptVDQ";
/// Valid until 2001.
const EXPIRED: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYXBpIiwic3ViIjoiYWRhIiwiZXhwIjoxMDAwMDAwMDAwfQ.Hb34tWF8j0BPfXcRqGhSM-vIJgVzorWYZOg4wDVM4cVWsTRsNvPWzVbv0B6MBBkTFpbIzbGr7awLtOFhmeNtAw";
/// For somebody else.
const OTHER: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoib3RoZXIiLCJzdWIiOiJhZGEiLCJleHAiOjQxMDI0NDQ4MDB9.RnyPdGxr5uJItjb33hTS8nGkjJn_q5uAtKxp9u8zafNEoQ9ooGMcz4xzB6QJILF9CrEbxAS2-CFz4M-N8kDlCw";
/// Signed with HS256, with the text of the public key as the shared one.
const CONFUSED: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6Im9uZSJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiYXBpIiwic3ViIjoiYWRhIiwiZXhwIjo0MTAyNDQ0ODAwfQ.m3vgTiMkY0bLJvjJxNuBXr5QujH9eMtBm6nAkSXT7XE";

async fn issuer() -> Origin {
    Origin::answering(|_| http::Response::new(Full::new(Bytes::from_static(JWKS.as_bytes())))).await
}

/// A proxy that gets keys from this address, with these keys of the plugin's configuration.
async fn proxy(issuer: &str, keys: &str) -> Proxy {
    let config = format!(
        r#"
[plugins]
cache = "off"
deadline = "2s"

[plugin.jwt]
allow = {{ log = true, metrics = true, clock = true, attributes = true, crypto = true, secrets = [], http = [
    {{ origin = "http://{issuer}", private = true }},
] }}

[plugin.headers]
allow = ["attributes", "log"]

[[route]]
name = "all"
respond = {{ echo = true }}

[[route.plugins]]
use = "jwt"

[route.plugins.config]
algorithms = ["EdDSA", "RS256"]
jwks_url = "http://{issuer}/keys"
issuer = "https://issuer.example"
audience = ["api"]
headers = {{ x-user = "sub" }}
{keys}

[[route.plugins]]
use = "headers"
config = {{ response = [{{ set = "x-who", value = "${{jwt.sub}}", if_absent = "skip" }}] }}
"#
    );
    let files = [
        ("jwt.wasm", bundled("jwt")),
        ("headers.wasm", bundled("headers")),
    ];
    start_with(&files, &config).await
}

fn with_token(token: &str) -> Request {
    with_header(get("/"), "authorization", &format!("Bearer {token}"))
}

#[tokio::test]
async fn a_valid_token_passes_and_its_claims_go_on() {
    let issuer = issuer().await;
    let proxy = proxy(issuer.address(), "").await;
    for _ in 0..3 {
        let forged = with_header(with_token(ADA), "x-user", "root");
        let response = proxy.send(forged).await;
        assert_eq!(response.status, 200);
        let seen = response.json();
        assert_eq!(echoed(&seen, "x-user").as_deref(), Some("ada"));
        assert!(echoed(&seen, "authorization").is_some());
        assert_eq!(response.header("x-who"), "ada");
    }
    // The keys are fetched once for all.
    assert_eq!(issuer.seen().len(), 1);
    assert_eq!(issuer.seen()[0].target, "/keys");
}

#[tokio::test]
async fn everybody_else_is_refused_and_told_why() {
    let issuer = issuer().await;
    let proxy = proxy(issuer.address(), "").await;
    let absent = proxy.get("/").await;
    assert_eq!(absent.status, 401);
    assert_eq!(absent.header("www-authenticate"), "Bearer realm=\"api\"");
    let forged = ADA.replace("s4I3EwRy4", "s4I3EwRy5");
    for (token, why) in [
        (EXPIRED, "expired"),
        (OTHER, "audience"),
        (CONFUSED, "algorithm"),
        (&forged, "signature"),
        ("not.a.token", "malformed"),
    ] {
        let response = proxy.send(with_token(token)).await;
        assert_eq!(response.status, 401, "{why}");
        let challenge = response.header("www-authenticate");
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
        assert!(challenge.contains(why), "{challenge}");
    }
    let refused = "tidegate_plugin_jwt_refused_total";
    assert_eq!(proxy.metric(refused).await, 6.0);
    assert!(!proxy.written().contains("eyJ"), "a token is in the log");
}

#[tokio::test]
async fn a_scope_that_is_missing_is_a_403() {
    let issuer = issuer().await;
    let proxy = proxy(issuer.address(), "scopes = [\"read\", \"write\"]").await;
    assert_eq!(proxy.send(with_token(ADA)).await.status, 200);
    let response = proxy.send(with_token(READER)).await;
    assert_eq!(response.status, 403);
    let challenge = response.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("scope=\"read write\""),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_cookie_is_taken_and_stripped() {
    let issuer = issuer().await;
    let proxy = proxy(
        issuer.address(),
        "from = [\"cookie:session\"]\nstrip = true",
    )
    .await;
    let request = with_header(get("/"), "cookie", &format!("a=b; session={ADA}"));
    let response = proxy.send(request).await;
    assert_eq!(response.status, 200);
    assert_eq!(echoed(&response.json(), "cookie").as_deref(), Some("a=b"));
    assert_eq!(proxy.send(with_token(ADA)).await.status, 401);
}

#[tokio::test]
async fn an_optional_token_has_to_be_valid() {
    let issuer = issuer().await;
    let proxy = proxy(issuer.address(), "optional = true").await;
    let anonymous = proxy.send(with_header(get("/"), "x-user", "root")).await;
    assert_eq!(anonymous.status, 200);
    assert_eq!(echoed(&anonymous.json(), "x-user"), None);
    assert_eq!(proxy.send(with_token(EXPIRED)).await.status, 401);
}

#[tokio::test]
async fn without_keys_nobody_gets_in() {
    let proxy = proxy(&refusing_address(), "optional = true").await;
    assert_eq!(proxy.send(with_token(ADA)).await.status, 503);
    assert_eq!(proxy.send(with_token("a.b.c")).await.status, 503);
}
