//! The bundled plugin `body-rewrite`, as its README says.

use bytes::Bytes;

use crate::harness::{Origin, Proxy, get, post, streamed, with_header};

use super::support::{bundled, start_with};

/// A route to an origin with this configuration of the plugin.
async fn proxy(origin: &Origin, config: &str) -> Proxy {
    let config = format!(
        "
[plugin.body-rewrite]
allow = [\"log\", \"metrics\"]

[[route]]
name = \"all\"
plugins = [{{ use = \"body-rewrite\", config = {{ {config} }} }}]
upstream = \"app\"

[upstream.app]
peers = [{:?}]
",
        origin.address()
    );
    start_with(&[("body-rewrite.wasm", bundled("body-rewrite"))], &config).await
}

/// An origin whose every response has this type and this body.
async fn serving(content_type: &'static str, body: impl Into<Bytes>) -> Origin {
    let body = body.into();
    Origin::answering(move |_| {
        http::Response::builder()
            .header("content-type", content_type)
            .header("etag", "\"1\"")
            .header("accept-ranges", "bytes")
            .body(body.clone().into())
            .unwrap()
    })
    .await
}

const LINKS: &str = r#"replace = [{ find = "http://internal", with = "https://example.com" }]"#;

#[tokio::test]
async fn a_large_page_is_rewritten_as_a_whole() {
    // Longer than any buffer on the way, with a match at every place where it could be cut.
    let page = "<a href=\"http://internal/page\">".repeat(20_000);
    let origin = serving("text/html; charset=utf-8", page.clone()).await;
    let proxy = proxy(&origin, LINKS).await;
    let request = with_header(get("/"), "accept-encoding", "gzip");
    let response = proxy.send(with_header(request, "range", "bytes=0-9")).await;
    assert_eq!(response.status, 200);
    let expected = page.replace("http://internal", "https://example.com");
    assert_eq!(response.text(), expected);
    assert_eq!(response.header("etag"), "W/\"1\"");
    assert_eq!(response.header("accept-ranges"), "");
    let seen = origin.seen().remove(0);
    assert_eq!(seen.header("accept-encoding"), "identity");
    assert_eq!(seen.header("range"), "");
}

#[tokio::test]
async fn it_is_the_same_over_http_2() {
    let origin = serving("text/plain", "see http://internal/").await;
    let proxy = proxy(&origin, LINKS).await;
    let response = proxy.h2_client().await.get("/").await;
    assert_eq!(response.text(), "see https://example.com/");
}

#[tokio::test]
async fn other_types_pass_with_their_length() {
    let origin = serving("image/png", "http://internal").await;
    let proxy = proxy(&origin, LINKS).await;
    let response = proxy.get("/").await;
    assert_eq!(response.text(), "http://internal");
    assert_eq!(response.header("content-length"), "15");
    assert_eq!(response.header("etag"), "\"1\"");
}

#[tokio::test]
async fn fields_of_json_are_redacted() {
    let body = r#"{"user": {"name": "ada", "password": "hunter2"}, "items": [{"card": 4111}, {"n": 1.0}]}"#;
    let origin = serving("application/json", body).await;
    let proxy = proxy(&origin, r#"redact = ["user.password", "items.*.card"]"#).await;
    let response = proxy.get("/").await;
    assert_eq!(
        response.text(),
        r#"{"user": {"name": "ada", "password": "[redacted]"}, "items": [{"card": "[redacted]"}, {"n": 1.0}]}"#
    );
}

/// A stack that is too small would be a failure of the plugin.
#[tokio::test]
async fn what_is_put_in_the_place_may_be_nested() {
    let nested = "[".repeat(60) + &"]".repeat(60);
    let origin = serving("application/json", r#"{"card":"4111"}"#).await;
    let config = format!(r#"redact = ["card"], redacted = {nested}"#);
    let proxy = proxy(&origin, &config).await;
    let body = proxy.get("/").await;
    assert_eq!(body.text(), format!(r#"{{"card":{nested}}}"#));
}

#[tokio::test]
async fn a_request_is_redacted_before_the_origin_sees_it() {
    let origin = Origin::echo().await;
    let config = r#"bodies = ["request"], redact = ["card"], redacted = 0"#;
    let proxy = proxy(&origin, config).await;
    let chunks = ["{\"ca", "rd\": \"41", "11\", \"n\": 1}"].map(Bytes::from);
    let json = |request| with_header(request, "content-type", "application/json");
    proxy.send(json(streamed("/", chunks.into()))).await;
    proxy
        .send(json(post("/", "{\"card\": \"4111\", \"n\": 1}")))
        .await;
    for seen in origin.seen() {
        assert_eq!(seen.body, "{\"card\": 0, \"n\": 1}");
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn what_is_not_json_passes_or_is_cut_off() {
    let body = r#"{"a": 1} {"a": 2}"#;
    let origin = serving("application/json", body).await;
    let unreadable = "tidegate_plugin_body_rewrite_unreadable_total";

    let passing = proxy(&origin, r#"redact = ["a"]"#).await;
    let response = passing.get("/").await;
    assert_eq!(response.text(), r#"{"a": "[redacted]"} {"a": 2}"#);
    assert_eq!(passing.metric(unreadable).await, 1.0);

    let failing = proxy(&origin, r#"redact = ["a"], unreadable = "fail""#).await;
    let cut = failing.client().await.try_send(get("/")).await;
    // Nobody takes it for the whole: the connection ends in the middle, or an error came instead.
    assert!(cut.is_err() || cut.is_ok_and(|response| response.status >= 500));
    assert_eq!(failing.metric(unreadable).await, 1.0);
}

#[tokio::test]
async fn an_encoded_body_is_not_delivered_where_it_must_be_redacted() {
    let origin = Origin::answering(|_| {
        http::Response::builder()
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .body(Bytes::from_static(b"\x1f\x8b").into())
            .unwrap()
    })
    .await;
    let passing = proxy(&origin, r#"redact = ["a"]"#).await;
    assert_eq!(passing.get("/").await.body, &b"\x1f\x8b"[..]);
    let failing = proxy(&origin, r#"redact = ["a"], unreadable = "fail""#).await;
    assert_eq!(failing.get("/").await.status, 503);
}

#[tokio::test]
async fn a_mistake_has_its_place() {
    let origin = Origin::echo().await;
    let proxy = proxy(&origin, r#"redact = ["a"]"#).await;
    let file = std::fs::read_to_string(proxy.folder().join("tidegate.toml")).unwrap();
    let changed = file.replace(r#"redact = ["a"]"#, r#"redact = ["a", "b..c"]"#);
    let error = proxy.reload_refused(&changed).await;
    assert!(error.contains("joined by dots"), "{error}");
}
